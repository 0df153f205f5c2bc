"""Writes a ViT-B/16 with random weights as ONNX: 224x224 RGB, 12 blocks, width 768, 12 heads, about 346 MB.

Built node by node in the way PyTorch's exporters write it, so that only NumPy and onnx are needed.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

SIDE, PATCH, CHANNELS, WIDTH, DEPTH, HEADS, HIDDEN, CLASSES = 224, 16, 3, 768, 12, 12, 3072, 1000
TOKENS = (SIDE // PATCH) ** 2 + 1
HEAD_DIM = WIDTH // HEADS


class Builder:
    """Nodes and weights in order; every method returns the name of the value it makes."""

    def __init__(self, seed: int) -> None:
        self.random = np.random.default_rng(seed)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []

    def constant(self, name: str, array: NDArray[np.generic]) -> str:
        self.weights.append(numpy_helper.from_array(array, name))
        return name

    def weight(self, name: str, *shape: int) -> str:
        values = self.random.standard_normal(shape, dtype=np.float32) * np.float32(shape[0] ** -0.5)
        return self.constant(name, values)

    def node(self, op: str, name: str, *inputs: str, **attributes: object) -> str:
        output = f"{name}/{op}_output_0"
        self.nodes.append(helper.make_node(op, list(inputs), [output], name=f"{name}/{op}", **attributes))
        return output

    def linear(self, name: str, x: str, fan_in: int, fan_out: int) -> str:
        product = self.node("MatMul", name, x, self.weight(f"{name}.weight", fan_in, fan_out))
        return self.node("Add", name, self.constant(f"{name}.bias", np.zeros(fan_out, np.float32)), product)

    def norm(self, name: str, x: str) -> str:
        scale = self.constant(f"{name}.weight", np.ones(WIDTH, np.float32))
        bias = self.constant(f"{name}.bias", np.zeros(WIDTH, np.float32))
        return self.node("LayerNormalization", name, x, scale, bias, axis=-1, epsilon=1e-6)

    def attention(self, name: str, x: str) -> str:
        def heads(part: str, perm: list[int]) -> str:
            projected = self.linear(f"{name}.{part}", x, WIDTH, WIDTH)
            split = self.node("Reshape", f"{name}.{part}", projected, "split_heads")
            return self.node("Transpose", f"{name}.{part}", split, perm=perm)

        query, key, value = heads("q", [0, 2, 1, 3]), heads("k", [0, 2, 3, 1]), heads("v", [0, 2, 1, 3])
        scores = self.node("Mul", name, self.node("MatMul", f"{name}.scores", query, key), "scale")
        weights = self.node("Softmax", name, scores, axis=-1)
        mixed = self.node("MatMul", f"{name}.mix", weights, value)
        merged = self.node("Reshape", name, self.node("Transpose", name, mixed, perm=[0, 2, 1, 3]), "merge_heads")
        return self.linear(f"{name}.proj", merged, WIDTH, WIDTH)

    def gelu(self, name: str, x: str) -> str:
        erf = self.node("Erf", name, self.node("Div", name, x, "sqrt2"))
        return self.node("Mul", f"{name}.half", self.node("Mul", name, x, self.node("Add", name, erf, "one")), "half")

    def block(self, name: str, x: str) -> str:
        x = self.node("Add", f"{name}.residual1", x, self.attention(f"{name}.attn", self.norm(f"{name}.norm1", x)))
        hidden = self.gelu(f"{name}.mlp.act", self.linear(f"{name}.mlp.fc1", self.norm(f"{name}.norm2", x), WIDTH, HIDDEN))
        return self.node("Add", f"{name}.residual2", x, self.linear(f"{name}.mlp.fc2", hidden, HIDDEN, WIDTH))


def build(seed: int) -> onnx.ModelProto:
    b = Builder(seed)
    b.constant("split_heads", np.array([1, TOKENS, HEADS, HEAD_DIM], np.int64))
    b.constant("merge_heads", np.array([1, TOKENS, WIDTH], np.int64))
    b.constant("flatten", np.array([1, WIDTH, TOKENS - 1], np.int64))
    b.constant("first", np.array(0, np.int64))
    for name, value in (("scale", HEAD_DIM**-0.5), ("sqrt2", 2**0.5), ("one", 1.0), ("half", 0.5)):
        b.constant(name, np.array(value, np.float32))
    kernel = b.weight("patch_embed.weight", WIDTH, CHANNELS, PATCH, PATCH)
    bias = b.constant("patch_embed.bias", np.zeros(WIDTH, np.float32))
    grid = b.node("Conv", "patch_embed", "image", kernel, bias, kernel_shape=[PATCH, PATCH], strides=[PATCH, PATCH])
    patches = b.node("Transpose", "patch_embed", b.node("Reshape", "patch_embed", grid, "flatten"), perm=[0, 2, 1])
    x = b.node("Concat", "tokens", b.weight("cls_token", 1, 1, WIDTH), patches, axis=1)
    x = b.node("Add", "tokens", x, b.weight("pos_embed", 1, TOKENS, WIDTH))
    for index in range(DEPTH):
        x = b.block(f"blocks.{index}", x)
    logits = b.linear("head", b.node("Gather", "head", b.norm("norm", x), "first", axis=1), WIDTH, CLASSES)
    graph = helper.make_graph(
        b.nodes, "vit_b16",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, CHANNELS, SIDE, SIDE])],
        [helper.make_tensor_value_info(logits, TensorProto.FLOAT, [1, CLASSES])],
        b.weights,
    )  # fmt: skip
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8, producer_name="vit_b16.py")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, metavar="OUT.onnx")
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    onnx.save(build(arguments.seed), arguments.out)
    print(f"{arguments.out.name}: {arguments.out.stat().st_size} bytes")
