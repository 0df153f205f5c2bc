"""How much attention a tool finds: vitconv's table beside those of ONNX Runtime's and onnxscript's fusions.

    python recall/recall.py VITCONV ZOO... [--peers DIALECTS] [--markdown FILE] [--show] [--jobs N]

Each folder holds what `zoo.py` writes. A true block is one that the model's own modules tell; it counts as found where the
tool names a block of its family (or of a family that may be called so) with its number of heads. Whatever attends and is
in no truth counts as false. All dialects of a model should give one report: where heads, sizes, scale, bias, norms or
geometry of its blocks differ between two files of one model, that model is counted and, with --show, named. Peers do not name families, so that for them each fused node counts as a block that is found,
up to as many as there are: Attention, MultiHeadAttention or GroupQueryAttention in the graph after their passes.
"""

from __future__ import annotations

import argparse
import collections
import contextlib
import json
import os
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

# Words that truths by module class may use for what is found under a finer one.
ALIKE = {
    "self": {"pooled", "spatial-reduction", "causal", "gqa", "cross"},
    "pooled": {"self", "spatial-reduction"},
    "window": {"grid", "axial", "self"},
    "class": {"cross"},
    "cross": {"class", "self"},
    "channel-gate": {"spatial-gate"},
    "gqa": {"causal"},
    "factorized": {"linear"},
    "linear": {"additive", "factorized"},
    "additive": {"linear"},
}
SIDE = {"channel-gate", "spatial-gate", "global-context", "token-mixing", "conv-mixing"}
FUSED = {"Attention", "MultiHeadAttention", "GroupQueryAttention", "QAttention", "PackedAttention", "DecoderMaskedMultiHeadAttention"}


@dataclass
class Count:
    """What one tool found in some files."""

    files: int = 0
    true: int = 0
    found: int = 0
    exact: int = 0
    false: int = 0
    misnamed: int = 0
    failed: int = 0

    def add(self, other: Count) -> None:
        for name in vars(self):
            setattr(self, name, getattr(self, name) + getattr(other, name))


@dataclass
class Model:
    folder: Path
    name: str
    group: str
    blocks: list[tuple[str, int | None]]
    # Blocks that attend alike to every input: a constant of the model, which may be folded.
    constant: list[tuple[str, int | None]] = field(default_factory=list)
    # Mechanisms of the blocks that have one besides the softmax; None where the truth does not speak of them.
    mechanisms: list[str] | None = None
    files: dict[str, Path] = field(default_factory=dict)

    @property
    def softmax(self) -> int:
        """Blocks that a fused attention operator could stand for."""
        return sum(family not in SIDE | {"linear", "additive", "deformable"} for family, _ in self.blocks)


def models(folders: list[Path]) -> list[Model]:
    result = []
    for folder in folders:
        for path in sorted(folder.glob("*.json")):
            truth = json.loads(path.read_text())
            blocks = [(block["family"], block.get("heads")) for block in truth["blocks"] if not block.get("constant")]
            constant = [(block["family"], block.get("heads")) for block in truth["blocks"] if block.get("constant")]
            said = [block.get("mechanism") for block in truth["blocks"]]
            named = None if None in said else [mechanism for mechanism in said if mechanism != "softmax"]
            files = {d: folder / f"{truth['name']}.{d}.onnx" for d in truth["dialects"]}
            files = {d: file for d, file in files.items() if file.exists()}
            if files:
                result.append(Model(folder, truth["name"], truth.get("group", ""), blocks, constant, named, files))
    return result


def judged(want: list[tuple], got: list[tuple], allowed: list[tuple]) -> tuple[Count, list[tuple], list[tuple]]:
    """The count for one file, what is missing and what is too many."""

    def fits(heads: int | None, other: int | None) -> bool:
        return heads is None or other is None or heads == other

    left, rest, found = list(got), [], 0
    for family, heads in want:
        hit = next((g for g in left if g[0] == family and (heads is None or g[1] == heads)), None)
        if hit:
            left.remove(hit)
            found += 1
        else:
            rest.append((family, heads))
    exact, missing = found, []
    for family, heads in rest:
        hit = next((g for g in left if g[0] in ALIKE.get(family, ()) and fits(heads, g[1])), None)
        if hit:
            left.remove(hit)
            found += 1
        else:
            missing.append((family, heads))
    for g in allowed:
        if g in left:
            left.remove(g)
    extra = [g for g in left if g[0] not in SIDE]
    return Count(1, len(want), found, exact, len(extra)), missing, extra


def inspect(program: str, path: Path) -> list[dict] | None:
    done = subprocess.run([program, "inspect", str(path), "--json"], capture_output=True, text=True, timeout=300, check=False)
    try:
        return json.loads(done.stdout)["attention"]
    except (ValueError, KeyError):
        return None


# What a report says of a block that no exporter may change.
FACTS = (
    "family", "mechanism", "heads", "head_dim", "value_dim", "query_tokens", "key_tokens", "scale", "bias", "qk_norm", "causal", "rotary", "geometry",
)  # fmt: skip


