"""Models with arrays beside them: what the judges of this folder are given."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

SUFFIXES = (".onnx", ".keras", ".weights.h5", ".h5", ".hdf5", ".safetensors", ".vcg")


def models(paths: list[str]) -> list[tuple[Path, Path]]:
    """Models with the arrays beside them."""
    found = []
    for path in map(Path, paths):
        for file in sorted(path.iterdir()) if path.is_dir() else [path]:
            suffix = next((s for s in SUFFIXES if file.name.endswith(s)), None)
            if suffix is None:
                continue
            arrays = file.with_name(file.name[: -len(suffix)] + ".npz")
            if arrays.exists():
                found.append((file, arrays))
    return found


def numbered(archive: np.lib.npyio.NpzFile, stem: str) -> list[np.ndarray]:
    """The arrays `stem0`, `stem1`, … in order."""
    names = [name for name in archive.files if re.fullmatch(stem + r"\d+.*", name)]
    return [archive[name] for name in sorted(names, key=lambda n: int(re.match(stem + r"(\d+)", n)[1]))]
