"""How do time, memory and disk grow with the corpus, under a fixed memory budget?

Each size is mined in a process of its own, from text files to TSV, with ``--memory`` as given.
The encoder is a bag of hashed words of 64 dimensions: encoding is linear in any case and measured
elsewhere (mine.py), and would hide what is asked here. The sentences are those of mine.py: real
ones, then halves of real ones spliced together.

    python benchmarks/scaling.py --sizes 10000 30000 100000 300000 --memory 1G \\
        --json benchmarks/results/scaling.json --png benchmarks/results/scaling.png
"""

import argparse
import json
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from collections.abc import Iterable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from measuring import circumstances
from mine import sentences

from bitextmine.encoders.base import Encoded, EncoderInfo
from bitextmine.machine import parse_memory

DIM = 64
STAGES = ("shard", "encode", "search", "select", "write")
WATCHED = 0.05  # seconds between looks at memory
INFO = EncoderInfo(
    name="words",
    summary="sums of random vectors of words",
    dim=DIM,
    languages=frozenset({"de", "en"}),
    package="benchmarks",
    size_mib=32,
    licence="Apache-2.0",
    threshold=0.9,
    threshold_source="chosen for the benchmark",
)


class WordEncoder:
    """Adds up a fixed random vector for each word: cheap, and as crowded as real vectors are."""

    info = INFO

    def __init__(self) -> None:
        table = np.random.default_rng(0).standard_normal((1 << 17, DIM), np.float32)
        self._table = np.concatenate([table + 0.3, np.zeros((1, DIM), np.float32)])

    def encode(self, texts: Sequence[str]) -> Encoded:
        """Encode sentences, each on its own."""
        words = [[zlib.crc32(word.encode()) & 0x1FFFF for word in text.split()] for text in texts]
        bounds = np.cumsum([0, *map(len, words)])
        rows = np.array([word for line in words for word in line] + [1 << 17], np.int64)
        return Encoded(np.add.reduceat(self._table[rows], bounds[:-1], axis=0))


class Watcher:
    """The peaks of this process's own memory and of a folder's size."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._ended = folder, threading.Event()
        self.own, self.disk = 0, 0
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Watcher":
        self._thread.start()
        return self

    def __exit__(self, *failure: object) -> None:
        self._ended.set()
        self._thread.join()

    def _watch(self) -> None:
        looks = 0
        while not self._ended.wait(WATCHED):
            self.own = max(self.own, own_memory())
            if looks % 40 == 0:
                self.disk = max(self.disk, folder_bytes(self._folder))
            looks += 1


def own_memory() -> int:
    """Bytes in memory that no file backs: what a job's limit counts and cannot take back."""
    status = Path("/proc/self/status").read_text("utf-8").splitlines()
    return next(int(line.split()[1]) << 10 for line in status if line.startswith("RssAnon"))


def folder_bytes(folder: Path) -> int:
    """Bytes of all files of a folder, as far as they are still there."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size
        except FileNotFoundError:
            continue
    return total


def main() -> None:
    """Run every size in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--tasks", type=Path, default=Path("../shared/data/mining"))
    parser.add_argument("--memory", default="1G")
    parser.add_argument("--search", default="exact")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--png", type=Path)
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(mined(args.child, args.memory, args.search, args.threads)))
        return
    rows = []
    for size in args.sizes:
        rows.append(run_size(size, args))
        print(json.dumps(rows[-1]), file=sys.stderr, flush=True)
    report = circumstances(args.threads, ["torch", "numpy", "faiss-cpu"])
    report |= {"memory": args.memory, "search": args.search, "dim": DIM, "sizes": rows}
    report["exponents"] = exponents(rows)
    print(table(rows, report["exponents"]))
    if args.json:
        args.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")
    if args.png:
        draw(rows, report["exponents"], args.png)


