"""Measures vitconv on a Keras ViT-S/16 of real size beside the usual ways to ONNX, in one run.

    python benchmarks/keras_vit.py [VITCONV] [--rounds N] [--threads 1,2] [--skip-peers] [--markdown FILE]

The model has random weights: 224x224 RGB, 12 blocks, width 384, 6 heads, 22,050,664 parameters, `.keras` of 89 MB. The peers
are `model.export(format="onnx")` and tf2onnx called by hand, each in a process of its own. Their times are those of the
conversion alone, after TensorFlow has been imported, and the model loaded and (as Keras demands) called once.
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

# A process of its own for each peer, so that its peak memory is its own.
PEER = """
import json, os, resource, sys, time
os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import keras, numpy as np
import tensorflow as tf
import tf2onnx
path, target, way = sys.argv[1:]
start = time.perf_counter()
model = keras.saving.load_model(path)
loaded = time.perf_counter() - start
image = np.random.default_rng(0).standard_normal((1, 224, 224, 3), dtype="float32")
wanted = np.asarray(model(image, training=False))
start = time.perf_counter()
if way == "export":
    model.export(target, format="onnx", verbose=False)
else:
    signature = [tf.TensorSpec((None, 224, 224, 3), tf.float32, name="image")]
    tf2onnx.convert.from_function(tf.function(lambda x: model(x, training=False)), signature, opset=18, output_path=target)
seconds = time.perf_counter() - start
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e6
np.savez(target + ".npz", image=image, wanted=wanted)
print(json.dumps({"load": loaded, "seconds": seconds, "peak": peak}))
"""


def peer(way: str) -> dict[str, float | str]:
    """Seconds, peak megabytes and what ONNX Runtime says of the file."""
    target = bench.FOLDER / f"vit_s16.{way}.onnx"
    target.unlink(missing_ok=True)
    process = subprocess.run([sys.executable, "-c", PEER, str(MODEL), str(target), way], capture_output=True, text=True)
    if process.returncode != 0:
        raise SystemExit(f"{way} ended with {process.returncode}\n{process.stderr[-2000:]}")
    return json.loads(process.stdout.splitlines()[-1]) | {"verdict": verdict(target, Path(f"{target}.npz"))}


def verdict(model: Path, arrays: Path) -> str:
    """The largest difference from Keras's own prediction, or why ONNX Runtime refuses the file."""
    import numpy as np  # noqa: PLC0415 - the tables alone need neither
    import onnxruntime  # noqa: PLC0415

    try:
        session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
        with np.load(arrays) as archive:
            given = session.run(None, {session.get_inputs()[0].name: archive["image"]})[0]
            return f"differs by {float(np.abs(given - archive['wanted']).max()):.1e}"
    except Exception as error:  # noqa: BLE001 - whatever it throws is the verdict
        lines = [line for line in str(error).splitlines() if line.strip()]
        return "refused: " + lines[0].rsplit("Error: ", 1)[-1].rsplit("failed:", 1)[-1].strip()


def make(path: Path) -> None:
    """The model, in layers that every version of Keras 3 has."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import keras  # noqa: PLC0415 - needed only where the model has to be made
    from keras import layers  # noqa: PLC0415

    keras.utils.set_random_seed(0)
    image = keras.Input((224, 224, 3), name="image")
    x = layers.Conv2D(384, 16, strides=16, name="patch_embedding")(image)
    x = layers.Reshape((196, 384))(x)
    # Numbers of tokens, for each sample: tables are read by them, so that class token and positions are weights.
    none = keras.ops.zeros_like(x[:, :1, 0], dtype="int32")
    x = layers.Concatenate(axis=1)([layers.Embedding(1, 384, name="class_token")(none), x])
    numbers = keras.ops.cumsum(keras.ops.ones_like(x[:, :, 0], dtype="int32"), axis=1) - 1
    x = layers.Add()([x, layers.Embedding(197, 384, name="positions")(numbers)])
    for _ in range(12):
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        x = layers.Add()([x, layers.MultiHeadAttention(6, 64)(y, y)])
        y = layers.LayerNormalization(epsilon=1e-6)(x)
        y = layers.Dense(1536, activation="gelu")(y)
        x = layers.Add()([x, layers.Dense(384)(y)])
    x = layers.LayerNormalization(epsilon=1e-6)(x)[:, 0]
    keras.Model(image, layers.Dense(1000, name="logits")(x), name="vit_s16").save(path)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vitconv", nargs="?", default=str(bench.ROOT / ".build/release/vitconv"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--skip-peers", action="store_true", help="leave out export and tf2onnx")
    parser.add_argument("--markdown", type=Path, help="write the tables there as well")
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
    peers = {} if arguments.skip_peers else {way: peer(way) for way in ("export", "tf2onnx")}
    def cells(key: str, unit: str, factor: float = 1) -> tuple[str, ...]:
        return tuple(f"{factor * float(result[key]):.0f} {unit}" for result in peers.values())

    blank = ("",) * len(peers)
    table = (
        ("ViT-S/16, .keras of 89 MB", "vitconv", *peers, "aim, at most"),
        [
            ("inspect, wall", f"{1e3 * statistics.median(s for s, _ in inspected):.1f} ms", *blank, "50 ms"),
            ("inspect, peak memory", f"{max(m for _, m in inspected):.0f} MB", *blank, ""),
            ("to ONNX, wall", f"{1e3 * statistics.median(s for s, _ in converted):.0f} ms", *cells("seconds", "ms", 1e3), "300 ms"),
            ("to ONNX, peak memory", f"{max(m for _, m in converted):.0f} MB", *cells("peak", "MB"), "150 MB"),
        ],
    )
    bench.table(*table)
    if peers:
        print("\nThe file in ONNX Runtime, against Keras's prediction:")
        for name, words in [("vitconv", verdict(target, bench.FOLDER / "vit_s16.export.onnx.npz")), *((name, str(result["verdict"])) for name, result in peers.items())]:
            print(f"  {name:8} {words}")
    rows = []
    for threads in bench.numbers(arguments.threads):
        pair = bench.compare(vitconv, target, threads, 1, arguments.rounds)
        times = [f"{side['min_ms']:.1f} ms" for side in (pair.ours, pair.theirs)]
        rows.append((f"run, {threads} thread{'s' if threads > 1 else ''}", *times, f"{pair.ratio('min_ms'):.2f}"))
    runs = (("the converted file, batch 1", "vitconv", "ONNX Runtime", "ratio"), rows)
    print()
    bench.table(*runs)
    if arguments.markdown:
        arguments.markdown.write_text("\n".join(bench.markdown(*part) for part in (table, runs)))


if __name__ == "__main__":
    main()
