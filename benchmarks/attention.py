"""Prints how one attention layer's time and memory grow with the number of tokens, tiled and plain, as a Markdown table.

    python benchmarks/attention.py [VITCONV] [--threads N]

Plain is the same graph with the attention map as an output: it has to be held then, so the plan computes it product by product.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROOT = Path(__file__).resolve().parent.parent
HEADS, HEAD_DIM = 12, 64


def layer(tokens: int, keeps_map: bool) -> onnx.ModelProto:
    """Queries, keys and values as inputs; what is measured is attention alone."""
    shape = [1, HEADS, tokens, HEAD_DIM]
    nodes = [
        helper.make_node("Transpose", ["k"], ["kt"], perm=[0, 1, 3, 2]),
        helper.make_node("MatMul", ["q", "kt"], ["scores"]),
        helper.make_node("Mul", ["scores", "scale"], ["scaled"]),
        helper.make_node("Softmax", ["scaled"], ["map"], axis=-1),
        helper.make_node("MatMul", ["map", "v"], ["y"]),
    ]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, shape)]
    if keeps_map:
        outputs.append(helper.make_tensor_value_info("map", TensorProto.FLOAT, [1, HEADS, tokens, tokens]))
    inputs = [helper.make_tensor_value_info(name, TensorProto.FLOAT, shape) for name in "qkv"]
    scale = numpy_helper.from_array(np.array(HEAD_DIM**-0.5, np.float32), "scale")
    graph = helper.make_graph(nodes, "attention", inputs, outputs, [scale])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vitconv", nargs="?", default=str(ROOT / ".build/release/vitconv"))
    parser.add_argument("--threads", default="1")
    arguments = parser.parse_args()
    print("| tokens | tiled ms | peak MB | plain ms | peak MB |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "attention.onnx"
        for tokens in (64, 128, 256, 512, 1024, 2048, 4096):
            cells = [str(tokens)]
            for keeps_map in (False, True):
                onnx.save(layer(tokens, keeps_map), path)
                command = [arguments.vitconv, "bench", str(path), "--threads", arguments.threads, "--runs", "5", "--warmup", "1", "--json"]
                result = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
                cells += [f"{result['min_ms']:.2f}", f"{result['peak_rss_bytes'] / 1e6:.0f}"]
            print(f"| {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
