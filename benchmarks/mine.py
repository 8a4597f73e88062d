"""What does the whole of `mine` cost? Seconds of every stage and peak memory, by corpus size.

Each size runs in a process of its own. The time inside the encoder's forward pass and inside the
matrix products of the search is measured by wrapping the two functions that do nothing else;
what is left of the wall time is everything this program adds.

    python benchmarks/mine.py --sizes 10000 50000 200000 --json out.json
"""

import argparse
import json
import resource
import shlex
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import zstandard

from bitextmine.machine import describe_machine


def main() -> None:
    """Run every size in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--sizes", type=int, nargs="+", default=[10_000, 50_000])
    parser.add_argument("--tasks", type=Path, default=Path("../shared/data/mining"))
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--child", nargs=2, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.child:
        print(json.dumps(measure(Path(args.child[0]), Path(args.child[1]), args.threads)))
        return
    rows = [run_size(size, args.tasks, args.threads) for size in args.sizes]
    print(table(rows))
    if args.json:
        command = shlex.join(["python", *sys.argv])
        report = {"command": command, "machine": describe_machine(), "sizes": rows}
        args.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


def run_size(size: int, tasks: Path, threads: int) -> dict[str, Any]:
    """Make a corpus of this size and mine it in a fresh process."""
    with tempfile.TemporaryDirectory() as folder:
        paths = [Path(folder) / "src.txt", Path(folder) / "tgt.txt"]
        for path, english in zip(paths, (False, True), strict=True):
            lines = islice(sentences(tasks, english=english), size)
            path.write_text("".join(f"{line}\n" for line in lines), "utf-8")
        command = [sys.executable, __file__, "--child", *map(str, paths)]
        command += ["--threads", str(threads)]
        done = subprocess.run(command, stdout=subprocess.PIPE, check=True)
    row: dict[str, Any] = json.loads(done.stdout)
    return row


def sentences(tasks: Path, *, english: bool) -> Iterator[str]:
    """Yield distinct sentences: those of the tasks, then halves of them spliced together."""
    pool = list(dict.fromkeys(real_sentences(tasks, english=english)))
    yield from pool
    seen = set(pool)
    for step in range(1, len(pool)):
        for n, line in enumerate(pool):
            other = pool[(n + step) % len(pool)]
            spliced = line[: len(line) // 2] + other[len(other) // 2 :]
            if spliced not in seen:
                seen.add(spliced)
                yield spliced


def real_sentences(tasks: Path, *, english: bool) -> Iterator[str]:
    """Yield one side of the tasks whose languages use-m3 knows, or of the bundled sample."""
    paths = [
        path
        for task in ("de-en", "fr-en", "ru-en", "zh-en")
        for path in sorted((tasks / task).glob("*.zst"))
        if (path.name.split(".")[1] == "en") == english
    ]
    if not paths:
        sample = Path(__file__).parents[1] / "bitextmine" / "sample"
        paths = [sample / f"sample.{'en' if english else 'de'}.zst"]
    for path in paths:
        text = zstandard.ZstdDecompressor().stream_reader(path.open("rb")).read().decode()
        for line in text.splitlines():
            yield line.partition("\t")[2] or line


class Clock:
    """Adds up the wall time during which any thread is inside the wrapped functions."""

    def __init__(self) -> None:
        self.seconds = 0.0
        self._lock, self._inside, self._since = threading.Lock(), 0, 0.0

    def wrap(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Return the function with its time counted."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                if self._inside == 0:
                    self._since = time.perf_counter()
                self._inside += 1
            try:
                return function(*args, **kwargs)
            finally:
                with self._lock:
                    self._inside -= 1
                    if self._inside == 0:
                        self.seconds += time.perf_counter() - self._since

        return timed


def measure(src: Path, tgt: Path, threads: int) -> dict[str, Any]:
    """Mine in this process and tell what it took."""
    begun = time.perf_counter()
    forward, product = Clock(), Clock()
    wrap_hot_functions(forward, product)
    from bitextmine import MineConfig, mine

    with tempfile.TemporaryDirectory() as folder:
        config = MineConfig(
            src=(str(src),),
            tgt=(str(tgt),),
            out=Path(folder) / "pairs.tsv",
            threads=threads,
            model="use-m3",
        )
        card = mine(config).card
    wall = time.perf_counter() - begun
    rest = wall - forward.seconds - product.seconds
    return {
        "src": card["counts"]["src"]["unique"],
        "tgt": card["counts"]["tgt"]["unique"],
        "pairs": card["counts"]["pairs"],
        "seconds": card["seconds"] | {"wall": round(wall, 2)},
        "forward": round(forward.seconds, 2),
        "product": round(product.seconds, 2),
        "rest": round(rest, 2),
        "rest_share": round(rest / wall, 4),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
    }


def wrap_hot_functions(forward: Clock, product: Clock) -> None:
    """Time the encoder's forward pass and the search's matrix product, and nothing else."""
    from bitextmine.encoders.use_m3.m3_encoder import UseM3
    from bitextmine.search.exact.score_block import ScoreBlock

    hot: list[tuple[type, str, Clock]] = [
        (UseM3, "_encode_block", forward),  # token ids to vectors
        (ScoreBlock, "multiply", product),
    ]
    for owner, name, clock in hot:
        setattr(owner, name, clock.wrap(getattr(owner, name)))


def table(rows: Sequence[dict[str, Any]]) -> str:
    """Show the figures as a Markdown table."""
    lines = [
        "| src | tgt | wall s | shard | encode | search | select + write | forward pass |"
        " matrix products | all the rest | peak MiB |",
        "|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        s = row["seconds"]
        lines.append(
            f"| {row['src']:,} | {row['tgt']:,} | {s['wall']} | {s['shard']:.1f} |"
            f" {s['encode']:.1f} | {s['search']:.1f} | {s['select'] + s['write']:.1f} |"
            f" {row['forward']:.1f} | {row['product']:.1f} | {100 * row['rest_share']:.1f} % |"
            f" {row['peak_mib']:,} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
