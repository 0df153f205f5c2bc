"""Writes the ten models of the benchmark as ONNX: timm's architectures with random weights, by both of PyTorch's exporters.

    python benchmarks/models.py FOLDER [NAME ...] [--exporter legacy|dynamo]

Files that are there already are left alone. The first axis is symbolic, so that one file serves every batch.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

#: Name of the benchmark, timm's name, side of the image.
MODELS = {
    "vit_b16": ("vit_base_patch16_224", 224),
    "deit_s": ("deit_small_patch16_224", 224),
    "swin_t": ("swin_tiny_patch4_window7_224", 224),
    "beit_b": ("beit_base_patch16_224", 224),
    "xcit_s12": ("xcit_small_12_p16_224", 224),
    "mixer_b16": ("mixer_b16_224", 224),
    "convmixer_768_32": ("convmixer_768_32", 224),
    "mobilevit_s": ("mobilevit_s", 256),
    "pvt_v2_b2": ("pvt_v2_b2", 224),
    "resnet50": ("resnet50", 224),
}
EXPORTERS = ("legacy", "dynamo")


def build(name: str) -> torch.nn.Module:
    """Random weights with statistics as after training: the normalizations of a fresh network would be identities."""
    import timm
    import torch

    torch.manual_seed(0)
    model = timm.create_model(MODELS[name][0], pretrained=False).eval()
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.running_mean.normal_(0, 0.1)
                module.running_var.uniform_(0.5, 1.5)
                module.weight.uniform_(0.8, 1.2)
                module.bias.normal_(0, 0.1)
    return model


def export(name: str, exporter: str, path: Path) -> None:
    import torch

    side = MODELS[name][1]
    model = build(name)
    # More than one sample, lest a tracer takes the axis for a constant.
    example = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    partial = path.with_suffix(".partial")
    with torch.no_grad():
        if exporter == "legacy":
            torch.onnx.export(
                model, (example,), str(partial), dynamo=False, opset_version=17, input_names=["x"], output_names=["y"],
                dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}},
            )  # fmt: skip
        else:
            torch.onnx.export(
                model, (example,), str(partial), dynamo=True, opset_version=20, input_names=["x"], output_names=["y"],
                dynamic_shapes=({0: torch.export.Dim("batch", min=1, max=4096)},), external_data=False, verbose=False,
            )  # fmt: skip
    partial.rename(path)


def make(folder: Path, names: list[str], exporters: list[str]) -> dict[tuple[str, str], Path]:
    folder.mkdir(parents=True, exist_ok=True)
    warnings.filterwarnings("ignore")
    logging.disable(logging.WARNING)
    paths: dict[tuple[str, str], Path] = {}
    for name in names:
        for exporter in exporters:
            path = folder / f"{name}.{exporter}.onnx"
            if not path.exists():
                try:
                    export(name, exporter, path)
                except Exception as error:  # noqa: BLE001 - an exporter's failure is reported and the others go on
                    print(f"{path.name}: the exporter failed: {str(error).splitlines()[0] if str(error) else type(error).__name__}", flush=True)
                    continue
                print(f"{path.name}: {path.stat().st_size / 1e6:.0f} MB", flush=True)
            paths[name, exporter] = path
    return paths


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("names", nargs="*", choices=[[], *MODELS], default=[], metavar="NAME")
    parser.add_argument("--exporter", choices=EXPORTERS, action="append")
    arguments = parser.parse_args()
    make(arguments.folder, arguments.names or list(MODELS), arguments.exporter or list(EXPORTERS))
