"""Measures vitconv beside cp and ONNX Runtime, alternating within one run, and prints tables.

    python benchmarks/bench.py [VITCONV] [--rounds N] [--threads 1,2] [--batch 1,8] [--model NAME ...] [--exporter legacy|dynamo] [--markdown FILE]

The machine's mood hits both sides of a ratio alike, since every round measures each of them once, each in a process of its own.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import math
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

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


# A process of its own for ONNX Runtime, as vitconv is one: its times, its session's load time and its peak memory.
THEIRS = """
import json, resource, sys, time
import numpy as np, onnxruntime
path, threads, batch, runs = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), int(sys.argv[4])
onnxruntime.set_default_logger_severity(3)
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = threads
options.inter_op_num_threads = 1
start = time.perf_counter()
session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
load = 1e3 * (time.perf_counter() - start)
port = session.get_inputs()[0]
feed = {port.name: np.random.default_rng(0).standard_normal([batch, *port.shape[1:]], dtype=np.float32)}
times = []
for _ in range(runs + 1):
    start = time.perf_counter()
    session.run(None, feed)
    times.append(1e3 * (time.perf_counter() - start))
print(json.dumps({"min_ms": min(times[1:]), "load_ms": load, "peak_rss_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}))
"""


def alone(*command: str) -> dict[str, float]:
    """The JSON that a command prints. It is started by a small interpreter, since a process inherits its parent's peak memory."""
    code = "import os,sys\np=os.posix_spawn(sys.argv[1],sys.argv[1:],os.environ)\nsys.exit(os.waitstatus_to_exitcode(os.wait4(p,0)[1]))"
    out = subprocess.run([sys.executable, "-I", "-S", "-c", code, *command], capture_output=True, text=True)
    if out.returncode != 0:
        raise SystemExit(f"{' '.join(command[:3])} ended with {out.returncode}\n{out.stderr}")
    return json.loads(out.stdout)


@dataclasses.dataclass
class Pair:
    """The least time of all rounds, the least load time and the greatest peak of each side."""

    ours: dict[str, float]
    theirs: dict[str, float]

    def ratio(self, key: str) -> float:
        return self.ours[key] / self.theirs[key]


def compare(vitconv: str, model: Path, threads: int, batch: int, rounds: int) -> Pair:
    runs = str(max(2, 5 // batch))
    sides: tuple[list[dict[str, float]], list[dict[str, float]]] = ([], [])
    for _ in range(rounds):
        sides[1].append(alone(sys.executable, "-c", THEIRS, str(model), str(threads), str(batch), runs))
        sides[0].append(
            alone(vitconv, "bench", str(model), "--threads", str(threads), "--batch", str(batch), "--runs", runs, "--warmup", "1", "--json"))
    best = [
        {"min_ms": min(s["min_ms"] for s in side), "load_ms": min(s["load_ms"] for s in side), "peak_rss_bytes": max(s["peak_rss_bytes"] for s in side)}
        for side in sides
    ]  # fmt: skip
    return Pair(*best)


def table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    widths = [max(len(r[i]) for r in [header, *rows]) for i in range(len(header))]
    for row in [header, *rows]:
        print("  ".join(cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))), flush=True)


def markdown(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [header, ("---", *("---:" for _ in header[1:])), *rows]
    return "".join("| " + " | ".join(line) + " |\n" for line in lines)


def geometric_mean(values: list[float]) -> float:
    return math.exp(statistics.fmean(math.log(v) for v in values))


def zoo(vitconv: str, arguments: argparse.Namespace) -> None:
    """The ten models: run, load and memory beside ONNX Runtime."""
    import models  # noqa: PLC0415 - PyTorch and timm are needed only where a model has to be made

    paths = models.make(FOLDER / "models", arguments.model or list(models.MODELS), arguments.exporter or list(models.EXPORTERS))
    for threads in numbers(arguments.threads):
        for batch in numbers(arguments.batch):
            pairs = {key: compare(vitconv, path, threads, batch, arguments.rounds) for key, path in paths.items()}
            rows = [
                (
                    f"{name} ({exporter})", f"{pair.ours['min_ms']:.1f}", f"{pair.theirs['min_ms']:.1f}", f"{pair.ratio('min_ms'):.2f}",
                    f"{pair.ours['load_ms']:.0f}", f"{pair.theirs['load_ms']:.0f}", f"{pair.ratio('load_ms'):.2f}",
                    f"{pair.ours['peak_rss_bytes'] / 1e6:.0f}", f"{pair.theirs['peak_rss_bytes'] / 1e6:.0f}", f"{pair.ratio('peak_rss_bytes'):.2f}",
                )
                for (name, exporter), pair in pairs.items()
            ]  # fmt: skip
            means = [f"{geometric_mean([p.ratio(key) for p in pairs.values()]):.2f}" for key in ("min_ms", "load_ms", "peak_rss_bytes")]
            rows.append(("geometric mean", "", "", means[0], "", "", means[1], "", "", means[2]))
            rows.append(("aim, at most", "", "", "0.92", "", "", "0.50", "", "", "0.80"))
            header = (f"{threads} thread{'s' if threads > 1 else ''}, batch {batch}", "ms", "ORT", "ratio", "load ms", "ORT", "ratio", "peak MB", "ORT", "ratio")
            print()
            table(header, rows)
            if arguments.markdown:
                with arguments.markdown.open("a") as file:
                    file.write(markdown(header, rows) + "\n")


def numbers(text: str) -> list[int]:
    return [int(word) for word in text.split(",")]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vitconv", nargs="?", default=str(ROOT / ".build/release/vitconv"))
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--threads", default="1,2")
    parser.add_argument("--batch", default="1,8")
    parser.add_argument("--model", action="append", help="one of the ten; again for more")
    parser.add_argument("--exporter", action="append", choices=["legacy", "dynamo"])
    parser.add_argument("--skip-files", action="store_true", help="leave out inspect and convert")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the models' tables there as well, as Markdown")
    arguments = parser.parse_args()
    if arguments.markdown:
        arguments.markdown.write_text("")
    vitconv = str(Path(arguments.vitconv).resolve())
    FOLDER.mkdir(parents=True, exist_ok=True)
    if not arguments.skip_files:
        model = FOLDER / "vit_b16.onnx"
        if not model.exists():
            subprocess.run([sys.executable, str(ROOT / "benchmarks/vit_b16.py"), str(model)], check=True)
        model.read_bytes()  # into the page cache
        seconds, megabytes = inspect(vitconv, model, 20)
        ours, theirs = copy(vitconv, model, 5)
        table(
            ("ViT-B/16, 346 MB", "vitconv", "the other", "ratio", "aim, at most"),
            [
                ("inspect, wall", f"{1e3 * seconds:.1f} ms", "", "", "50 ms"),
                ("inspect, peak memory", f"{megabytes:.1f} MB", "", "", "40 MB"),
                ("convert beside cp", f"{1e3 * ours:.0f} ms", f"{1e3 * theirs:.0f} ms", f"{ours / theirs:.2f}", "1.5"),
            ],
        )
    zoo(vitconv, arguments)


if __name__ == "__main__":
    main()
