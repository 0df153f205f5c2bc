"""onnx.checker and ONNX Runtime as judges of the ONNX files that vitconv writes, at every operator set.

    python conformance/opset_oracle.py VITCONV MODEL_OR_FOLDER... [--opsets 17-28] [--layout keep|nchw] [--only PATTERN] [--jobs N]

Each model that has an archive of arrays beside it (`X.h5`, `X.keras`, `X.onnx` … with `X.npz`: inputs `in*`, outputs
`out*`) is converted at each operator set; the checker must pass it with full shape inference, names of inputs and outputs
must stay, and ONNX Runtime must give the arrays. Operator sets that ONNX Runtime does not load yet are run by the reference
evaluator of the onnx package.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import fnmatch
import functools
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path

os.environ["ALLOW_RELEASED_ONNX_OPSET_ONLY"] = "0"
import numpy as np
import onnx
import onnxruntime
from judged import models, numbered
from onnx.reference import ReferenceEvaluator


@functools.cache
def runtime_loads(opset: int) -> bool:
    """Whether ONNX Runtime takes models of this operator set."""
    value = onnx.helper.make_tensor_value_info("x", onnx.TensorProto.FLOAT, [1])
    node = onnx.helper.make_node("Identity", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "probe", [value], [onnx.helper.make_tensor_value_info("y", onnx.TensorProto.FLOAT, [1])])
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", opset)], ir_version=10)
    try:
        onnxruntime.InferenceSession(model.SerializeToString(), quiet(), providers=["CPUExecutionProvider"])
    except Exception:  # noqa: BLE001: whatever it throws, it does not take it
        return False
    return True


def quiet() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return options


def judge(program: str, file: Path, arrays: Path, opset: int, layout: str) -> tuple[str, str]:
    """One of `right`, `wrong`, `refused`, `skipped` and why."""
    with tempfile.TemporaryDirectory() as folder, np.load(arrays) as archive:
        inputs, wanted = numbered(archive, "in"), numbered(archive, "out")
        if not inputs or not wanted:
            return "skipped", "no inputs"
        out = Path(folder) / "model.onnx"
        command = [program, "convert", str(file), "-o", str(out), "--opset", str(opset), "--layout", layout]
        done = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
        if done.returncode != 0:
            if subprocess.run([program, "inspect", str(file)], capture_output=True, timeout=600, check=False).returncode > 1:
                return "skipped", "vitconv does not read it"
            if "VC2009" in done.stderr:
                return "skipped", "its weights leave the architecture open"
            text = done.stderr.strip().splitlines()
            return ("refused" if done.returncode == 3 and "VC2008" in done.stderr else "wrong"), text[0] if text else "no message"
        try:
            model = onnx.load(out)
            onnx.checker.check_model(model, full_check=True)
            given_opset = {entry.domain: entry.version for entry in model.opset_import}[""]
            if given_opset != opset:
                return "wrong", f"opset {given_opset}"
            if not model.graph.input:
                return "skipped", "weights without an architecture"
            feeds = {}
            for value, array in zip(model.graph.input, inputs, strict=True):
                shape = [d.dim_value if d.HasField("dim_value") else None for d in value.type.tensor_type.shape.dim]
                if layout == "nchw" and array.ndim == 4 and not fits(shape, array.shape):
                    array = array.transpose(0, 3, 1, 2)
                if not fits(shape, array.shape):
                    return "skipped", "its arrays are for another size"
                feeds[value.name] = array
            if runtime_loads(opset):
                given = onnxruntime.InferenceSession(str(out), quiet(), providers=["CPUExecutionProvider"]).run(None, feeds)
            elif any(entry.domain == "com.microsoft" for entry in model.graph.node):
                return "skipped", "operators of ONNX Runtime, at an operator set that it does not load"
            else:
                given = [np.asarray(value) for value in ReferenceEvaluator(model).run(None, feeds)]
        except Exception as error:  # noqa: BLE001: whatever the judges throw is the verdict
            if any(entry.domain == "keras" for entry in model.graph.node):
                return "skipped", "holds a layer without a meaning"
            return "wrong", f"{type(error).__name__}: {str(error).strip()[:300]}"
        if len(given) != len(wanted):
            return "wrong", f"{len(given)} outputs for {len(wanted)}"
        limit = 2e-2 if re.search("16|half|int8", file.name) else 1e-4
        worst = difference(given, wanted, layout)
        if isinstance(worst, str):
            return "wrong", worst
        if worst > limit and not runtime_loads(opset):
            # The evaluator does not run every operator as the standard says; it does so at every operator set.
            newest = max(version for version in range(17, opset) if runtime_loads(version))
            verdict, why = judge(program, file, arrays, newest, layout)
            if verdict == "right" and same(evaluated(program, file, feeds, newest, layout, Path(folder)), given):
                return "right", f"as at opset {newest}, {why}"
        return ("right" if worst <= limit else "wrong"), f"{worst:.1e}"


def evaluated(program: str, file: Path, feeds: dict[str, np.ndarray], opset: int, layout: str, folder: Path) -> list[np.ndarray]:
    """What the reference evaluator computes at another operator set."""
    out = folder / "newest.onnx"
    subprocess.run([program, "convert", str(file), "-o", str(out), "--opset", str(opset), "--layout", layout], capture_output=True, timeout=600, check=True)
    return [np.asarray(value) for value in ReferenceEvaluator(onnx.load(out)).run(None, feeds)]


def same(mine: list[np.ndarray], theirs: list[np.ndarray]) -> bool:
    return len(mine) == len(theirs) and all(np.array_equal(a, b, equal_nan=True) for a, b in zip(mine, theirs, strict=True))


def difference(given: list[np.ndarray], wanted: list[np.ndarray], layout: str) -> float | str:
    """The largest difference, relative to numbers above 1; images may have come out with channels first."""
    worst = 0.0
    for mine, theirs in zip(given, wanted, strict=True):
        candidates = [mine] + ([mine.transpose(0, 2, 3, 1)] if layout == "nchw" and mine.ndim == 4 else [])
        fitting = [one.astype("f8") for one in candidates if one.shape == theirs.shape]
        if not fitting:
            return f"shape {mine.shape} for {theirs.shape}"
        b = theirs.astype("f8")
        worst = max(worst, min(float(np.abs(a - b).max(initial=0) / max(1.0, np.abs(b).max(initial=0))) for a in fitting))
    return worst


def fits(declared: list[int | None], shape: tuple[int, ...]) -> bool:
    """Whether an array may be fed to an input of this shape."""
    return len(declared) == len(shape) and all(d is None or d == s for d, s in zip(declared, shape, strict=True))


def main() -> None:
    """Prints what is not right and a summary for each operator set; fails unless nothing is wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--opsets", default="17-28")
    parser.add_argument("--layout", default="keep", choices=["keep", "nchw"])
    parser.add_argument("--only", default="*")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    options = parser.parse_args()
    first, _, last = options.opsets.partition("-")
    chosen = [pair for pair in models(options.paths) if fnmatch.fnmatch(pair[0].name, options.only)]
    failed = not chosen
    for opset in range(int(first), int(last or first) + 1):
        counts: dict[str, int] = {}
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            verdicts = pool.map(lambda pair: judge(options.program, *pair, opset, options.layout), chosen)  # noqa: B023
            for (file, _), (verdict, why) in zip(chosen, verdicts, strict=True):
                counts[verdict] = counts.get(verdict, 0) + 1
                if verdict in ("wrong", "refused"):
                    print(f"opset {opset}: {verdict} {file.name}: {why}", flush=True)
        print(f"opset {opset}: " + ", ".join(f"{counts[key]} {key}" for key in sorted(counts)), flush=True)
        failed |= bool(counts.get("wrong"))
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
