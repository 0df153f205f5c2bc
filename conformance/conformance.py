"""Runs the backend test suite of the onnx package on vitconv and on ONNX Runtime, and writes what each passes.

    python conformance/conformance.py VITCONV [--report docs/conformance.md] [--cases DIR]

Both are held to the suite's rule: |x - y| <= 1e-7 + 1e-3 |y| for floating point (2^-6 |y| for bfloat16), equal for
everything else, and equal types and shapes. No case is left out.
"""

from __future__ import annotations

import os

# ONNX Runtime otherwise refuses operator sets that are newer than itself, also where it has every operator of a case.
os.environ["ALLOW_RELEASED_ONNX_OPSET_ONLY"] = "0"

import argparse
import collections
import concurrent.futures
import json
import shutil
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import onnx
from onnx import numpy_helper

ROOT = Path(__file__).resolve().parent.parent
SUITES = ["node", "simple", "pytorch-converted", "pytorch-operator"]
OUTCOMES = ["passed", "failed", "refused"]


# ---- The cases


def make_cases(folder: Path) -> None:
    """Node and simple cases are made by the package's generators; the converted ones lie in the package."""
    stamp = folder / f".onnx-{onnx.__version__}"
    if stamp.exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    from onnx.backend.test import cmd_tools
    from onnx.backend.test.case import model, node

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        collected = node.collect_testcases(None) + [case for case in model.collect_testcases() if case.kind in SUITES]
        # The package's own writer, given the node cases as well.
        cmd_tools.model_test = argparse.Namespace(collect_testcases=lambda: collected)
        cmd_tools.generate_data(argparse.Namespace(output=str(folder)))
    data = Path(onnx.__file__).parent / "backend" / "test" / "data"
    for suite in SUITES:
        if (data / suite).is_dir():
            shutil.copytree(data / suite, folder / suite, dirs_exist_ok=True)
    for extra in folder.iterdir():
        if extra.name not in SUITES:
            shutil.rmtree(extra)
    stamp.touch()


# ---- ONNX Runtime

TENSOR = onnx.TensorProto
# Types that the Python bindings cannot pass in or out: such inputs become initializers, and such outputs are cast to
# float32, which holds all of them exactly.
HIDDEN = {
    getattr(TENSOR, name)
    for name in dir(TENSOR)
    if name.startswith(("FLOAT8", "FLOAT4", "FLOAT6", "INT4", "UINT4", "INT2", "UINT2", "BFLOAT16")) and isinstance(getattr(TENSOR, name), int)
}


def read_value(path: Path, kind: onnx.TypeProto):
    data = path.read_bytes()
    which = kind.WhichOneof("value")
    if which == "sequence_type":
        return numpy_helper.to_list(onnx.SequenceProto.FromString(data))
    if which == "optional_type":
        return numpy_helper.to_optional(onnx.OptionalProto.FromString(data))
    if which == "map_type":
        return numpy_helper.to_dict(onnx.MapProto.FromString(data))
    return TENSOR.FromString(data)


def as_array(value):
    return numpy_helper.to_array(value) if isinstance(value, TENSOR) else value


def is_native(array: np.ndarray) -> bool:
    return array.dtype.type.__module__ == "numpy"


def same(got, want) -> str:
    """What differs; empty where nothing does."""
    if isinstance(want, (list, tuple)):
        if not isinstance(got, (list, tuple)) or len(got) != len(want):
            return "another sequence"
        return next(filter(None, (same(g, w) for g, w in zip(got, want))), "")
    if want is None or got is None:
        return "" if got is None and want is None else "another optional"
    got, want = np.asarray(got), np.asarray(want)
    if got.shape != want.shape:
        return f"shape {got.shape} instead of {want.shape}"
    if want.dtype == object or want.dtype.kind in "SU":
        texts = [[v.decode() if isinstance(v, bytes) else str(v) for v in a.ravel().tolist()] for a in (got, want)]
        return "" if texts[0] == texts[1] else "other strings"
    bfloat16 = want.dtype.name == "bfloat16"
    if not is_native(want):
        want = want.astype(np.float32)
        if not is_native(got):
            got = got.astype(np.float32)
    if got.dtype != want.dtype:
        return f"{got.dtype} instead of {want.dtype}"
    if want.dtype.kind in "biu":
        return "" if np.array_equal(got, want) else "other integers"
    close = np.isclose(got, want, rtol=2**-6 if bfloat16 else 1e-3, atol=1e-7, equal_nan=True)
    return "" if close.all() else f"{(~close).sum()} of {close.size} numbers differ"


