"""Files that vitconv writes, read back: `python conformance/roundtrip.py VITCONV MODEL_OR_FOLDER... [--only PATTERN] [--states]`.

Each model that has an archive of arrays beside it (`X.onnx` with `X.npz`: inputs `in*`) is written in every format, each of
them again in every format, and all of these are run. State dictionaries (`.h5`, `.safetensors`) and ONNX files must give the
bits that running the model gives, Keras files the numbers within rounding; names of inputs and outputs stay, and writing
twice gives the same bytes. h5py and safetensors must find the weights under their names. `--states` leaves the Keras
formats out. What a format cannot say is refused by name, which is not wrong.
"""

from __future__ import annotations

import argparse
import fnmatch
import json
import os
import re
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import h5py
import numpy as np
from judged import models, numbered, told
from safetensors import safe_open

#: Suffix, name of the format, and whether it holds the graph as it is.
FORMATS = {"onnx": (".onnx", True), "hdf5": (".h5", True), "safetensors": (".safetensors", True), "keras": (".keras", False), "keras-h5": (".k.h5", False)}


def run(program: str, model: Path, arrays: Path, out: Path) -> dict[str, np.ndarray] | str:
    """Outputs of a run, or what went wrong."""
    with np.load(arrays) as archive:
        inputs = {f"in{index}": archive[name] for index, name in enumerate(sorted((n for n in archive.files if re.match(r"in\d+", n)), key=number))}
    feed = out.with_suffix(".in.npz")
    np.savez(feed, **inputs)
    done = subprocess.run([program, "run", str(model), "--inputs", str(feed), "-o", str(out)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        return done.stderr.strip()[:300]
    with np.load(out) as archive:
        return {name: archive[name] for name in archive.files}


def number(name: str) -> int:
    return int(re.match(r"in(\d+)", name)[1])


def ports(program: str, model: Path) -> list[list[str]]:
    """Names of inputs and outputs, as Keras can spell them."""
    done = subprocess.run([program, "inspect", str(model), "--json"], capture_output=True, text=True, check=False)
    facts = json.loads(done.stdout)["model"]
    return [[re.sub(r"[^A-Za-z0-9.-]+", "_", port["name"]).strip("_.-") for port in facts[kind]] for kind in ("inputs", "outputs")]


def names(path: Path) -> set[str] | None:
    """The weights' names as the formats' own libraries see them; None for a file that was copied as it stood."""
    if path.suffix == ".safetensors":
        with safe_open(path, "np") as file:
            return set(file.keys()) if (file.metadata() or {}).get("producer") == "vitconv" else None
    with h5py.File(path) as file:
        if "metadata" not in file or file["metadata"].attrs.get("producer") != "vitconv":
            return None
        return {name for name, item in file.items() if isinstance(item, h5py.Dataset)}


def convert(program: str, source: Path, target: Path, form: str, beside: list[str], twice: bool) -> str:
    """Empty when it was written, and alike when it was written twice; what was said otherwise."""
    path = target
    for path in (target, target.with_name("twice" + target.name)) if twice else (target,):
        command = [program, "convert", str(source), "-o", str(path), "--format", form, "--bfloat16", "keep", *beside]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            return done.stderr.strip()[:300] or f"status {done.returncode}"
    return "" if target.read_bytes() == path.read_bytes() else "other bytes when it was written again"


def differs(given: dict[str, np.ndarray] | str, wanted: dict[str, np.ndarray], exact: bool, limit: float) -> str:
    if isinstance(given, str):
        return given
    for (name, a), b in zip(given.items(), wanted.values(), strict=True):
        if a.shape != b.shape:
            return f"{name} of shape {a.shape} for {b.shape}"
        if exact and a.tobytes() != b.tobytes():
            return f"{name} has other bits"
        error = np.abs(a.astype("f8") - b.astype("f8")).max(initial=0) / max(1.0, np.abs(b.astype("f8")).max(initial=0))
        if not error <= limit:
            return f"{name} differs by {error:.1e}"
    return ""


def judge(program: str, model: Path, arrays: Path, forms: list[str]) -> tuple[list[str], int, str]:
    """What is wrong, how many chains of formats were right, and why the model was skipped, if it was."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        with np.load(arrays) as archive:
            if not any(name.startswith("in") for name in archive.files):
                return [], 0, "no inputs"
        reference = run(program, model, arrays, work / "reference.npz")
        if isinstance(reference, str):
            return [], 0, reference
        limit = 2e-2 if re.search("16|half|int8", model.name) else 1e-4
        own = ports(program, model)
        with np.load(arrays) as archive:
            beside = told(program, model, numbered(archive, "in")) or []
        wrong: list[str] = []
        right = 0

        def check(source: Path, form: str, label: str, exact: bool) -> Path | None:
            nonlocal right
            suffix, keeps = FORMATS[form]
            target = work / f"{label}{suffix}"
            # A copy of weights leaves open what they did.
            leaves = source == model or source.suffix in (".h5", ".safetensors")
            said = convert(program, source, target, form, beside if leaves else [], twice=source == model)
            if said:
                if "VC2008" not in said and "VC2009" not in said:
                    wrong.append(f"{label}: {said}")
                return None
            said = differs(run(program, target, arrays, work / "given.npz"), reference, exact and keeps, limit)
            if not said and ports(program, target) != own:
                said = f"other names: {ports(program, target)} for {own}"
            # A copy of weights has lost the configuration that stood beside them.
            if said:
                if "VC2009" not in said:
                    wrong.append(f"{label}: {said}")
                return None
            right += 1
            return target

        found: list[set[str] | None] = []
        for form in forms:
            first = check(model, form, form, True)
            if first is None:
                continue
            if form in ("hdf5", "safetensors"):
                found.append(names(first))
            for other in forms:
                check(first, other, f"{form}-{other}", FORMATS[form][1])
        # State dictionaries are copied into their own format, untouched.
        if len(found) == 2 and None not in found and found[0] != found[1]:
            wrong.append(f"other names of weights: {found[0] ^ found[1]}")
        if None in found and model.suffix not in (".h5", ".hdf5", ".safetensors"):
            wrong.append("the file does not name its producer")
        return wrong, right, ""


def main() -> None:
    """Prints what is not right and how many are."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--only", default="*")
    parser.add_argument("--states", action="store_true")
    options = parser.parse_args()
    forms = [form for form in FORMATS if not options.states or FORMATS[form][1]]
    right = skipped = files = chains = 0
    chosen = [(model, arrays) for model, arrays in models(options.paths) if fnmatch.fnmatch(model.name, options.only)]
    # The time goes into starting programs: as many models at once as there are cores.
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        judged = list(pool.map(lambda pair: judge(options.program, *pair, forms), chosen))
    for (model, _), (wrong, count, why) in zip(chosen, judged, strict=True):
        files += bool(wrong)
        skipped += bool(why)
        right += not wrong and not why
        chains += count
        for line in wrong:
            print(f"{model.name}: {line}", flush=True)
    print(f"{right} right, {files} wrong, {skipped} skipped; {chains} files written and read")
    sys.exit(1 if files or not right else 0)


if __name__ == "__main__":
    main()
