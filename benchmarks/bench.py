"""Measures vitconv beside cp and ONNX Runtime on a ViT-B/16 of 346 MB, alternating within one run, and prints a table.

    python benchmarks/bench.py [VITCONV] [--rounds N] [--threads 1,2]

The machine's mood hits both sides of a ratio alike, since every round measures each of them once.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import onnxruntime

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "bench"

# Runs a command and prints wall seconds and peak resident kilobytes. A process inherits the peak of the one that
# starts it, so this runs in a small interpreter and not in the one that holds NumPy.
MEASURE = (
    "import os,sys,time\n"
    "null=os.open('/dev/null',os.O_WRONLY)\n"
    "t=time.perf_counter()\n"
    "p=os.posix_spawn(sys.argv[1],sys.argv[1:],os.environ,file_actions=[(os.POSIX_SPAWN_DUP2,null,1)])\n"
    "_,status,usage=os.wait4(p,0)\n"
    "print(time.perf_counter()-t,usage.ru_maxrss,os.waitstatus_to_exitcode(status))\n"
)


def measure(*command: str) -> tuple[float, float]:
    """Wall seconds and peak megabytes of a command that must succeed."""
    out = subprocess.run([sys.executable, "-I", "-S", "-c", MEASURE, *command], check=True, capture_output=True, text=True)
    seconds, kilobytes, status = out.stdout.split()
    if int(status) != 0:
        raise SystemExit(f"{' '.join(command)} ended with {status}\n{out.stderr}")
    return float(seconds), int(kilobytes) * 1024 / 1e6


def inspect(vitconv: str, model: Path, rounds: int) -> tuple[float, float]:
    samples = [measure(vitconv, "inspect", str(model)) for _ in range(rounds)]
    return statistics.median(s for s, _ in samples), max(m for _, m in samples)


def copy(vitconv: str, model: Path, rounds: int) -> tuple[float, float]:
    ours: list[float] = []
    theirs: list[float] = []
    cp = shutil.which("cp") or "/bin/cp"
    for _ in range(rounds):
        for times, command in ((theirs, [cp, str(model)]), (ours, [vitconv, "convert", str(model), "-o"])):
            target = FOLDER / "copy.onnx"
            target.unlink(missing_ok=True)
            times.append(measure(*command, str(target))[0])
    (FOLDER / "copy.onnx").unlink()
    return statistics.median(ours), statistics.median(theirs)


def run(vitconv: str, model: Path, threads: int, rounds: int) -> tuple[float, float]:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    port = session.get_inputs()[0]
    feed = {port.name: np.random.default_rng(0).standard_normal(port.shape, dtype=np.float32)}
    ours: list[float] = []
    theirs: list[float] = []
    for _ in range(rounds):
        session.run(None, feed)
        for _ in range(5):
            start = time.perf_counter()
            session.run(None, feed)
            theirs.append(1e3 * (time.perf_counter() - start))
        time.sleep(0.3)
        command = [vitconv, "bench", str(model), "--threads", str(threads), "--runs", "5", "--warmup", "2", "--json"]
        ours.append(json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)["median_ms"])
    return statistics.median(ours), statistics.median(theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vitconv", nargs="?", default=str(ROOT / ".build/release/vitconv"))
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", default="1,2")
    arguments = parser.parse_args()
    vitconv = str(Path(arguments.vitconv).resolve())
    FOLDER.mkdir(parents=True, exist_ok=True)
    model = FOLDER / "vit_b16.onnx"
    if not model.exists():
        subprocess.run([sys.executable, str(ROOT / "benchmarks/vit_b16.py"), str(model)], check=True)
    model.read_bytes()  # into the page cache

    rows: list[tuple[str, str, str, str, str]] = []
    seconds, megabytes = inspect(vitconv, model, 4 * arguments.rounds)
    rows.append(("inspect, wall", f"{1e3 * seconds:.1f} ms", "", "", "50 ms"))
    rows.append(("inspect, peak memory", f"{megabytes:.1f} MB", "", "", "40 MB"))
    ours, theirs = copy(vitconv, model, arguments.rounds)
    rows.append(("convert beside cp", f"{1e3 * ours:.0f} ms", f"{1e3 * theirs:.0f} ms", f"{ours / theirs:.2f}", "1.5"))
    for threads in (int(t) for t in arguments.threads.split(",")):
        ours, theirs = run(vitconv, model, threads, arguments.rounds)
        name = f"run beside ONNX Runtime {onnxruntime.__version__}, {threads} thread{'s' if threads > 1 else ''}"
        rows.append((name, f"{ours:.1f} ms", f"{theirs:.1f} ms", f"{ours / theirs:.2f}", "1.3"))

    header = ("ViT-B/16, 346 MB", "vitconv", "the other", "ratio", "aim, at most")
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(5)]
    for row in [header, *rows]:
        print("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))))


if __name__ == "__main__":
    main()
