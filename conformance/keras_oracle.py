"""Keras as the judge of what vitconv writes for it.

    python conformance/keras_oracle.py VITCONV MODEL_OR_FOLDER... [--format keras|keras-h5] [--only PATTERN]
    python conformance/keras_oracle.py VITCONV MODEL --rewrite NAME --samples FILE [--format keras|keras-h5]

Each model that has an archive of arrays beside it (`X.onnx`, `X.h5` or `X.keras` with `X.npz`: inputs `in*`, outputs
`out*`) is converted to a Keras file, loaded by Keras in safe mode, and its predictions are compared with the arrays. A
conversion that vitconv refuses by name counts as refused, not as wrong.

With `--rewrite` the model is rewritten on the way, with the arrays of FILE as samples, and Keras's predictions for the
first of them are compared with those of ONNX Runtime on the same rewrite as an ONNX file.
"""

from __future__ import annotations

import argparse
import fnmatch
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("CUDA_VISIBLE_DEVICES", "-1")
import keras
import numpy as np
import onnxruntime
from judged import models, numbered, told


def tolerance(file: Path, given: float) -> float:
    """Narrow types agree within their own rounding."""
    return max(given, 2e-2) if re.search("16|half|int8", file.name) else given


def judge(program: str, file: Path, arrays: Path, form: str, limit: float) -> tuple[str, str]:
    """One of `right`, `wrong`, `refused` and why."""
    with tempfile.TemporaryDirectory() as folder, np.load(arrays) as archive:
        inputs, wanted = numbered(archive, "in"), numbered(archive, "out")
        if not inputs or not wanted:
            return "skipped", "no inputs"
        out = Path(folder) / ("model.keras" if form == "keras" else "model.h5")
        beside = told(program, file, inputs)
        if beside is None:
            return "skipped", "vitconv does not read it"
        done = convert(program, file, out, "--format", form, *beside)
        if done.returncode != 0:
            text = done.stderr.strip().splitlines()
            left = list(Path(folder).iterdir())
            if left:
                return "wrong", f"left {left[0].name} behind: {text[:1]}"
            if "VC2009" in done.stderr:
                return "skipped", "its weights leave the architecture open"
            return ("refused" if done.returncode == 3 and "VC2008" in done.stderr else "wrong"), text[0] if text else "no message"
        return compare(out, inputs, wanted, limit)


def judge_rewritten(program: str, file: Path, samples: Path, form: str, rewrite: str, limit: float) -> tuple[str, str]:
    """The same for a model that is rewritten; one input."""
    with tempfile.TemporaryDirectory() as folder, np.load(samples) as archive:
        out = Path(folder) / ("model.keras" if form == "keras" else "model.h5")
        onnx = Path(folder) / "model.onnx"
        for target, name in ((onnx, "onnx"), (out, form)):
            done = convert(program, file, target, "--format", name, "--rewrite", rewrite, "--samples", str(samples))
            if done.returncode != 0:
                return "wrong", done.stderr.strip()[:300]
        session = onnxruntime.InferenceSession(str(onnx), providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        inputs = [archive[name][:64].astype(np.float32)]
        return compare(out, inputs, session.run(None, {name: inputs[0]}), limit)


def convert(program: str, file: Path, out: Path, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, "convert", str(file), "-o", str(out), *options], capture_output=True, text=True, timeout=600, check=False)


def compare(out: Path, inputs: list[np.ndarray], wanted: list[np.ndarray], limit: float) -> tuple[str, str]:
    """What Keras predicts with the file, against what it should."""
    try:
        model = keras.models.load_model(out, safe_mode=True, compile=False)
        given = model(inputs if len(inputs) > 1 else inputs[0], training=False)
    except Exception as error:  # noqa: BLE001: whatever Keras throws is the verdict
        return "wrong", f"Keras: {type(error).__name__}: {str(error).strip()[:300]}"
    flat = [np.asarray(keras.ops.convert_to_numpy(value)) for value in keras.tree.flatten(given)]
    if len(flat) != len(wanted):
        return "wrong", f"{len(flat)} outputs for {len(wanted)}"
    worst = 0.0
    for mine, theirs in zip(flat, wanted, strict=True):
        if mine.shape != theirs.shape:
            return "wrong", f"shape {mine.shape} for {theirs.shape}"
        a, b = mine.astype("f8"), theirs.astype("f8")
        worst = max(worst, float(np.abs(a - b).max(initial=0) / max(1.0, np.abs(b).max(initial=0))))
    kinds = {type(layer).__name__ for layer in model.layers}
    note = f"{worst:.1e}, {len(model.operations)} layers" + (", MultiHeadAttention" if "MultiHeadAttention" in kinds else "")
    return ("right" if worst <= limit else "wrong"), note


def main() -> None:
    """Prints one line for each model that is not right (all with -v) and a summary; fails unless none is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--format", default="keras", choices=["keras", "keras-h5"])
    parser.add_argument("--only", default="*")
    parser.add_argument("--tolerance", type=float, default=1e-4)
    parser.add_argument("--rewrite")
    parser.add_argument("--samples", type=Path)
    parser.add_argument("-v", "--verbose", action="store_true")
    options = parser.parse_args()
    counts: dict[str, int] = {}
    if bool(options.rewrite) != bool(options.samples):
        parser.error("--rewrite and --samples go together")
    chosen = [(Path(path), options.samples) for path in options.paths] if options.rewrite else models(options.paths)
    for file, arrays in chosen:
        if not fnmatch.fnmatch(file.name, options.only):
            continue
        limit = tolerance(file, options.tolerance)
        if options.rewrite:
            verdict, why = judge_rewritten(options.program, file, arrays, options.format, options.rewrite, limit)
        else:
            verdict, why = judge(options.program, file, arrays, options.format, limit)
        keras.backend.clear_session()
        counts[verdict] = counts.get(verdict, 0) + 1
        if options.verbose or verdict in ("wrong", "refused"):
            print(f"{verdict:8} {file.name}: {why}", flush=True)
    print(", ".join(f"{counts[key]} {key}" for key in sorted(counts)) or "no models")
    sys.exit(1 if counts.get("wrong") or not counts.get("right") else 0)


if __name__ == "__main__":
    main()
