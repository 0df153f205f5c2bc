"""Times `vitconv inspect` on graphs of 1,000 to 50,000 nodes, and writes what it found to docs/recognition.md.

    python benchmarks/scaling.py VITCONV [--out docs] [--runs N]

Graphs are stacks of attention blocks in several spellings, and shapes that are made to be hard: a chain of additions,
one of rearrangements, a value that everybody reads, fifty thousand softmaxes, branches inside branches. Weights are
small and shared, so that what is timed is reading, typing, canonicalization and recognition.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

TOKENS, WIDTH, HEADS = 5, 8, 2
SIZES = [1_000, 2_000, 5_000, 10_000, 20_000, 50_000]


class Stack:
    """A graph under construction: every node's first result is the next one's operand."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        random = np.random.default_rng(0)
        self.constants = {
            "qkv": random.standard_normal((WIDTH, 3 * WIDTH)).astype(np.float32),
            "square": random.standard_normal((WIDTH, WIDTH)).astype(np.float32),
            "vector": random.standard_normal(WIDTH).astype(np.float32),
            "scale": np.float32((WIDTH // HEADS) ** -0.5),
            "five": np.array([1, TOKENS, 3, HEADS, WIDTH // HEADS]),
            "four": np.array([1, TOKENS, HEADS, WIDTH // HEADS]),
            "three": np.array([1, TOKENS, WIDTH]),
            "two": np.array([TOKENS, WIDTH]),
            "i0": np.array(0),
            "i1": np.array(1),
            "i2": np.array(2),
        }

    def __call__(self, op: str, *operands: str, **attributes: object) -> str:
        name = f"v{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, operands, [name], name=f"n{len(self.nodes)}", **attributes))
        return name

    def save(self, path: Path, result: str) -> None:
        shape = [1, TOKENS, WIDTH]
        graph = helper.make_graph(
            self.nodes,
            "stack",
            [helper.make_tensor_value_info("x", TensorProto.FLOAT, shape)],
            [helper.make_tensor_value_info(result, TensorProto.FLOAT, None)],
            [numpy_helper.from_array(value, name) for name, value in self.constants.items()],
        )
        onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)]), path)


def attend(s: Stack, q: str, kt: str, v: str) -> str:
    scores = s("Mul", s("MatMul", q, kt), "scale")
    return s("MatMul", s("Softmax", scores, axis=-1), v)


def merged(s: Stack, o: str) -> str:
    return s("Reshape", s("Transpose", o, perm=[0, 2, 1, 3]), "three")


def packed(s: Stack, x: str) -> str:
    """One weight for queries, keys and values, told apart by Gather."""
    n = s("LayerNormalization", x, "vector", "vector")
    t = s("Transpose", s("Reshape", s("MatMul", n, "qkv"), "five"), perm=[2, 0, 3, 1, 4])
    q, k, v = (s("Gather", t, i, axis=0) for i in ("i0", "i1", "i2"))
    o = attend(s, q, s("Transpose", k, perm=[0, 1, 3, 2]), v)
    return s("Add", x, s("Add", s("MatMul", merged(s, o), "square"), "vector"))


def separate(s: Stack, x: str) -> str:
    """A weight for each, and a feed-forward network behind."""
    n = s("LayerNormalization", x, "vector", "vector")
    q, k, v = (s("Reshape", s("Add", s("MatMul", n, "square"), "vector"), "four") for _ in range(3))
    q, v = (s("Transpose", a, perm=[0, 2, 1, 3]) for a in (q, v))
    o = attend(s, q, s("Transpose", k, perm=[0, 2, 3, 1]), v)
    x = s("Add", x, s("MatMul", merged(s, o), "square"))
    h = s("Relu", s("MatMul", s("LayerNormalization", x, "vector", "vector"), "square"))
    return s("Add", x, s("MatMul", h, "square"))


def einsums(s: Stack, x: str) -> str:
    """Products as Einsum, heads never transposed."""
    q, k, v = (s("Reshape", s("MatMul", x, "square"), "four") for _ in range(3))
    p = s("Softmax", s("Mul", s("Einsum", q, k, equation="bihd,bjhd->bhij"), "scale"), axis=-1)
    o = s("Reshape", s("Einsum", p, v, equation="bhij,bjhd->bihd"), "three")
    return s("Add", x, s("MatMul", o, "square"))


def convolutional(s: Stack, x: str) -> str:
    """No attention at all: what a mixer's and an MLP's nodes cost."""
    t = s("Transpose", s("MatMul", x, "square"), perm=[0, 2, 1])
    return s("Add", x, s("Sigmoid", s("Transpose", s("Relu", t), perm=[0, 2, 1])))


def additions(s: Stack, x: str) -> str:
    """A chain of sums of two activations."""
    return s("Add", x, "x")


def rearrangements(s: Stack, x: str) -> str:
    return s("Reshape", s("Reshape", x, "two"), "three")


def softmaxes(s: Stack, x: str) -> str:
    return s("Softmax", x, axis=-1)


def products(s: Stack, x: str) -> str:
    """Products of two activations one behind the other: none of them is attention."""
    return s("MatMul", s("MatMul", x, s("Transpose", x, perm=[0, 2, 1])), x)


def fan_out(s: Stack, x: str) -> str:
    """One value that everybody reads; results are left unread but for the last."""
    return s("Mul", "x", "vector")


STACKS: dict[str, Callable[[Stack, str], str]] = {
    f.__name__: f
    for f in (packed, separate, einsums, convolutional, additions, rearrangements, softmaxes, products, fan_out)
}


def write(name: str, size: int, path: Path) -> int:
    s, x = Stack(), "x"
    step = STACKS[name]
    if name == "fan_out":
        parts = [step(s, "x") for _ in range(size - 1)]
        x = s("Sum", *parts)
    else:
        while len(s.nodes) < size:
            x = step(s, x)
    s.save(path, x)
    return len(s.nodes)


def nested(depth: int, path: Path) -> None:
    """If inside If, each branch reading what the one outside made."""

    def branch(level: int) -> onnx.GraphProto:
        nodes = [helper.make_node("Add", ["x" if level == 0 else f"a{level - 1}", "x"], [f"a{level}"])]
        if level + 1 < depth:
            nodes.append(helper.make_node("If", ["c"], [f"r{level}"], then_branch=branch(level + 1), else_branch=leaf(level)))
        else:
            nodes.append(helper.make_node("Identity", [f"a{level}"], [f"r{level}"]))
        return helper.make_graph(nodes, f"g{level}", [], [helper.make_tensor_value_info(f"r{level}", TensorProto.FLOAT, None)])

    def leaf(level: int) -> onnx.GraphProto:
        nodes = [helper.make_node("Identity", ["x"], [f"l{level}"])]
        return helper.make_graph(nodes, f"e{level}", [], [helper.make_tensor_value_info(f"l{level}", TensorProto.FLOAT, None)])

    body = branch(0)
    body.input.extend(
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, TOKENS, WIDTH]),
            helper.make_tensor_value_info("c", TensorProto.BOOL, []),
        ]
    )
    onnx.save(helper.make_model(body, opset_imports=[helper.make_opsetid("", 17)]), path)


