"""Measures vitconv on a Keras ViT-S/16 of real size beside Keras's own way to ONNX, in one run.

    python benchmarks/keras_vit.py [VITCONV] [--rounds N] [--threads 1,2] [--skip-peer]

The model has random weights: 224x224 RGB, 12 blocks, width 384, 6 heads, 22 million parameters, `.keras` of 88 MB. The peer
loads it, calls it once (Keras demands that) and runs `model.export(format="onnx")`; its time is that of the export alone.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
from pathlib import Path

import bench

MODEL = bench.FOLDER / "vit_s16.keras"

# Each peer in a process of its own, so that its peak memory is its own.
EXPORT = """
import json, os, resource, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np
start = time.perf_counter()
model = keras.saving.load_model(sys.argv[1])
loaded = time.perf_counter() - start
model(np.zeros((1, 224, 224, 3), "float32"))
start = time.perf_counter()
model.export(sys.argv[2], format="onnx", verbose=False)
seconds = time.perf_counter() - start
import onnxruntime
try:
    onnxruntime.InferenceSession(sys.argv[2], providers=["CPUExecutionProvider"])
    verdict = "runs"
except Exception as error:
    verdict = str(error).splitlines()[0][:90]
print(json.dumps({"load": loaded, "seconds": seconds, "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6, "verdict": verdict}))
"""


def make(path: Path) -> None:
    """The model, in layers that every version of Keras 3 has."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras  # noqa: PLC0415 - needed only where the model has to be made
    from keras import layers  # noqa: PLC0415

    keras.utils.set_random_seed(0)
    image = keras.Input((224, 224, 3), name="image")
    x = layers.Conv2D(384, 16, strides=16, name="patch_embedding")(image)
    x = layers.Reshape((196, 384))(x)
    table = layers.Embedding(196, 384, name="positions")
    x = x + table(keras.ops.arange(196))
    for _ in range(12):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(6, 64)(y, y)])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.Dense(1536, activation="gelu")(y)
        x = layers.Add()([x, layers.Dense(384)(y)])
    x = layers.GlobalAveragePooling1D()(layers.LayerNormalization(epsilon=1e-6)(x))
    keras.Model(image, layers.Dense(1000, name="logits")(x), name="vit_s16").save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vitconv", nargs="?", default=str(bench.ROOT / ".build/release/vitconv"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--skip-peer", action="store_true", help="leave out Keras's own export")
    arguments = parser.parse_args()
    vitconv = str(Path(arguments.vitconv).resolve())
    bench.FOLDER.mkdir(parents=True, exist_ok=True)
    if not MODEL.exists():
        make(MODEL)
    MODEL.read_bytes()  # into the page cache
    target = bench.FOLDER / "vit_s16.onnx"
    inspected = [bench.measure(vitconv, "inspect", str(MODEL)) for _ in range(arguments.rounds * 2)]
    converted: list[tuple[float, float]] = []
    for _ in range(arguments.rounds):
        target.unlink(missing_ok=True)
        converted.append(bench.measure(vitconv, "convert", str(MODEL), "-o", str(target)))
    peer: dict[str, float | str] = {}
    if not arguments.skip_peer:
        other = bench.FOLDER / "vit_s16.peer.onnx"
        process = subprocess.run([sys.executable, "-c", EXPORT, str(MODEL), str(other)], capture_output=True, text=True)
        if process.returncode != 0:
            raise SystemExit(f"Keras's export ended with {process.returncode}\n{process.stderr[-2000:]}")
        peer = json.loads(process.stdout.splitlines()[-1])

    def column(key: str, unit: str, factor: float = 1) -> str:
        return f"{factor * float(peer[key]):.0f} {unit}" if peer else "–"

    bench.table(
        ("ViT-S/16 .keras, 88 MB", "vitconv", "Keras", "aim, at most"),
        [
            ("inspect, wall", f"{1e3 * statistics.median(s for s, _ in inspected):.1f} ms", f"load {column('load', 'ms', 1e3)}", "50 ms"),
            ("inspect, peak memory", f"{max(m for _, m in inspected):.0f} MB", "", ""),
            ("to ONNX, wall", f"{1e3 * statistics.median(s for s, _ in converted):.0f} ms", column("seconds", "ms", 1e3), "300 ms"),
            ("to ONNX, peak memory", f"{max(m for _, m in converted):.0f} MB", column("peak", "MB"), "150 MB"),
        ],
    )
    if peer:
        print(f"ONNX Runtime on Keras's file: {peer['verdict']}")
    rows = []
    for threads in bench.numbers(arguments.threads):
        pair = bench.compare(vitconv, target, threads, 1, arguments.rounds)
        rows.append((f"run, {threads} thread{'s' if threads > 1 else ''}", f"{pair.ours['min_ms']:.1f} ms", f"{pair.theirs['min_ms']:.1f} ms", f"{pair.ratio('min_ms'):.2f}"))
    print()
    bench.table(("the converted file", "vitconv", "ONNX Runtime", "ratio"), rows)


if __name__ == "__main__":
    main()
