"""What is measured while a model is trained: STS, Tatoeba, triplets kept out of training."""

from collections.abc import Callable, Sequence
from math import isfinite
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

import numpy as np
import torch

from bitextmine.arrays import Doubles, Floats
from bitextmine.errors import EncoderError, InputError
from bitextmine.evaluation.gold_files import read_score, read_text_lines
from bitextmine.evaluation.tatoeba import TATOEBA_14, read_pairs, retrieval_accuracy
from bitextmine.evaluation.xsts import cosines, spearman
from bitextmine.training.loss import triplet_accuracy

Encode = Callable[[Sequence[str]], Floats]
Metric = Callable[[Encode], float]


class StsSet(NamedTuple):
    """Pairs of sentences, and how alike people find them: float64, shape (n,)."""

    path: str
    scores: Doubles
    first: list[str]
    second: list[str]


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
    metrics: dict[str, Metric] = {}
    if sts:
        metrics["sts"] = _sts_metric([read_sts(path) for path in sts])
    if tatoeba is not None:
        pairs = [read_pairs(tatoeba, language) for language in langs or TATOEBA_14]
        metrics["tatoeba"] = _tatoeba_metric(pairs)
    if triplets:
        metrics["triplets"] = _triplet_metric(triplets)
    if not metrics:
        return None
    return lambda encode: {name: metric(encode) for name, metric in metrics.items()}


def read_sts(path: str) -> StsSet:
    """Read ``score<TAB>sentence<TAB>sentence`` lines, as STS sets are kept.

    Raises
    ------
    InputError
        The file is missing or not UTF-8, a line does not parse: named by number.
    """
    scores: list[float] = []
    sides: tuple[list[str], list[str]] = ([], [])
    for number, line in enumerate(read_text_lines(Path(path)), 1):
        cells = line.split("\t")
        if len(cells) < 3:
            raise InputError(
                f"{path}, line {number}: it is not score<TAB>sentence<TAB>sentence",
                hint="give an STS set in this layout, one pair a line",
            )
        scores.append(read_score(cells[0], f"{path}, line {number}"))
        sides[0].append(cells[1].strip())
        sides[1].append(cells[2].strip())
    if len(set(scores)) < 2:
        raise InputError(f"{path} has fewer than two different scores", hint="give an STS set")
    return StsSet(path, np.array(scores), *sides)


def _sts_metric(sets: Sequence[StsSet]) -> Metric:
    """Mean Spearman correlation of the cosine over the sets, times 100."""

    def score(encode: Encode) -> float:
        found = []
        for pairs in sets:
            vectors = encode([*pairs.first, *pairs.second])
            middle = len(pairs.first)
            correlation = spearman(cosines(vectors[:middle], vectors[middle:]), pairs.scores)
            if not isfinite(correlation):
                raise EncoderError(
                    f"all pairs of {pairs.path} have the same cosine: training stopped",
                    hint="lower --learning-rate, or check the base model",
                )
            found.append(100 * correlation)
        return fmean(found)

    return score


def _tatoeba_metric(pairs: Sequence[tuple[list[str], list[str]]]) -> Metric:
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


def _triplet_metric(triplets: Sequence[tuple[str, str, str]]) -> Metric:
    """Percent of premises that are closer to the entailment than to the contradiction."""

    def score(encode: Encode) -> float:
        texts = [triplet[i] for i in range(3) for triplet in triplets]
        return 100 * triplet_accuracy(torch.from_numpy(encode(texts)))

    return score