def measure(program: str, path: Path, runs: int) -> tuple[float, int]:
    """The best of some runs in seconds, start of the process included, and the blocks that were found."""
    best, blocks = math.inf, -1
    for _ in range(runs):
        start = time.perf_counter()
        done = subprocess.run([program, "inspect", str(path), "--json"], capture_output=True, text=True, timeout=300)
        best = min(best, time.perf_counter() - start)
        blocks = len(json.loads(done.stdout)["attention"]) if done.returncode == 0 else -1
    return best, blocks


COLORS = ["#3366aa", "#aa3366", "#33996b", "#996633", "#663399", "#999933", "#339999", "#cc6633", "#666666"]


def plot(table: dict[str, list[tuple[int, float, int]]], path: Path) -> None:
    """Seconds over nodes, both axes linear, so that a straight line is linear growth."""
    width, height, left, bottom = 640, 360, 56, 40
    most = max(seconds for rows in table.values() for _, seconds, _ in rows)
    right = max(nodes for rows in table.values() for nodes, _, _ in rows)
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="11">',
        f'<path d="M{left},10V{height - bottom}H{width - 130}" fill="none" stroke="#444"/>',
    ]

    def place(nodes: float, seconds: float) -> str:
        x = left + nodes / right * (width - 130 - left)
        y = height - bottom - seconds / most * (height - bottom - 16)
        return f"{x:.1f},{y:.1f}"

    for part in range(6):
        x, _ = place(right * part / 5, 0).split(",")
        _, y = place(0, most * part / 5).split(",")
        lines.append(f'<text x="{x}" y="{height - bottom + 16}" text-anchor="middle">{right * part // 5:,}</text>')
        lines.append(f'<text x="{left - 6}" y="{y}" text-anchor="end">{most * part / 5:.2f}</text>')
    lines.append(f'<text x="{(width - 130 + left) / 2}" y="{height - 6}" text-anchor="middle">nodes</text>')
    lines.append(f'<text x="{left + 6}" y="14">seconds</text>')
    for index, (name, rows) in enumerate(table.items()):
        color = COLORS[index % len(COLORS)]
        lines.append(f'<polyline points="{" ".join(place(n, s) for n, s, _ in rows)}" fill="none" stroke="{color}" stroke-width="1.5"/>')
        lines.append(f'<text x="{width - 122}" y="{24 + 16 * index}" fill="{color}">{name.replace("_", " ")}</text>')
    lines.append("</svg>")
    path.write_text("\n".join(lines) + "\n")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent.parent / "docs")
    parser.add_argument("--runs", type=int, default=2)
    options = parser.parse_args()
    table: dict[str, list[tuple[int, float, int]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "graph.onnx"
        for name in STACKS:
            for size in SIZES:
                nodes = write(name, size, path)
                seconds, blocks = measure(options.program, path, options.runs)
                table.setdefault(name, []).append((nodes, seconds, blocks))
                print(f"{name:>15} {nodes:>7} nodes {seconds:8.3f} s {blocks:>6} blocks", flush=True)
        depths = []
        for depth in (4, 8, 16, 32):
            nested(depth, path)
            depths.append((depth, *measure(options.program, path, options.runs)))
            print(f"{'nested':>15} {depth:>7} deep  {depths[-1][1]:8.3f} s", flush=True)
    plot(table, options.out / "recognition.svg")
    rows = ["| graph | " + " | ".join(f"{size:,}" for size in SIZES) + " | blocks in the largest |", "|---|" + "---:|" * (len(SIZES) + 1)]
    for name, measured in table.items():
        rows.append(f"| {name.replace('_', ' ')} | " + " | ".join(f"{s:.3f}" for _, s, _ in measured) + f" | {measured[-1][2]:,} |")
    text = (options.out / "recognition.md").read_text()
    start, end = "<!-- scaling -->", "<!-- /scaling -->"
    head, rest = text.split(start)
    nests = ", ".join(f"{depth} deep {seconds:.3f} s" for depth, seconds, _ in depths)
    body = "\n".join(rows) + f"\n\nBranches inside branches: {nests}."
    (options.out / "recognition.md").write_text(f"{head}{start}\n{body}\n{end}{rest.split(end)[1]}")
    return 0 if all(seconds <= 2 for measured in table.values() for _, seconds, _ in measured) else 1


if __name__ == "__main__":
    os.environ["NO_COLOR"] = "1"
    sys.exit(main())
