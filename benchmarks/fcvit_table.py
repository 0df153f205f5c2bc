"""Prints what replacing 1 to all attention blocks of the shapes transformer costs, as a Markdown table.

    python benchmarks/fcvit_table.py [VITCONV]

Blocks are replaced from the last to the first with one setting for all, fitted on fixtures/data/shapes.npz and judged on
fixtures/data/shapes_test.npz, which no fit saw. The last row is what `--blocks auto` chooses with a setting for each block.
"""

from __future__ import annotations

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


def main() -> None:
    vitconv = sys.argv[1] if len(sys.argv) > 1 else str(ROOT / ".build/release/vitconv")
    print("| blocks replaced | setting | top-1 | agreement | KL | NMSE of blocks | MACs |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as folder:
        for count in range(1, BLOCKS + 1):
            for setting in SETTINGS:
                print(row(vitconv, Path(folder), f"fcvit:{setting}", "--blocks", f"{BLOCKS - count}-{BLOCKS - 1}"), flush=True)
        print(row(vitconv, Path(folder), "fcvit", "--blocks", "auto", "--budget", "top1-drop=0.01"))


if __name__ == "__main__":
    main()
