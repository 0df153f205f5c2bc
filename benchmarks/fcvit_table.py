"""Prints what replacing 1 to all attention blocks of the shapes transformer costs, as a Markdown table.

    python benchmarks/fcvit_table.py [VITCONV]
    python benchmarks/fcvit_table.py --exhaustive [VITCONV]

Blocks are replaced from the last to the first with one setting for all, fitted on fixtures/data/shapes.npz and judged on
fixtures/data/shapes_test.npz, which no fit saw. The last row is what `--blocks auto` chooses with a setting for each block.

With `--exhaustive`, every set of blocks is tried with every single setting for all of them, and the table holds, for each
number of blocks, the least loss and the cheapest trial inside the budget of one point, on the held-out samples that the
search itself decides by.
"""

from __future__ import annotations

import argparse
import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "fixtures/models/shapes.legacy17.onnx"
FIT = ROOT / "fixtures/data/shapes.npz"
TEST = ROOT / "fixtures/data/shapes_test.npz"
BLOCKS = 6
BUDGET = 0.01
SETTINGS = ["kernel=5,contexts=1", "kernel=7,contexts=1", "kernel=5,contexts=4", "kernel=0,contexts=grid"]


def run(*command: str) -> dict:
    """The JSON a command prints; a broken budget (exit 1) is a result, too."""
    out = subprocess.run(command, capture_output=True, text=True)
    if out.returncode > 1:
        raise SystemExit(f"{' '.join(command)}\n{out.stderr}")
    return json.loads(out.stdout)


def row(vitconv: str, folder: Path, rewrite: str, *choice: str) -> str:
    """Converts, judges on unseen images, and says both in a line."""
    target = str(folder / "converted.onnx")
    Path(target).unlink(missing_ok=True)
    made = run(vitconv, "convert", str(MODEL), "-o", target, "--rewrite", rewrite, "--samples", str(FIT), "--json", "--quiet", *choice)
    judged = run(vitconv, "validate", target, "--against", str(MODEL), "--samples", str(TEST), "--budget", "top1-drop=1", "--json", "--quiet")
    numbers = judged["comparison"]
    applied = [b for b in made["blocks"] if b["applied"]]
    names = ",".join(str(b["index"]) for b in applied)
    errors = " ".join(f"{b['nmse']:.3f}" for b in applied)
    if "auto" in choice:
        rewrite = "auto: " + " ".join(f"k{b['parameters']['kernel']}R{b['parameters']['contexts']}" for b in applied)
    macs = made["model"]["macs_after"] / made["model"]["macs_before"]
    return f"| {len(applied)} ({names}) | {rewrite.removeprefix('fcvit:')} | {numbers['top1']:.3f} | {numbers['top1_agreement']:.3f} | {numbers['kl']:.4f} | {errors} | {macs:.3f} |"


def trial(vitconv: str, target: Path, rewrite: str, blocks: tuple[int, ...]) -> tuple[float, float, tuple[int, ...], str]:
    """Drop of top-1 on the held-out samples, share of the multiply-adds, blocks, setting."""
    target.unlink(missing_ok=True)
    names = ",".join(map(str, blocks))
    made = run(vitconv, "convert", str(MODEL), "-o", str(target), "--rewrite", rewrite, "--blocks", names, "--samples", str(FIT), "--json", "--quiet",
               "--threads", "1")
    numbers = made["comparison"]
    return numbers["top1_reference"] - numbers["top1"], made["model"]["macs_after"] / made["model"]["macs_before"], blocks, rewrite.removeprefix("fcvit:")


def exhaustive(vitconv: str, folder: Path) -> None:
    """All sets of blocks with all single settings."""
    target = folder / "converted.onnx"
    settings = [f"fcvit:kernel={kernel},contexts={contexts}" for kernel in (3, 5, 7) for contexts in range(1, 8)]
    print("| blocks replaced | trials | least drop | of | inside the budget | cheapest inside | its MACs |")
    print("|---|---|---|---|---|---|---|")
    for count in reversed(range(1, BLOCKS + 1)):
        trials = [trial(vitconv, target, s, blocks) for blocks in itertools.combinations(range(BLOCKS), count) for s in settings]
        least = min(trials)
        inside = sorted((t for t in trials if t[0] <= BUDGET + 1e-9), key=lambda t: (t[1], t[0]))
        best = f"{inside[0][3]} at {','.join(map(str, inside[0][2]))} | {inside[0][1]:.3f}" if inside else "none | -"
        print(f"| {count} | {len(trials)} | {least[0]:.4f} | {least[3]} at {','.join(map(str, least[2]))} | {len(inside)} | {best} |", flush=True)
    made = run(vitconv, "convert", str(MODEL), "-o", str(folder / "auto.onnx"), "--rewrite", "fcvit", "--blocks", "auto", "--budget", f"top1-drop={BUDGET}",
               "--samples", str(FIT), "--json", "--quiet")
    chosen = [str(b["index"]) for b in made["blocks"] if b["applied"]]
    drop = made["comparison"]["top1_reference"] - made["comparison"]["top1"]
    print(f"| {len(chosen)} | auto | {drop:.4f} | a setting for each at {','.join(chosen)} | - | - | {made['model']['macs_after'] / made['model']['macs_before']:.3f} |")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("vitconv", nargs="?", default=str(ROOT / ".build/release/vitconv"))
    arguments.add_argument("--exhaustive", action="store_true", help="every set of blocks with every single setting")
    given = arguments.parse_args()
    vitconv = given.vitconv
    if given.exhaustive:
        with tempfile.TemporaryDirectory() as folder:
            exhaustive(vitconv, Path(folder))
        return
    print("| blocks replaced | setting | top-1 | agreement | KL | NMSE of blocks | MACs |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for count in range(1, BLOCKS + 1):
            for setting in SETTINGS:
                print(row(vitconv, Path(folder), f"fcvit:{setting}", "--blocks", f"{BLOCKS - count}-{BLOCKS - 1}"), flush=True)
        print(row(vitconv, Path(folder), "fcvit", "--blocks", "auto", "--budget", f"top1-drop={BUDGET}"))


if __name__ == "__main__":
    main()