def run_size(size: int, args: argparse.Namespace) -> dict[str, Any]:
    """Make a corpus of this size and mine it in a fresh process."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for side, english in (("src", False), ("tgt", True)):
            write_lines(folder / side, islice(sentences(args.tasks, english=english), size))
        command = [sys.executable, __file__, "--child", name, "--memory", args.memory]
        command += ["--search", args.search, "--threads", str(args.threads)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write sentences, one a line."""
    with path.open("w", encoding="utf-8") as file:
        file.writelines(f"{line}\n" for line in lines)


def mined(folder: Path, memory: str, search: str, threads: int) -> dict[str, Any]:
    """Mine in this process and tell what it took."""
    from bitextmine import MineConfig, mine
    from bitextmine.encoders.registry import register_encoder

    register_encoder(INFO, lambda threads, device: WordEncoder())
    begun = time.perf_counter()
    with Watcher(folder / "work") as watcher:
        card = mine(
            MineConfig(
                src=(str(folder / "src"),), tgt=(str(folder / "tgt"),), model=INFO.name,
                src_lang="de", tgt_lang="en", search=search, threads=threads,
                memory=parse_memory(memory), workdir=folder / "work", out=folder / "pairs.tsv",
            )
        ).card  # fmt: skip
    return {
        "sentences": card["counts"]["src"]["unique"],
        "tgt": card["counts"]["tgt"]["unique"],
        "pairs": card["counts"]["pairs"],
        "seconds": {stage: card["seconds"][stage] for stage in STAGES},
        "total": round(time.perf_counter() - begun, 2),
        "memory_mib": watcher.own >> 20,
        "disk_mib": watcher.disk >> 20,
    }


def exponents(rows: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Fit y = a n^b to each column over the sizes; small sizes are mostly start-up."""
    fitted = {}
    for name, values in columns(rows).items():
        usable = [(row["sentences"], y) for row, y in zip(rows, values, strict=True) if y > 0]
        if len(usable) > 1:
            logs = np.log(np.array(usable))
            fitted[name] = round(float(np.polyfit(logs[:, 0], logs[:, 1], 1)[0]), 2)
    return fitted


def columns(rows: Sequence[dict[str, Any]]) -> dict[str, list[float]]:
    """What is measured, by name, for all sizes."""
    timed = {stage: [row["seconds"][stage] for row in rows] for stage in STAGES}
    return timed | {
        "total": [row["total"] for row in rows],
        "memory": [row["memory_mib"] for row in rows],
        "disk": [row["disk_mib"] for row in rows],
    }


def table(rows: Sequence[dict[str, Any]], fitted: dict[str, float]) -> str:
    """Lay the figures out in markdown."""
    heads = [f"{row['sentences']:,} x {row['tgt']:,}" for row in rows]
    lines = [f"| | {' | '.join(heads)} | exponent |", "|---|" + "---:|" * (len(rows) + 1)]
    units = {"memory": "peak memory, MiB", "disk": "peak disk, MiB"}
    for name, values in columns(rows).items():
        told = " | ".join(
            f"{value:,.1f}" if name in STAGES else f"{value:,.0f}" for value in values
        )
        lines.append(f"| {units.get(name, f'{name}, s')} | {told} | {fitted.get(name, '')} |")
    return "\n".join(lines)


def draw(rows: Sequence[dict[str, Any]], fitted: dict[str, float], path: Path) -> None:
    """Draw all columns against the size, both axes logarithmic."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.5))
    sizes = [row["sentences"] for row in rows]
    for name, values in columns(rows).items():
        axes = right if name in ("memory", "disk") else left
        label = f"{name}, n^{fitted[name]:.2f}" if name in fitted else name
        axes.plot(sizes, values, "o-", label=label)
    for axes, what in ((left, "seconds"), (right, "MiB")):
        axes.set(xscale="log", yscale="log", xlabel="sentences a side", ylabel=what)
        axes.grid(True, which="both", alpha=0.3)
        axes.legend()
    figure.suptitle("bitextmine mine, exact search, d = 64, k = 4")
    figure.tight_layout()
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