def visible(model: onnx.ModelProto, ports: list, inputs: list) -> None:
    """Inputs and outputs of types that the bindings do not pass are moved inside."""
    graph = model.graph
    for port, value in zip(ports, inputs):
        if isinstance(value, TENSOR) and value.data_type in HIDDEN:
            value.name = port.name
            graph.initializer.append(value)
            graph.input.remove(port)
    for index, port in enumerate(list(graph.output)):
        if port.type.tensor_type.elem_type in HIDDEN:
            name = f"{port.name}/as-float32"
            graph.node.append(onnx.helper.make_node("Cast", [port.name], [name], to=TENSOR.FLOAT))
            cast = onnx.helper.make_tensor_value_info(name, TENSOR.FLOAT, None)
            cast.type.tensor_type.ClearField("shape")
            graph.output[index].CopyFrom(cast)


def run_runtime(path: str) -> tuple[str, str]:
    import onnxruntime

    onnxruntime.set_default_logger_severity(4)
    folder = Path(path)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    try:
        for data in sorted(folder.glob("test_data_set_*")):
            model = onnx.load(folder / "model.onnx")
            defaults = {tensor.name for tensor in model.graph.initializer}
            ports = [port for port in model.graph.input if port.name not in defaults]
            inputs = [read_value(data / f"input_{i}.pb", port.type) for i, port in enumerate(ports)]
            values = {port.name: as_array(value) for port, value in zip(ports, inputs)}
            wanted = [as_array(read_value(data / f"output_{i}.pb", port.type)) for i, port in enumerate(model.graph.output)]
            # The newest IR version adds nothing that these cases use.
            model.ir_version = min(model.ir_version, 13)
            visible(model, ports, inputs)
            session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
            results = session.run(None, {port.name: values[port.name] for port in session.get_inputs()})
            for got, want in zip(results, wanted):
                if difference := same(got, want):
                    return "failed", difference
    except Exception as error:  # whatever the runtime raises is its refusal
        return "refused", " ".join(str(error).split())[:200]
    return "passed", ""


def runtime_outcomes(paths: list[str]) -> dict[str, tuple[str, str]]:
    """Case by case in another process, which is started anew where a case ends it."""
    outcomes: dict[str, tuple[str, str]] = {}
    pool = concurrent.futures.ProcessPoolExecutor(1)
    for path in paths:
        try:
            outcomes[path] = pool.submit(run_runtime, path).result(timeout=120)
        except Exception as error:
            outcomes[path] = ("refused", f"the process ended: {type(error).__name__}")
            pool.shutdown(wait=False, cancel_futures=True)
            pool = concurrent.futures.ProcessPoolExecutor(1)
    pool.shutdown()
    return outcomes


# ---- The report


