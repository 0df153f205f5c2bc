#!/usr/bin/env python3
"""Holds written ONNX files against the ones they were made from.

usage: onnx_roundtrip.py PAIRS

PAIRS is a text file with one pair of paths a line, separated by a tab: the original and what was written from it.
Each written file must pass onnx.checker with full_check, and must compute bit for bit what the original computes in
ONNX Runtime (graph optimizations off, so that the files' own operators run). Inputs are drawn from a fixed seed;
symbolic dimensions become 2. Prints one line for each pair that fails; exit status 1 if there is one,
or if one pair in twenty cannot be compared.
"""
import sys

import numpy as np
import onnx
import onnxruntime as ort

DTYPES = {
    "tensor(float)": np.float32, "tensor(double)": np.float64, "tensor(float16)": np.float16, "tensor(int64)": np.int64,
    "tensor(int32)": np.int32, "tensor(bool)": np.bool_, "tensor(uint8)": np.uint8,
}


SKIPPED = "the original does not run, so there is nothing to compare with"


def session(path):
    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = 1
    options.log_severity_level = 4
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def feeds(inputs):
    random = np.random.default_rng(0)
    result = {}
    for i in inputs:
        shape = [d if isinstance(d, int) else 2 for d in i.shape]
        dtype = DTYPES[i.type]
        result[i.name] = random.standard_normal(shape).astype(dtype) if np.issubdtype(dtype, np.floating) else random.integers(0, 2, shape).astype(dtype)
    return result


def check(original, written):
    try:
        # Models with operators outside the standard pass the plain check only.
        full = all(o.domain in ("", "ai.onnx") for o in onnx.load(original, load_external_data=False).opset_import)
        onnx.checker.check_model(written, full_check=full)
    except Exception as e:  # the checker's exceptions have no common base
        return f"checker: {str(e).splitlines()[0]}"
    try:
        first = session(original)
    except Exception:
        return SKIPPED
    second = session(written)
    if [i.name for i in first.get_inputs()] != [i.name for i in second.get_inputs()]:
        return "inputs differ"
    x = feeds(first.get_inputs())
    for output, a, b in zip(first.get_outputs(), first.run(None, x), second.run(None, x)):
        if a.dtype != b.dtype or a.shape != b.shape or a.tobytes() != b.tobytes():
            return f"output {output.name} differs"
    return None


def main():
    failed = count = skipped = 0
    for line in open(sys.argv[1]):
        original, written = line.rstrip("\n").split("\t")
        problem = check(original, written)
        count += 1
        if problem == SKIPPED:
            skipped += 1
        elif problem:
            failed += 1
            print(f"{written}: {problem}")
    print(f"{count} pairs, {failed} failed, {skipped} not compared")
    # A few files may use what this ONNX Runtime lacks; if many do, the comparison says nothing.
    return 1 if failed or skipped * 20 >= count else 0


if __name__ == "__main__":
    sys.exit(main())
