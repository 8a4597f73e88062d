"""What is measured while a model is trained: STS, Tatoeba, triplets kept out of training."""

from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import fmean

import numpy as np
import torch

from bitextmine.compression import open_input, raw_lines
from bitextmine.errors import InputError
from bitextmine.evaluation.tatoeba import TATOEBA_14, read_pairs, retrieval_accuracy
from bitextmine.search.neighbours import Floats
from bitextmine.training.loss import triplet_accuracy

Encode = Callable[[Sequence[str]], Floats]
Scorer = Callable[[Encode], float]


def make_dev(
    sts: Sequence[str],
    tatoeba: Path | None,
    langs: Sequence[str],
    triplets: Sequence[tuple[str, str, str]],
) -> Callable[[Encode], dict[str, float]] | None:
    """Read the test sets; returns what evaluates an encoder on them, or None without any.

    The first score decides which model is the best: STS, else Tatoeba, else triplets.

    Raises
    ------
    InputError
        A file is missing or does not parse.
    """
    scorers: dict[str, Scorer] = {}
    if sts:
        scorers["sts"] = _sts_scorer([read_sts(path) for path in sts])
    if tatoeba is not None:
        pairs = [read_pairs(tatoeba, language) for language in langs or TATOEBA_14]
        scorers["tatoeba"] = _tatoeba_scorer(pairs)
    if triplets:
        scorers["triplets"] = _triplet_scorer(triplets)
    if not scorers:
        return None
    return lambda encode: {name: scorer(encode) for name, scorer in scorers.items()}


def read_sts(path: str) -> tuple[list[float], list[str], list[str]]:
    """Read ``score<TAB>sentence<TAB>sentence`` lines, as STS sets are kept.

    Raises
    ------
    InputError
        A line does not parse: named by number.
    """
    scores: list[float] = []
    sides: tuple[list[str], list[str]] = ([], [])
    with open_input(path) as file:
        for number, line in enumerate(raw_lines(file, path), 1):
            cells = (line or b"").decode("utf-8", "replace").rstrip("\r").split("\t")
            try:
                score, first, second = float(cells[0]), cells[1], cells[2]
            except (ValueError, IndexError) as error:
                raise InputError(
                    f"{path}:{number}: it is not score<TAB>sentence<TAB>sentence",
                    hint="give an STS set in this layout, one pair a line",
                ) from error
            scores.append(score)
            sides[0].append(first)
            sides[1].append(second)
    if len(set(scores)) < 2:
        raise InputError(f"{path} has fewer than two different scores", hint="give an STS set")
    return scores, sides[0], sides[1]


def spearman(gold: Sequence[float], found: Sequence[float]) -> float:
    """Return the rank correlation, from -1 to 1; equal values share their mean rank."""
    ranks = np.corrcoef(_ranks(gold), _ranks(found))
    return float(ranks[0, 1])


def _ranks(values: Sequence[float]) -> Floats:
    _, places, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    means: Floats = ((ends - (counts - 1) / 2)[places]).astype(np.float32)
    return means


def _sts_scorer(sets: Sequence[tuple[list[float], list[str], list[str]]]) -> Scorer:
    """Mean Spearman correlation of the cosine over the sets, times 100."""

    def score(encode: Encode) -> float:
        found = []
        for gold, first, second in sets:
            vectors = _units(encode([*first, *second]))
            cosines = (vectors[: len(first)] * vectors[len(first) :]).sum(axis=1)
            found.append(100 * spearman(gold, cosines.tolist()))
        return fmean(found)

    return score


def _tatoeba_scorer(pairs: Sequence[tuple[list[str], list[str]]]) -> Scorer:
    """Mean accuracy over languages and both directions, in percent."""

    def score(encode: Encode) -> float:
        accuracies = []
        for sentences, english in pairs:
            vectors = encode([*sentences, *english])
            accuracies.append(
                retrieval_accuracy(vectors[: len(sentences)], vectors[len(sentences) :]).mean
            )
        return fmean(accuracies)

    return score


def _triplet_scorer(triplets: Sequence[tuple[str, str, str]]) -> Scorer:
    """Percent of premises that are closer to the entailment than to the contradiction."""

    def score(encode: Encode) -> float:
        texts = [triplet[i] for i in range(3) for triplet in triplets]
        return 100 * triplet_accuracy(torch.from_numpy(encode(texts)))

    return score


def _units(vectors: Floats) -> Floats:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)