def facts(blocks: list[dict]) -> list[tuple]:
    """The blocks without names and nodes, in an order that no exporter chooses; scales to six digits."""

    def said(value: object) -> str:
        return f"{value:.6g}" if isinstance(value, float) else json.dumps(value, sort_keys=True)

    return sorted(tuple(said(block.get(name)) for name in FACTS) for block in blocks)


def difference(one: list[tuple], other: list[tuple]) -> str:
    """The first facts in which two reports of one model part, for people."""
    if len(one) != len(other):
        return f"{len(one)} and {len(other)} blocks"
    for a, b in zip(one, other, strict=True):
        parted = [f"{name} {x} and {y}" for name, x, y in zip(FACTS, a, b, strict=True) if x != y]
        if parted:
            return f"{a[0]}: " + ", ".join(parted)
    return ""


# --- peers ---

PEER = r"""
import os, sys, tempfile, warnings, logging
warnings.simplefilter("ignore"); logging.disable(logging.CRITICAL)
import onnx, onnxruntime
path, FUSED = sys.argv[1], set(sys.argv[2].split(","))
onnxruntime.set_default_logger_severity(4)
def count(model):
    return sum(n.op_type in FUSED and n.domain == "com.microsoft" for n in model.graph.node)
def session():
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
    options.intra_op_num_threads = 1
    options.optimized_model_filepath = "optimized.onnx"
    onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    return count(onnx.load("optimized.onnx", load_external_data=False))
def optimizer():
    from onnxruntime.transformers.optimizer import optimize_model
    best = None
    for kind in ("vit", "bert", "clip"):
        for level in (0, 1):
            try:
                best = max(best or 0, count(optimize_model(path, model_type=kind, opt_level=level).model))
            except Exception:
                pass
    return best
def script():
    import onnx_ir
    from onnxscript.rewriter.ort_fusions import optimize_for_ort
    model = onnx_ir.load(path)
    optimize_for_ort(model)
    return count(onnx_ir.serde.serialize_model(model))
for name, run in (("session", session), ("onnxruntime", optimizer), ("onnxscript", script)):
    try:
        print("fused", name, run(), flush=True)
    except Exception:
        print("fused", name, None, flush=True)
"""


def fused(path: Path) -> dict[str, int | None]:
    """Fused attention nodes that each peer leaves in a file; None where it fails or takes over two minutes."""
    result: dict[str, int | None] = dict.fromkeys(PEERS)
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-c", PEER, str(path.resolve()), ",".join(sorted(FUSED))]
        try:
            said = subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=folder).stdout
        except subprocess.TimeoutExpired as late:
            said = (late.stdout or b"").decode()
    for line in said.splitlines():
        if line.startswith("fused ") and not line.endswith("None"):
            _, name, number = line.split()
            result[name] = int(number)
    return result


