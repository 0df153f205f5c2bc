"""The dialects of ONNX that a model is written in: exporters, opsets, batch axes, and optimizers behind them."""

from __future__ import annotations

import contextlib
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch
from torch import nn


@dataclass(frozen=True)
class Dialect:
    """`fused` asks the model for PyTorch's scaled dot product, where it has the choice."""

    name: str
    dynamo: bool
    opset: int
    fused: bool = False
    dynamic: bool = False
    after: str = ""


DIALECTS = [
    Dialect("legacy17", dynamo=False, opset=17),
    Dialect("legacy13", dynamo=False, opset=13),
    Dialect("legacy17_sdpa", dynamo=False, opset=17, fused=True),
    Dialect("legacy17_dyn", dynamo=False, opset=17, dynamic=True),
    Dialect("legacy17_slim", dynamo=False, opset=17, after="slim"),
    Dialect("legacy17_basic", dynamo=False, opset=17, after="basic"),
    Dialect("legacy17_extended", dynamo=False, opset=17, after="extended"),
    Dialect("dynamo18", dynamo=True, opset=18),
    Dialect("dynamo20_sdpa", dynamo=True, opset=20, fused=True),
    Dialect("dynamo20_dyn", dynamo=True, opset=20, fused=True, dynamic=True),
    Dialect("dynamo20_ort", dynamo=True, opset=20, fused=True, after="fusions"),
    Dialect("dynamo23", dynamo=True, opset=23, fused=True),
]


def export(model: nn.Module, inputs: tuple, path: Path, dialect: Dialect) -> None:
    """Writes one dialect of a model whose first axes are the batch."""
    names = [f"in{index}" for index in range(len(inputs))]
    with warnings.catch_warnings(), contextlib.redirect_stdout(None):
        warnings.simplefilter("ignore")
        if dialect.dynamo:
            shapes = None
            if dialect.dynamic:
                batch = torch.export.Dim("batch", max=64)
                each = tuple({0: batch} for _ in inputs)
                kinds = [p.kind for p in inspect.signature(model.forward).parameters.values()]
                shapes = (each,) if inspect.Parameter.VAR_POSITIONAL in kinds else each
            program = torch.onnx.export(
                model, inputs, dynamo=True, opset_version=dialect.opset, input_names=names,
                dynamic_shapes=shapes, verbose=False,
            )  # fmt: skip
            if dialect.after == "fusions":
                from onnxscript.rewriter.ort_fusions import optimize_for_ort

                optimize_for_ort(program.model)
            program.save(str(path), external_data=False)
        else:
            axes = {name: {0: "batch"} for name in names} if dialect.dynamic else None
            torch.onnx.export(
                model, inputs, str(path), dynamo=False, opset_version=dialect.opset,
                input_names=names, dynamic_axes=axes,
            )  # fmt: skip
    if after := AFTER.get(dialect.after):
        after(path)


def slim(path: Path) -> None:
    import onnxslim

    onnx.save(onnxslim.slim(onnx.load(path)), path)


def optimized(level: onnxruntime.GraphOptimizationLevel) -> Callable[[Path], None]:
    """What ONNX Runtime writes when it is asked for the graph that it would run."""

    def apply(path: Path) -> None:
        options = onnxruntime.SessionOptions()
        options.graph_optimization_level = level
        options.intra_op_num_threads = 1
        options.log_severity_level = 3
        written = path.with_suffix(".optimized")
        options.optimized_model_filepath = str(written)
        onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        written.replace(path)

    return apply


AFTER: dict[str, Callable[[Path], None]] = {
    "slim": slim,
    "basic": optimized(onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC),
    "extended": optimized(onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED),
}


def error(path: Path, inputs: tuple, wanted: np.ndarray) -> float:
    """The largest difference from PyTorch's first output under ONNX Runtime, relative to its size."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    feeds = {given.name: x.numpy() for given, x in zip(session.get_inputs(), inputs, strict=False)}
    got = session.run(None, feeds)[0]
    return float(np.abs(got - wanted).max() / max(1.0, np.abs(wanted).max()))
