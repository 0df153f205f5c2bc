"""Damages an HDF5 or Keras file in every way a disk or a stranger can: cuts at every byte, seeded flips of single bits.

    python conformance/damage.py VITCONV [FILE ...] [--flips N] [--cuts STEP] [--seed N] [--jobs N]

Every damaged file is inspected in a process of its own. It must end with 0, 1 or 3 within two seconds and 300 MB of
resident memory; a signal, another status, a hang or more memory is a fault, whose bytes are kept in build/damage/.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import os
import random
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "damage"
SECONDS = 2.0
MEGABYTES = 300


def attempt(command: list[str]) -> tuple[int, float, float]:
    """Exit status, seconds, and the largest resident memory in MB (that of the program's own child included)."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    clock = threading.Timer(SECONDS * 10, process.kill)
    clock.start()
    _, status, usage = os.wait4(process.pid, 0)
    clock.cancel()
    process.returncode = os.waitstatus_to_exitcode(status)
    return process.returncode, time.monotonic() - start, usage.ru_maxrss / 1024


def outcome(vitconv: str, bytes_: bytes, name: str, command: list[str]) -> tuple[str, float, float]:
    """What became of one file: a word, seconds, megabytes."""
    path = FOLDER / name
    path.write_bytes(bytes_)
    status, seconds, megabytes = attempt([vitconv, *command, str(path)])
    # A busy machine is no fault of the file's: what was slow once is tried again.
    for _ in range(4):
        if status < 0 or seconds <= SECONDS:
            break
        status, again, megabytes = attempt([vitconv, *command, str(path)])
        seconds = min(seconds, again)
    word = {0: "read", 1: "read", 3: "refused"}.get(status, f"FAULT {status}")
    if seconds > SECONDS:
        word = f"FAULT {seconds:.1f} s"
    elif megabytes > MEGABYTES:
        word = f"FAULT {megabytes:.0f} MB"
    if not word.startswith("FAULT"):
        path.unlink()
    return word, seconds, megabytes


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vitconv")
    parser.add_argument("files", nargs="*", type=Path, default=[ROOT / "fixtures/keras/nested.h5", ROOT / "fixtures/keras/nested.keras"])
    parser.add_argument("--flips", type=int, default=10_000)
    parser.add_argument("--cuts", type=int, default=1, help="cut at every so many bytes; 0 for none")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    arguments = parser.parse_args()
    FOLDER.mkdir(parents=True, exist_ok=True)
    vitconv = str(Path(arguments.vitconv).resolve())
    faults = 0
    for file in arguments.files:
        whole = file.read_bytes()
        generator = random.Random(arguments.seed)

        def work(kind: str, place: int, bit: int, whole: bytes = whole, file: Path = file) -> tuple[str, float, float]:
            if kind == "cut":
                damaged = whole[:place]
            else:
                damaged = bytearray(whole)
                damaged[place] ^= 1 << bit
            return outcome(vitconv, bytes(damaged), f"{kind}-{place}-{bit}{''.join(file.suffixes)}", ["inspect", "--quiet"])

        tasks = [("cut", place, 0) for place in range(0, len(whole), arguments.cuts)] if arguments.cuts else []
        tasks += [("flip", generator.randrange(len(whole)), generator.randrange(8)) for _ in range(arguments.flips)]
        counts: Counter[str] = Counter()
        slowest, largest = 0.0, 0.0
        with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
            for (kind, place, bit), (word, seconds, megabytes) in zip(tasks, pool.map(lambda task: work(*task), tasks), strict=True):
                slowest, largest = max(slowest, seconds), max(largest, megabytes)
                counts[f"{kind}: {word}"] += 1
                if word.startswith("FAULT"):
                    faults += 1
                    print(f"{file.name} {kind} at {place}, bit {bit}: {word}", flush=True)
        words = ", ".join(f"{word} {count}" for word, count in sorted(counts.items()))
        print(f"{file.name}: {words}; slowest {slowest:.2f} s, largest {largest:.0f} MB", flush=True)
    sys.exit(1 if faults else 0)


if __name__ == "__main__":
    main()