class Remembered:
    """What peers said of files that have not changed since, beside the files: they are slow, and the same at each run."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "peers.txt"
        self.said: dict[str, dict[str, int | None]] = {}
        if self.path.exists():
            for line in self.path.read_text().splitlines():
                key, _, answer = line.partition("\t")
                self.said[key] = json.loads(answer)

    def fused(self, path: Path) -> dict[str, int | None]:
        key = f"{path.name} {path.stat().st_size} {path.stat().st_mtime_ns} {versions()}"
        if key not in self.said:
            self.said[key] = fused(path)
            with self.path.open("a") as file:
                file.write(f"{key}\t{json.dumps(self.said[key])}\n")
        return self.said[key]


PEERS = {
    "onnxscript": "onnxscript `optimize_for_ort`",
    "onnxruntime": "ONNX Runtime optimizer, best of vit, bert, clip at levels 0 and 1",
    "session": "ONNX Runtime session, all optimizations",
}


def versions() -> str:
    from importlib.metadata import PackageNotFoundError, version

    said = []
    for name in ("torch", "timm", "transformers", "onnxruntime", "onnxscript", "onnxslim"):
        with contextlib.suppress(PackageNotFoundError):
            said.append(f"{name} {version(name)}")
    return ", ".join(said)


# --- the table ---


Table = dict[tuple[str, str], dict[str, Count]]


def measure(program: str, zoo: list[Model], jobs: int, peers: set[str], show: bool) -> tuple[Table, list[str]]:
    """Counts by (group, dialect) and tool, and the models of which two dialects tell different stories."""
    table: Table = collections.defaultdict(lambda: collections.defaultdict(Count))
    first: dict[tuple[Path, str], tuple[str, list[tuple]]] = {}
    parted: list[str] = []
    remembered = {folder: Remembered(folder) for folder in {model.folder for model in zoo}}

    def one(task: tuple[Model, str, Path]) -> tuple[Model, str, dict[str, Count], str, list[dict] | None]:
        model, dialect, path = task
        counts: dict[str, Count] = {}
        got = inspect(program, path)
        said = ""
        if got is None:
            counts["vitconv"] = Count(1, len(model.blocks), failed=1)
            said = f"{model.name}.{dialect}: cannot be read"
        else:
            counts["vitconv"], missing, extra = judged(model.blocks, [(block["family"], block.get("heads")) for block in got], model.constant)
            named = collections.Counter(block["mechanism"] for block in got if block["mechanism"] != "softmax")
            wanted = named if model.mechanisms is None else collections.Counter(model.mechanisms)
            counts["vitconv"].misnamed = max((wanted - named).total(), (named - wanted).total())
            if missing or extra or counts["vitconv"].misnamed:
                said = f"{model.name}.{dialect}: missing {missing}, false {extra}, mechanisms {dict(named)} for {dict(wanted)}"
        if dialect in peers and model.softmax:
            for tool, number in remembered[model.folder].fused(path).items():
                counts[tool] = Count(1, model.softmax, min(number or 0, model.softmax), failed=int(number is None))
        return model, dialect, counts, said, got

    tasks = [(model, dialect, path) for model in zoo for dialect, path in model.files.items()]
    with ThreadPoolExecutor(jobs) as pool:
        for model, dialect, counts, said, got in pool.map(one, tasks):
            if show and said:
                print(said, flush=True)
            if got is not None:
                before, story = first.setdefault((model.folder, model.name), (dialect, facts(got)))
                if parts := difference(story, facts(got)):
                    parted.append(f"{model.name}: {before} and {dialect} tell {parts}")
            for tool, count in counts.items():
                table[(model.group, dialect)][tool].add(count)
    return table, parted


def rows(table: dict, key: int) -> list[tuple[str, dict[str, Count]]]:
    joined: dict[str, dict[str, Count]] = {}
    for place, counts in table.items():
        row = joined.setdefault(place[key] or "models", collections.defaultdict(Count))
        for tool, count in counts.items():
            row[tool].add(count)
    return list(joined.items())


def markdown(table: dict, peers: set[str]) -> str:
    tools = list(PEERS) if peers else []
    lines = []
    for title, key in (("models", 0), ("dialect", 1)):
        head = [title, "files", "vitconv: found of true", "family word exact", "false", "mechanism wrong"] + [PEERS[tool] for tool in tools]
        lines += ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
        total: dict[str, Count] = collections.defaultdict(Count)
        for name, counts in [*rows(table, key), ("all", total)]:
            own = counts["vitconv"]
            cells = [name, str(own.files), f"{own.found}/{own.true}", f"{own.exact}/{own.true}", str(own.false), str(own.misnamed)]
            for tool in tools:
                count = counts[tool]
                failed = f" ({count.failed} fail)" if count.failed else ""
                cells.append(f"{count.found}/{count.true}{failed}" if count.files else "-")
            lines.append("| " + " | ".join(cells) + " |")
            if name != "all":
                for tool, count in counts.items():
                    total[tool].add(count)
        lines.append("")
    return "\n".join(lines)


MARK = ("<!-- recall: begin -->", "<!-- recall: end -->")


def write(path: Path, text: str) -> None:
    """Puts the table between its marks, and leaves the rest of the file alone."""
    whole = path.read_text() if path.exists() else f"# Recognition\n\n{MARK[0]}\n{MARK[1]}\n"
    if MARK[0] not in whole:
        whole = whole.rstrip() + f"\n\n{MARK[0]}\n{MARK[1]}\n"
    before, _, rest = whole.partition(MARK[0])
    _, _, after = rest.partition(MARK[1])
    path.write_text(f"{before}{MARK[0]}\n{text.strip()}\n{MARK[1]}{after}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("vitconv")
    parser.add_argument("zoo", nargs="+", type=Path)
    parser.add_argument("--peers", default="", help="dialects on which the peers are run as well")
    parser.add_argument("--markdown", type=Path)
    parser.add_argument("--show", action="store_true")
    parser.add_argument("--dialects", default="")
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    zoo = models(arguments.zoo)
    if not zoo:
        raise SystemExit(f"{' '.join(map(str, arguments.zoo))}: no models; `make zoo` builds some")
    if chosen := set(filter(None, arguments.dialects.split(","))):
        for model in zoo:
            model.files = {d: file for d, file in model.files.items() if d in chosen}
    peers = set(filter(None, arguments.peers.split(",")))
    table, parted = measure(arguments.vitconv, zoo, arguments.jobs, peers, arguments.show)
    if arguments.show:
        print(*parted, sep="\n")
    several = sum(len(model.files) > 1 for model in zoo)
    apart = len({line.partition(":")[0] for line in parted})
    text = markdown(table, peers)
    text += f"\n{several - apart} of {several} models in more than one dialect give one report.\n"
    text += f"\nMeasured with {versions()}."
    if peers:
        text += f" The peers' columns count the blocks with a softmax over scores, in {', '.join(sorted(peers))}."
    text += "\n"
    print(text)
    if arguments.markdown:
        write(arguments.markdown, text)


if __name__ == "__main__":
    main()
