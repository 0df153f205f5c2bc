"""Models with arrays beside them: what the judges of this folder are given."""

from __future__ import annotations

import json
import re
import subprocess
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


def told(program: str, file: Path, inputs: list[np.ndarray]) -> list[str] | None:
    """What vitconv must be told beside the file: the size of its images, where weights leave it open. None: it does not read the file."""
    done = subprocess.run([program, "inspect", str(file), "--json"], capture_output=True, text=True, timeout=600, check=False)
    if done.returncode > 1:
        return None
    ports = json.loads(done.stdout)["model"]["inputs"]
    if len(ports) != 1 or ports[0]["shape"] is None or file.suffix not in (".h5", ".hdf5", ".safetensors"):
        return []
    shape = inputs[0].shape
    fits = len(ports[0]["shape"]) == len(shape) and all(not isinstance(a, int) or a == b for a, b in zip(ports[0]["shape"], shape, strict=True))
    return [] if fits or len(shape) != 4 else ["--shape", f"{ports[0]['name']}={','.join(map(str, shape))}"]
