"""State dictionaries that vitconv writes, read back: `python conformance/roundtrip.py VITCONV MODEL_OR_FOLDER... [--only PATTERN]`.

Each model that has an archive of arrays beside it (`X.onnx` with `X.npz`: inputs `in*`) is written as `.h5` and as
`.safetensors`. Running either must give the bits that running the model gives, and so must the ONNX file made of it again.
h5py and safetensors must find the weights under their names.
"""

from __future__ import annotations

import argparse
import fnmatch
import subprocess
import sys
import tempfile
from pathlib import Path

import h5py
import numpy as np
from judged import models
from safetensors import safe_open


def run(program: str, model: Path, arrays: Path, out: Path) -> dict[str, bytes] | str:
    """Outputs of a run as bytes, or what went wrong."""
    with np.load(arrays) as archive:
        inputs = {name: archive[name] for name in archive.files if name.startswith("in")}
    feed = out.with_suffix(".in.npz")
    np.savez(feed, **inputs)
    done = subprocess.run([program, "run", str(model), "--inputs", str(feed), "-o", str(out)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return done.stderr.strip()[:300]
    with np.load(out) as archive:
        return {name: archive[name].tobytes() for name in archive.files}


def names(path: Path) -> set[str] | None:
    """The weights' names as the formats' own libraries see them; None for a file that was copied as it stood."""
    if path.suffix == ".safetensors":
        with safe_open(path, "np") as file:
            return set(file.keys()) if (file.metadata() or {}).get("producer") == "vitconv" else None
    with h5py.File(path) as file:
        if "metadata" not in file or file["metadata"].attrs.get("producer") != "vitconv":
            return None
        return {name for name, item in file.items() if isinstance(item, h5py.Dataset)}


def judge(program: str, model: Path, arrays: Path) -> str:
    """Empty when all is right, else why not; `skipped` for models that cannot be run as they are."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with np.load(arrays) as archive:
            if not any(name.startswith("in") for name in archive.files):
                return "skipped: no inputs"
        reference = run(program, model, arrays, work / "reference.npz")
        if isinstance(reference, str):
            return "skipped: " + reference
        found: list[set[str] | None] = []
        for suffix in (".h5", ".safetensors"):
            for source, target in ((model, work / f"weights{suffix}"), (work / f"weights{suffix}", work / f"again{suffix}.onnx")):
                done = subprocess.run([program, "convert", str(source), "-o", str(target)], capture_output=True, text=True, check=False)
                if done.returncode != 0:
                    return f"{suffix}: {done.stderr.strip()[:300]}"
                given = run(program, target, arrays, work / "given.npz")
                if given != reference:
                    return f"{target.name}: {given if isinstance(given, str) else 'other results'}"
            found.append(names(work / f"weights{suffix}"))
        if found[0] is None or found[1] is None:
            # State dictionaries are copied into their own format, untouched.
            return "" if model.suffix in (".h5", ".hdf5", ".safetensors") else "the file does not name its producer"
        return "" if found[0] == found[1] else f"other names: {found[0] ^ found[1]}"


def main() -> None:
    """Prints what is not right and how many are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--only", default="*")
    options = parser.parse_args()
    right = skipped = wrong = 0
    for model, arrays in models(options.paths):
        if not fnmatch.fnmatch(model.name, options.only):
            continue
        verdict = judge(options.program, model, arrays)
        right += not verdict
        skipped += verdict.startswith("skipped")
        if verdict and not verdict.startswith("skipped"):
            wrong += 1
            print(f"{model.name}: {verdict}", flush=True)
    print(f"{right} right, {wrong} wrong, {skipped} skipped")
    sys.exit(1 if wrong or not right else 0)


if __name__ == "__main__":
    main()