def row(*cells: object) -> str:
    return "| " + " | ".join(str(cell).replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"


def report(results: dict[str, list[dict]], versions: dict[str, str]) -> str:
    lines = [
        "# Conformance",
        "",
        f"The backend test suite of the onnx package {versions['onnx']}, run by `make conformance` on vitconv and on ONNX Runtime"
        f" {versions['onnxruntime']} (CPU). Each case is a model with inputs and the outputs that the standard's reference gives; floating-point"
        " results agree when |x - y| <= 1e-7 + 1e-3 |y| (2^-6 |y| for bfloat16), all others when they are equal, types and shapes included."
        " *Failed* means that a case ran and gave something else; *refused*, that it could not be read or run. No case is left out, and none is"
        " treated as a special one.",
        "",
        "Operator sets that are newer than ONNX Runtime are allowed to it, and types that its Python bindings cannot pass are moved inside the"
        " graph, so that it is judged on what it computes.",
        "",
        "## Totals",
        "",
        row("suite", "cases", "vitconv passed", "failed", "refused", "ONNX Runtime passed", "failed", "refused"),
        "|---|" + "---:|" * 7,
    ]
    for suite, cases in results.items():
        ours = collections.Counter(case["ours"][0] for case in cases)
        theirs = collections.Counter(case["theirs"][0] for case in cases)
        lines.append(row(suite, len(cases), *(ours[o] for o in OUTCOMES), *(theirs[o] for o in OUTCOMES)))
    lines += ["", "## By operator", "", "A case of several operators counts for each. Operators of which every case passes on both sides are listed below the table.", ""]
    table = collections.defaultdict(lambda: (collections.Counter(), collections.Counter()))
    for cases in results.values():
        for case in cases:
            for operator in case["operators"] or ["(not read)"]:
                table[operator][0][case["ours"][0]] += 1
                table[operator][1][case["theirs"][0]] += 1
    lines += [row("operator", "vitconv passed", "failed", "refused", "ONNX Runtime passed", "failed", "refused"), "|---|" + "---:|" * 6]
    whole = []
    for operator, (ours, theirs) in sorted(table.items()):
        if set(ours) == set(theirs) == {"passed"}:
            whole.append(operator)
        else:
            lines.append(row(operator, *(ours[o] for o in OUTCOMES), *(theirs[o] for o in OUTCOMES)))
    lines += ["", f"All cases pass on both sides ({len(whole)} operators): {', '.join(whole)}.", "", "## What vitconv does not pass", ""]
    missing = [(suite, case) for suite, cases in results.items() for case in cases if case["ours"][0] != "passed"]
    if not missing:
        lines.append("Nothing.")
    else:
        lines += [row("suite", "case", "", "why", "ONNX Runtime"), "|---|---|---|---|---|"]
        for suite, case in missing:
            lines.append(row(suite, case["name"], *case["ours"], case["theirs"][0]))
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("vitconv")
    parser.add_argument("--report", type=Path, default=ROOT / "docs" / "conformance.md")
    parser.add_argument("--cases", type=Path, help="cases that were made before, in a folder for each suite")
    arguments = parser.parse_args()
    import onnxruntime

    folder = arguments.cases or ROOT / "build" / "conformance"
    if arguments.cases is None:
        make_cases(folder)
    results: dict[str, list[dict]] = {}
    for suite in SUITES:
        run = subprocess.run([arguments.vitconv, "validate", str(folder / suite), "--json"], capture_output=True, text=True)
        if run.returncode not in (0, 1):
            raise SystemExit(f"vitconv ended with {run.returncode}\n{run.stderr}")
        cases = json.loads(run.stdout)["cases"]
        theirs = runtime_outcomes([str(folder / suite / case["name"]) for case in cases])
        results[suite] = [
            {
                "name": case["name"],
                "operators": case["operators"],
                "ours": (case["outcome"], " ".join(filter(None, [case["code"], case["reason"]]))),
                "theirs": theirs[str(folder / suite / case["name"])],
            }
            for case in cases
        ]
        counts = collections.Counter(case["ours"][0] for case in results[suite])
        other = collections.Counter(case["theirs"][0] for case in results[suite])
        print(f"{suite}: vitconv {counts['passed']} of {len(cases)}, ONNX Runtime {other['passed']}", flush=True)
    arguments.report.write_text(report(results, {"onnx": onnx.__version__, "onnxruntime": onnxruntime.__version__}))
    print(f"wrote {arguments.report}")


if __name__ == "__main__":
    main()
