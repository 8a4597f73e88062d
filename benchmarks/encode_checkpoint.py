"""A checkpoint on the CPU: our encoder and sentence-transformers in turns, slice by slice.

Both read the same folder, use the same number of threads, and get the same sentences each turn,
twice, so that other work on the machine does not decide. Sentence-transformers runs at its
default of 32 sentences a batch, and at the batch size that was its fastest on a slice before.
"""

import argparse
import importlib
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import circumstances, cosines, timed
from sentences import mixed_sentences, ntrex_sentences, read_sentences, tatoeba_sentences

from bitextmine.arrays import Floats
from bitextmine.config import EncoderOptions
from bitextmine.encoders.spec import load_spec, resolve_spec
from bitextmine.machine import Limits

DEFAULT_BATCH = 32  # of sentence-transformers' encode
_BATCHES = (16, 32, 64, 128)
_WARM_UP = 64  # sentences
_LANGUAGES = ("deu", "rus", "jpn", "vie", "tur")  # of NTREX and Tatoeba, three scripts
PACKAGES = ("torch", "numpy", "transformers", "tokenizers", "sentence-transformers")

Slices = list[list[str]]


@dataclass(frozen=True)
class Turn:
    """One slice of sentences, encoded by both; all but the counts in seconds."""

    sentences: int
    tokens: int
    ours: float
    tokenising: float  # ours, by itself
    default: float
    best: float
    cosines: Floats


@dataclass(frozen=True)
class Row:
    """A line of the table; ratios are medians over the slices, with the extremes."""

    corpus: str
    sentences: int
    tokens_per_sentence: float
    sentences_per_s: float
    tokens_per_s: float
    tokenising_share: float
    default_per_s: float
    ratio_default: float
    ratio_default_min: float
    ratio_default_max: float
    best_batch: int
    best_per_s: float
    ratio_best: float
    ratio_best_min: float
    ratio_best_max: float
    cosine_min: float
    cosine_mean: float
    ratios_default: list[float]  # slice by slice


def measure_checkpoint(arguments: argparse.Namespace) -> dict[str, Any]:
    """Measure every corpus, print a line each, and return what is to be kept."""
    threads: int = arguments.threads
    torch.set_num_threads(threads)
    library: Any = importlib.import_module("sentence_transformers")
    theirs = library.SentenceTransformer(str(arguments.checkpoint), device="cpu")
    spec = resolve_spec(
        str(arguments.checkpoint), EncoderOptions(dtype="float32"), Limits(("cpu",))
    )
    ours: Any = load_spec(spec, threads=threads, device="cpu")
    rows: list[Row] = []
    print(header())
    for corpus, slices in corpora(arguments.sentences, arguments.slice, arguments.turns):
        rows.append(measure_corpus(corpus, slices, ours, theirs, threads))
        print(line(rows[-1]), flush=True)
    return {
        "rows": [{field.name: getattr(row, field.name) for field in fields(row)} for row in rows],
        "encoder": spec.identity(),
        "compared": "sentence_transformers.SentenceTransformer.encode, same folder and threads",
        "slice": arguments.slice,
        "turns": arguments.turns,
        **circumstances(threads, PACKAGES),
    }


def corpora(file: Path | None, size: int, turns: int) -> list[tuple[str, Slices]]:
    """Name the corpora, each in as many slices of as many sentences, or fewer of a small file.

    In the last two, a slice is of one language, and each is of another.
    """
    if file is not None:
        sentences = read_sentences(file)[: size * turns]
        return [(file.name, _sliced(sentences, turns))]
    languages = [_LANGUAGES[turn % len(_LANGUAGES)] for turn in range(turns)]
    return [
        ("mixed", _sliced(mixed_sentences(size * turns)[0], turns)),
        ("NTREX", [ntrex_sentences(language)[:size] for language in languages]),
        ("Tatoeba", [tatoeba_sentences(language)[:size] for language in languages]),
    ]


def _sliced(sentences: list[str], turns: int) -> Slices:
    size = len(sentences) // turns
    return [sentences[i * size : (i + 1) * size] for i in range(turns)]


def measure_corpus(corpus: str, slices: Slices, ours: Any, theirs: Any, threads: int) -> Row:
    """Take turns on a corpus, after each has warmed up and the best batch size is known."""
    ours.encode(slices[-1][:_WARM_UP])
    theirs.encode(slices[-1][:_WARM_UP])
    best = best_batch(theirs, slices[-1], threads)
    return summary(corpus, best, [take_turn(ours, theirs, part, best) for part in slices])


