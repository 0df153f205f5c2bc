"""Damages an HDF5 or Keras file in every way a disk or a stranger can: cuts at every byte, seeded flips of single bits, and,
for Keras archives, configurations and archives that are well-formed and lie.

    python conformance/damage.py VITCONV [FILE ...] [--flips N] [--cuts STEP] [--lies N] [--seed N] [--jobs N]

Every damaged file is inspected in a process of its own. It must end with 0, 1 or 3 within two seconds and 300 MB of
resident memory; a signal, another status, a hang or more memory is a fault, whose bytes are kept in build/damage/.
"""

from __future__ import annotations

import argparse
import concurrent.futures
import io
import json
import os
import random
import struct
import subprocess
import sys
import threading
import time
import zipfile
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
FOLDER = ROOT / "build" / "damage"
SECONDS = 2.0
MEGABYTES = 300


# What a number, a word or a list of a configuration becomes.
LIES: list[Any] = [
    0, -1, 1, 2**31, 2**53, 2**62, 2**63 - 1, -(2**63), 2**64, 1e308, -1e308, 1e-300, float("nan"), float("inf"), "", "x", None, True,
    [], {}, [0], [-1], [2**62], [2**40, 2**40], [[[]]], {"class_name": "x", "config": {}}, "same", "Functional", "Bidirectional", 65536, 10**6,
]  # fmt: skip


def entries(json_: Any) -> list[tuple[Any, Any]]:
    """Every place of a configuration, as a container and a key."""
    found: list[tuple[Any, Any]] = []
    for key in json_ if isinstance(json_, dict) else range(len(json_)) if isinstance(json_, list) else ():
        found += [(json_, key), *entries(json_[key])]
    return found


def lie(whole: bytes, generator: random.Random) -> bytes:
    """A Keras archive with another configuration, or with a directory that says what is not so."""
    source = zipfile.ZipFile(io.BytesIO(whole))
    members = {name: source.read(name) for name in source.namelist()}
    config = json.loads(members["config.json"])
    kind = generator.randrange(14)
    method, extra, attributes = zipfile.ZIP_STORED, [], 0
    layers = config["config"]["layers"]
    if kind < 7:  # other values, one to three of them
        for _ in range(generator.choice([1, 1, 2, 3])):
            container, key = generator.choice(entries(config["config"]))
            container[key] = generator.choice(LIES)
    elif kind == 7:  # calls that read other layers, themselves perhaps
        names = [layer["name"] for layer in layers]
        for container, key in entries(config["config"]):
            if key == "keras_history" and generator.random() < 0.5:
                container[key] = [generator.choice(names), generator.choice([0, 0, 1, -1, 2**40]), generator.choice([0, 0, 1, 2**40])]
    elif kind == 8:  # two layers of one name, or a layer left out
        victim = generator.randrange(len(layers))
        if generator.random() < 0.5:
            layers.append(layers[victim])
        else:
            del layers[victim]
    elif kind == 9:  # models in models, each called twice
        inner = config["config"]
        shape = [None, 4]
        for level in range(generator.choice([3, 20, 40])):
            tensor = {"class_name": "__keras_tensor__", "config": {"shape": shape, "dtype": "float32", "keras_history": ["in", 0, 0]}}
            again = {"class_name": "__keras_tensor__", "config": {"shape": shape, "dtype": "float32", "keras_history": ["m", 0, 0]}}
            inner = {
                "name": f"level{level}", "input_layers": [["in", 0, 0]], "output_layers": [["m", 2, 0]],
                "layers": [
                    {"class_name": "InputLayer", "name": "in", "config": {"batch_shape": shape, "dtype": "float32", "name": "in"}, "inbound_nodes": []},
                    {"class_name": "Functional", "name": "m", "config": inner, "inbound_nodes": [{"args": [tensor], "kwargs": {}}, {"args": [again], "kwargs": {}}]},
                ],
            }  # fmt: skip
        config["config"] = inner
    elif kind == 10:  # depth without end
        members["config.json"] = b'{"class_name":"Functional","config":' + generator.choice([b"[", b'{"a":']) * 100_000
        config = None
    elif kind == 11:  # a packed member that is all zeros
        method = zipfile.ZIP_DEFLATED
        members["model.weights.h5"] = bytes(generator.choice([1 << 20, 1 << 26]))
    elif kind == 12:  # names that lead out of the archive, names twice
        extra = [generator.choice(["../x", "/etc/x", "a/../../x", "config.json", "model.weights.h5", "x\\y", "a" * 70_000, "\u202ex"])]
    else:  # links
        attributes = 0o120777 << 16
    if config is not None:
        members["config.json"] = json.dumps(config).encode()
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        for name, data in [*members.items(), *((name, b"x") for name in extra if len(name) < 65536)]:
            info = zipfile.ZipInfo(name)
            info.compress_type, info.external_attr = method, attributes or 0o600 << 16
            archive.writestr(info, data)
    result = bytearray(target.getvalue())
    if generator.random() < 0.2:  # a size or an offset of the directory
        start = result.rfind(b"PK\x01\x02")
        place, width = generator.choice([(20, 4), (24, 4), (42, 4), (28, 2), (30, 2), (10, 2), (8, 2)])
        value = generator.choice([0, 1, 0xFFFF, 0xFFFFFFFF, 0x7FFFFFFF, generator.randrange(1 << 32)]) & ((1 << 8 * width) - 1)
        struct.pack_into("<I" if width == 4 else "<H", result, start + place, value)
    return bytes(result)


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
    parser.add_argument("--lies", type=int, default=2000, help="well-formed archives with other configurations and directories")
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
            elif kind == "lie":
                damaged = lie(whole, random.Random(place))
            else:
                damaged = bytearray(whole)
                damaged[place] ^= 1 << bit
            return outcome(vitconv, bytes(damaged), f"{kind}-{place}-{bit}{''.join(file.suffixes)}", ["inspect", "--quiet"])

        tasks = [("cut", place, 0) for place in range(0, len(whole), arguments.cuts)] if arguments.cuts else []
        tasks += [("flip", generator.randrange(len(whole)), generator.randrange(8)) for _ in range(arguments.flips)]
        if zipfile.is_zipfile(io.BytesIO(whole)):
            tasks += [("lie", arguments.seed + index, 0) for index in range(arguments.lies)]
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
