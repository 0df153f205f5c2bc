"""Builds a zoo of small models in several dialects, with what is in them told by their modules.

    python recall/zoo.py OUT [NAME ...] [--dialects LIST] [--jobs N]

For each model: `NAME.json` (blocks and dialects), and per dialect `NAME.DIALECT.onnx` with `NAME.DIALECT.npz`
(`in0`.. and `out0` by PyTorch). Weights are random and seeded. An export
that fails, takes too long or does not compute what PyTorch does is reported and left out.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

SEED = 20
TOLERANCE = 2e-3
TIME_LIMIT = 300
# Models built by one process, so that libraries are loaded once for all of them.
TOGETHER = 8


def randomise(model) -> None:
    """Norms, biases, scales and running statistics get values that tests can tell apart."""
    import torch

    with torch.no_grad():
        for name, value in [*model.named_parameters(), *model.named_buffers()]:
            if not value.is_floating_point() or "index" in name or "coords" in name:
                continue
            if name.endswith("running_var"):
                value.uniform_(0.5, 1.5)
            elif name.endswith("running_mean"):
                value.normal_(0, 0.1)
            elif value.ndim <= 1 and value.requires_grad:
                value.copy_(torch.randn_like(value) * 0.1 + (1.0 if name.endswith("weight") else 0.0))
            elif value.requires_grad and float(value.abs().max()) < 1e-3:
                value.normal_(0, 0.02)


def set_fused(model, fused: bool) -> bool:
    """Chooses between written-out and fused attention; whether the model has the choice."""
    chosen = False
    for module in model.modules():
        for name in ("fused_attn", "fused"):
            if isinstance(getattr(module, name, None), bool):
                setattr(module, name, fused)
                chosen = True
        config = getattr(module, "config", None)
        if config is not None and getattr(config, "_attn_implementation", None) in ("eager", "sdpa"):
            config._attn_implementation = "sdpa" if fused else "eager"
            chosen = True
    return chosen


def make(name: str, folder: Path, wanted: list[str] | None) -> None:
    """Builds one model in all dialects that can be had."""
    import numpy as np
    import torch

    import truth
    from dialects import DIALECTS, error, export
    from subjects import SUBJECTS

    torch.set_num_threads(1)
    torch.backends.mha.set_fastpath_enabled(False)
    subject = SUBJECTS[name]
    torch.manual_seed(SEED)
    model = subject.build().eval().requires_grad_(True)
    randomise(model)
    model.requires_grad_(False)
    torch.manual_seed(SEED + 1)
    inputs = subject.inputs()
    set_fused(model, False)
    blocks, uncovered = truth.blocks(model, inputs)
    for line in uncovered:
        if not subject.quiet:
            print(f"{name}: no block covers {line}", flush=True)
    with torch.no_grad():
        out = model(*inputs)
    out0 = out.numpy()
    made = []
    has_choice = set_fused(model, False)
    for dialect in DIALECTS:
        if wanted and dialect.name not in wanted:
            continue
        if dialect.name.endswith("_sdpa") and not dialect.dynamo and not has_choice:
            continue
        path = folder / f"{name}.{dialect.name}.onnx"
        start = time.monotonic()
        try:
            set_fused(model, dialect.fused)
            export(model, inputs, path, dialect)
            difference = error(path, inputs, out0)
            if not difference <= TOLERANCE:
                raise ValueError(f"differs from PyTorch by {difference:.1e}")
            np.savez(path.with_suffix(".npz"), out0=out0, **{f"in{i}": x.numpy() for i, x in enumerate(inputs)})
            made.append(dialect.name)
            said = f"{path.stat().st_size} bytes"
        except Exception as problem:  # an exporter may fail in any way
            path.unlink(missing_ok=True)
            said = f"FAILED {type(problem).__name__}: {str(problem).strip().splitlines()[-1][:140] if str(problem).strip() else ''}"
        print(f"{name}.{dialect.name}: {said}, {time.monotonic() - start:.1f} s", flush=True)
    facts = {
        "name": name,
        "params": sum(p.numel() for p in model.parameters()),
        "group": subject.group,
        "blocks": blocks,
        "facts": subject.facts,
        "dialects": made,
    }
    known = folder / f"{name}.json"
    if wanted and known.exists():
        before = json.loads(known.read_text())["dialects"]
        facts["dialects"] = [d.name for d in DIALECTS if d.name in made or (d.name in before and d.name not in wanted)]
    known.write_text(json.dumps(facts, indent=1) + "\n")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("names", nargs="*")
    parser.add_argument("--dialects", default="")
    parser.add_argument("--group", default="")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--missing", action="store_true", help="only models that are not there yet")
    parser.add_argument("--one", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    wanted = [d for d in arguments.dialects.split(",") if d] or None
    if arguments.one:
        # Exporters that fail print whole graphs: only what is said here reaches the log.
        said = os.fdopen(os.dup(1), "w", buffering=1)
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        sys.stdout = said
        for name in arguments.names:
            try:
                make(name, arguments.out, wanted)
            except Exception as problem:
                said = str(problem).strip().splitlines()[-1:] or [""]
                print(f"{name}: FAILED {type(problem).__name__}: {said[0][:200]}", flush=True)
        return
    from subjects import SUBJECTS

    names = arguments.names or [n for n, s in SUBJECTS.items() if arguments.group in ("", s.group)]
    if arguments.missing:
        names = [n for n in names if not (arguments.out / f"{n}.json").exists()]

    def child(some: list[str]) -> None:
        command = [sys.executable, __file__, str(arguments.out), *some, "--one", "--dialects", arguments.dialects]
        try:
            done = subprocess.run(command, stderr=subprocess.PIPE, text=True, timeout=TIME_LIMIT * len(some), check=False)
            if done.returncode:
                last = [line for line in done.stderr.strip().splitlines() if line.strip()][-1:]
                print(f"{some}: FAILED {last[0][:300] if last else done.returncode}", flush=True)
        except subprocess.TimeoutExpired:
            print(f"{some}: FAILED, over {TIME_LIMIT * len(some)} s", flush=True)

    with ThreadPoolExecutor(arguments.jobs) as pool:
        list(pool.map(child, [names[start : start + TOGETHER] for start in range(0, len(names), TOGETHER)]))


if __name__ == "__main__":
    main()
