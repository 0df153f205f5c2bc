"""Damages test cases in ways that keep them models, and looks for one that vitconv does not come through.

    python conformance/mutants.py VITCONV CASES [--count 3000] [--seed 1] [--keep DIR]

CASES is a folder of cases in the layout of ONNX's backend suite (`conformance.py --cases` leaves one). Attributes, shapes,
element values and operands of nodes are changed at random; every mutant must come to an outcome that is no internal
error, in time. Those that do not are printed, and with --keep they stay.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
import onnx
from onnx import AttributeProto, numpy_helper

INTEGERS = [-(2**63), -(2**63) + 1, -(2**40), -(2**31), -5000, -7, -3, -2, -1, 0, 1, 2, 3, 5, 7, 64, 100, 4096, 65536, 2**20, 2**28, 2**31, 2**32, 2**40, 2**62, 2**63 - 1]
REALS = [float("nan"), float("inf"), -float("inf"), 0.0, -1.0, 1e-30, 1e30, -0.5, 2.5, 1e9]


class Mutation:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def array(self, x: np.ndarray) -> np.ndarray:
        """Another element, a longer or empty axis, another rank."""
        pick = self.random.randrange(10)
        if x.dtype == object:
            return x.reshape(-1) if pick < 5 else x[None]
        if pick < 5 and x.size:
            x = x.copy()
            place = self.random.randrange(x.size)
            if x.dtype.kind in "iu":
                info = np.iinfo(x.dtype)
                x.flat[place] = min(max(self.random.choice(INTEGERS), info.min), info.max)
            elif x.dtype.kind == "f":
                with np.errstate(over="ignore"):
                    x.flat[place] = np.array(self.random.choice(REALS)).astype(x.dtype)
            return x
        if not x.ndim:
            return x.reshape(1)
        axis = self.random.randrange(x.ndim)
        if pick in (5, 6):
            first = np.take(x, range(min(pick - 5, x.shape[axis])), axis=axis)
            return first if pick == 5 else np.concatenate([x, first], axis=axis)
        if pick == 7:
            return x[None]
        if pick == 8 or not x.shape[axis]:
            return x.reshape(-1)
        return np.take(x, 0, axis=axis)

    def numbers(self, values: list, choices: list) -> list:
        pick = self.random.randrange(3)
        if pick == 0 and values:
            values[self.random.randrange(len(values))] = self.random.choice(choices)
        elif pick == 1 and values:
            values.pop()
        else:
            values.append(self.random.choice(choices))
        return values

    def attribute(self, attribute: AttributeProto) -> None:
        kind = attribute.type
        if kind == AttributeProto.INT:
            attribute.i = self.random.choice(INTEGERS)
        elif kind == AttributeProto.FLOAT:
            attribute.f = self.random.choice(REALS)
        elif kind == AttributeProto.STRING:
            attribute.s = self.random.choice([b"", b"x", attribute.s + b"x", attribute.s[:-1], attribute.s.lower(), b"\xff\xfe"])
        elif kind == AttributeProto.INTS:
            attribute.ints[:] = self.numbers(list(attribute.ints), INTEGERS)
        elif kind == AttributeProto.FLOATS:
            attribute.floats[:] = self.numbers(list(attribute.floats), REALS)
        elif kind == AttributeProto.STRINGS and attribute.strings:
            attribute.strings.pop()
        elif kind == AttributeProto.TENSOR:
            attribute.t.CopyFrom(numpy_helper.from_array(self.array(numpy_helper.to_array(attribute.t))))
        elif kind == AttributeProto.GRAPH and attribute.g.node:
            self.node(self.random.choice(attribute.g.node))

    def node(self, node: onnx.NodeProto) -> None:
        """Another attribute or none, an operand for another, one too few or too many."""
        pick = self.random.randrange(6)
        if pick < 3 and node.attribute:
            self.attribute(self.random.choice(node.attribute))
        elif pick == 3 and node.attribute:
            node.attribute.remove(self.random.choice(node.attribute))
        elif pick == 4 and node.input:
            node.input[self.random.randrange(len(node.input))] = self.random.choice(["", *node.input])
        elif node.input and self.random.random() < 0.5:
            node.input.pop()
        elif node.input:
            node.input.append(self.random.choice(node.input))

    def case(self, source: Path, target: Path) -> None:
        model = onnx.load(source / "model.onnx")
        data = target / "test_data_set_0"
        shutil.copytree(min(source.glob("test_data_set_*")), data)
        for _ in range(self.random.choice([1, 1, 1, 2, 2, 3])):
            ports = [(n, port) for n, port in enumerate(model.graph.input) if port.type.WhichOneof("value") == "tensor_type"]
            if ports and self.random.random() < 0.5:
                number, port = self.random.choice(ports)
                file = data / f"input_{number}.pb"
                tensor = onnx.TensorProto.FromString(file.read_bytes())
                file.write_bytes(numpy_helper.from_array(self.array(numpy_helper.to_array(tensor))).SerializeToString())
                port.type.tensor_type.ClearField("shape")
            elif model.graph.node:
                self.node(self.random.choice(model.graph.node))
        # Without declared shapes most rules are broken where only the run sees it.
        ports = list(model.graph.output) + (list(model.graph.input) if self.random.random() < 0.7 else [])
        for port in ports:
            if port.type.WhichOneof("value") == "tensor_type":
                port.type.tensor_type.ClearField("shape")
        (target / "model.onnx").write_bytes(model.SerializeToString())


def make(cases: Path, folder: Path, count: int, seed: int) -> int:
    """Cases of every operator get the same share."""
    mutation = Mutation(seed)
    by_name: dict[str, list[Path]] = {}
    for model in sorted(cases.rglob("model.onnx")):
        if model.stat().st_size < 300_000 and any(model.parent.glob("test_data_set_*")):
            by_name.setdefault(model.parent.name.removeprefix("test_").split("_")[0], []).append(model.parent)
    made = 0
    for number in range(count):
        source = mutation.random.choice(by_name[mutation.random.choice(sorted(by_name))])
        target = folder / f"{number:05d}-{source.name}"
        try:
            mutation.case(source, target)
            made += 1
        except Exception:  # a change that the onnx package itself cannot write is none
            shutil.rmtree(target, ignore_errors=True)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vitconv")
    parser.add_argument("cases", type=Path)
    parser.add_argument("--count", type=int, default=3000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        made = make(options.cases, folder, options.count, options.seed)
        run = subprocess.run([options.vitconv, "validate", folder, "--json", "--time-limit", "2"], capture_output=True, text=True)
        report = json.loads(run.stdout)
        outcomes: dict[str, int] = {}
        bad = []
        for case in report["cases"]:
            outcomes[case["code"] or case["outcome"]] = outcomes.get(case["code"] or case["outcome"], 0) + 1
            if (case["code"] or "").startswith("VC9") or case["seconds"] > 10:
                bad.append(case)
        for case in bad:
            print(case["name"], f"{case['seconds']:.1f} s", case["reason"])
            if options.keep:
                shutil.copytree(folder / case["name"], options.keep / case["name"], dirs_exist_ok=True)
        print(made, "mutants:", ", ".join(f"{outcomes[key]} {key}" for key in sorted(outcomes)))
    return 1 if bad or len(report["cases"]) != made else 0


if __name__ == "__main__":
    sys.exit(main())