def best_batch(theirs: Any, sentences: list[str], threads: int) -> int:
    """The batch size at which sentence-transformers is fastest, of four."""
    seconds = {size: run_theirs(theirs, sentences, size, threads)[1] for size in _BATCHES}
    return min(seconds, key=seconds.__getitem__)


def run_theirs(theirs: Any, sentences: list[str], batch: int, threads: int) -> tuple[Floats, float]:
    """Vectors of sentence-transformers, and the seconds they took."""
    torch.set_num_threads(threads)
    vectors, seconds = timed(partial(theirs.encode, sentences, batch_size=batch))
    return np.asarray(vectors), seconds


def take_turn(ours: Any, theirs: Any, sentences: list[str], best: int) -> Turn:
    """Encode a slice with each, twice in alternation; of two times the shorter counts."""
    threads = torch.get_num_threads()
    our_times, at_default, at_best = [], [], []
    for _ in range(2):
        encoded, seconds = timed(partial(ours.encode, sentences))
        our_times.append(seconds)
        vectors, seconds = run_theirs(theirs, sentences, DEFAULT_BATCH, threads)
        at_default.append(seconds)
        if best != DEFAULT_BATCH:
            at_best.append(run_theirs(theirs, sentences, best, threads)[1])
    tokens, tokenising = timed(partial(ours._tokeniser.encode, sentences))
    return Turn(
        sentences=len(sentences),
        tokens=int(tokens.starts[-1]),
        ours=min(our_times),
        tokenising=tokenising,
        default=min(at_default),
        best=min(at_best or at_default),
        cosines=cosines(encoded.embeddings, vectors),
    )


def summary(corpus: str, best: int, turns: Sequence[Turn]) -> Row:
    """Rates over all slices, ratios slice by slice."""
    sentences, tokens = (sum(getattr(t, name) for t in turns) for name in ("sentences", "tokens"))
    ours = sum(turn.ours for turn in turns)
    to_default = [turn.default / turn.ours for turn in turns]
    to_best = [turn.best / turn.ours for turn in turns]
    same = np.concatenate([turn.cosines for turn in turns])
    return Row(
        corpus=corpus,
        sentences=sentences,
        tokens_per_sentence=tokens / sentences,
        sentences_per_s=sentences / ours,
        tokens_per_s=tokens / ours,
        tokenising_share=sum(turn.tokenising for turn in turns) / ours,
        default_per_s=sentences / sum(turn.default for turn in turns),
        ratio_default=statistics.median(to_default),
        ratio_default_min=min(to_default),
        ratio_default_max=max(to_default),
        best_batch=best,
        best_per_s=sentences / sum(turn.best for turn in turns),
        ratio_best=statistics.median(to_best),
        ratio_best_min=min(to_best),
        ratio_best_max=max(to_best),
        cosine_min=float(same.min()),
        cosine_mean=float(same.mean()),
        ratios_default=[round(ratio, 3) for ratio in to_default],
    )


def header() -> str:
    """The head of the table."""
    return (
        f"{'corpus':12} {'n':>6} {'tokens':>6} {'ours/s':>7} {'tokens/s':>8} {'tokenising':>10}"
        f" {'ST/s':>6} {'ratio (min-max)':>17}  {'ST best':>12} {'ratio (min-max)':>17}"
        f" {'cosine min':>10}"
    )


def line(row: Row) -> str:
    """A line of the table."""
    default = f"{row.ratio_default:.2f} ({row.ratio_default_min:.2f}-{row.ratio_default_max:.2f})"
    best = f"{row.ratio_best:.2f} ({row.ratio_best_min:.2f}-{row.ratio_best_max:.2f})"
    return (
        f"{row.corpus:12} {row.sentences:6} {row.tokens_per_sentence:6.1f}"
        f" {row.sentences_per_s:7.1f} {row.tokens_per_s:8,.0f} {row.tokenising_share:10.1%}"
        f" {row.default_per_s:6.1f} {default:>17}  {row.best_per_s:6.1f} at {row.best_batch:>3}"
        f" {best:>16} {row.cosine_min:10.7f}"
    )
