"""xsim: how often the best-scored sentence of the other language is not the translation.

As LASER's ``source/xsim.py``: of the k nearest sentences of the other side, the one of best margin
must be the one on the same line. Where LASER leaves ties to its index, the earlier line wins.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from bitextmine.arrays import Doubles, Floats, Halfs, Ids
from bitextmine.encode.row_format import unit_halfs
from bitextmine.errors import InputError
from bitextmine.evaluation.gold_files import distinct_names, read_sentences
from bitextmine.evaluation.report import Report, percent
from bitextmine.evaluation.trials import NamedModel, Trial, run_trials
from bitextmine.machine import usable_threads
from bitextmine.runcard import RunCard
from bitextmine.search.neighbours import Neighbours
from bitextmine.select.candidates import best_pairs
from bitextmine.select.margin import neighbourhood_means, score_candidates
from bitextmine.workdir import Direction

K = 4  # neighbours a sentence, as in LASER
METRICS = {
    "margin_error_fwd": "margin → %",
    "margin_error_bwd": "margin ← %",
    "cosine_error_fwd": "cosine → %",
    "cosine_error_bwd": "cosine ← %",
}
_NOTE = (
    "errors in percent; →: src sentences searched among tgt, ←: the reverse;"
    f" margin: ratio, k={K}; cosine: the nearest"
)


@dataclass(frozen=True)
class Confusion:
    """A sentence whose translation was not found.

    Attributes
    ----------
    line : int
        Of the sentence and of its translation, from 0.
    got : int
        Line of the sentence that was found instead; -1 if no margin is defined.
    expected_score, got_score : float
        Ratio margins with the translation, and with what was found.
    """

    line: int
    got: int
    expected_score: float
    got_score: float


class AlignedSearch:
    """Two aligned lists of vectors, searched in both directions.

    Parameters
    ----------
    src, tgt : ndarray of float32, shape (n, d)
        Row i of one is the translation of row i of the other; of any length.
    threads : int
        Processor cores to use; 0 is all.

    Raises
    ------
    ValueError
        The shapes differ, or there are no rows.
    """

    def __init__(self, src: Floats, tgt: Floats, *, threads: int = 0) -> None:
        if src.shape != tgt.shape or src.ndim != 2 or len(src) == 0:
            raise ValueError(f"vectors of shapes {src.shape} and {tgt.shape} are not aligned pairs")
        from bitextmine.search.exact.two_way import two_way_neighbours

        ids = np.arange(len(src))
        self._units = tuple(unit_halfs(side, src.shape, "the encoder")[0] for side in (src, tgt))
        fwd, bwd = two_way_neighbours(
            *self._units, k=K, src_numbers=ids, tgt_numbers=ids, threads=usable_threads(threads)
        )
        self._nearest = tuple(_first(side) for side in (fwd, bwd))
        fwd_means, bwd_means = self._means = neighbourhood_means(fwd), neighbourhood_means(bwd)
        self._best = (
            _best("fwd", fwd, fwd_means, bwd_means),
            _best("bwd", bwd, bwd_means, fwd_means),
        )

    def figures(self) -> dict[str, float]:
        """Return the error rates in percent, by the names of `METRICS`."""
        (margin_fwd, _), (margin_bwd, _) = self._best
        cosine_fwd, cosine_bwd = self._nearest
        found = (margin_fwd, margin_bwd, cosine_fwd, cosine_bwd)
        return dict(zip(METRICS, map(_error_rate, found), strict=True))

    def worst(self, direction: int, count: int) -> list[Confusion]:
        """Return the confusions that were furthest from right, worst first.

        Parameters
        ----------
        direction : int
            0 for src to tgt, 1 for the reverse.
        count : int
            How many at most.
        """
        got, scores = self._best[direction]
        lines = np.flatnonzero(got != np.arange(len(got)))
        expected = self._expected(lines)
        gaps = scores[lines] - expected
        order = np.lexsort((lines, -gaps))[:count]
        return [
            Confusion(
                int(lines[i]), int(got[lines[i]]), float(expected[i]), float(scores[lines[i]])
            )
            for i in order
        ]

    def _expected(self, lines: Ids) -> Doubles:
        """Ratio margins of sentences with their own translations, which may be no neighbours."""
        src, tgt = (_lengthened(side[lines]) for side in self._units)
        around = (self._means[0][lines] + self._means[1][lines]) / 2
        cosines: Doubles = (src * tgt).sum(axis=1)
        return cosines / np.where(around == 0, np.inf, around)


def _lengthened(rows: Halfs) -> Doubles:
    """Rows of unit length in float64; zero rows stay zero."""
    doubles = rows.astype(np.float64)
    norms = np.linalg.norm(doubles, axis=1, keepdims=True)
    return doubles / np.where(norms > 0, norms, 1)


def _first(side: Neighbours) -> Ids:
    """The nearest sentences; -1 for those whose cosine with it is exactly 0."""
    return np.where(side.cosines[:, 0] != 0, side.numbers[:, 0], -1)


def _best(
    direction: Direction, found: Neighbours, own_means: Doubles, other_means: Doubles
) -> tuple[Ids, Doubles]:
    """The neighbours of best margin and their scores; -1 for those without any."""
    margins = score_candidates(found, own_means, other_means, "ratio")
    pairs = best_pairs(direction, np.arange(len(found)), found, margins)
    scores = pairs["score"]
    votes = pairs["tgt" if direction == "fwd" else "src"].astype(np.int64)
    return np.where(np.isneginf(scores), -1, votes), scores


def _error_rate(found: Ids) -> float:
    return percent(float((found != np.arange(len(found))).mean()))


@dataclass(frozen=True)
class AlignedFile:
    """A file and its translation, line by line.

    Attributes
    ----------
    name, tgt_name : str
        What tables call them.
    src, tgt : list of str
        The sentences.
    """

    name: str
    tgt_name: str
    src: list[str]
    tgt: list[str]


def read_aligned(src: Sequence[Path], tgt: Path) -> list[AlignedFile]:
    """Read files that are all aligned with one.

    Raises
    ------
    InputError
        A file is empty, has a blank line, or the numbers of lines differ.
    """
    translations = read_sentences(tgt)
    aligned = []
    for path, name in zip(src, distinct_names(src), strict=True):
        sentences = read_sentences(path)
        if len(sentences) != len(translations):
            raise InputError(
                f"{path} has {len(sentences):,} lines, {tgt} has {len(translations):,}",
                hint="line n of one file must be the translation of line n of the other",
            )
        aligned.append(AlignedFile(name, tgt.name, sentences, translations))
    return aligned


def evaluate_xsim(
    models: Sequence[NamedModel], files: Sequence[AlignedFile], card: RunCard, *, worst: int = 5
) -> Report:
    """Search line-aligned files for each other's lines.

    Parameters
    ----------
    models : sequence of NamedModel
    files : sequence of AlignedFile
    card : RunCard
        Takes times, counts and warnings.
    worst : int
        How many confusions a direction to tell.
    """
    threads = models[0].config.threads  # the same for all of them
    trials = [
        Trial(
            {"src": file.name, "tgt": file.tgt_name, "lines": len(file.src)},
            (file.src, file.tgt),
            partial(_measure, sides=(file.src, file.tgt), worst=worst, threads=threads),
        )
        for file in files
    ]
    records = run_trials(models, trials, card)
    confusions = [
        {"model": record["model"], "src": record["src"], **confusion}
        for record in records
        for confusion in record.pop("confusions")
    ]
    return Report(
        evaluation="xsim",
        keys={"src": "src", "lines": "lines"},
        metrics=METRICS,
        records=tuple(records),
        notes=(_NOTE,),
        details={"confusions": confusions},
        appendix=tuple(line for confusion in confusions for line in _shown(confusion)),
    )


def _measure(
    src: Floats, tgt: Floats, *, sides: tuple[list[str], list[str]], worst: int, threads: int
) -> dict[str, Any]:
    """Search both ways; the figures, and the worst confusions beside them."""
    search = AlignedSearch(src, tgt, threads=threads)
    confusions = [
        {"direction": arrow, **_told(confusion, sides[direction], sides[1 - direction])}
        for direction, arrow in enumerate("→←")
        for confusion in search.worst(direction, worst)
    ]
    return search.figures() | {"confusions": confusions}


def _told(confusion: Confusion, own: list[str], other: list[str]) -> dict[str, Any]:
    """A confusion with its sentences; what was found is null if nothing had a margin."""
    found = confusion.got >= 0
    return {
        "line": confusion.line + 1,
        "sentence": own[confusion.line],
        "expected": other[confusion.line],
        "expected_score": round(confusion.expected_score, 4),
        "got_line": confusion.got + 1 if found else None,
        "got": other[confusion.got] if found else None,
        "got_score": round(confusion.got_score, 4) if found else None,
    }


def _shown(confusion: dict[str, Any]) -> list[str]:
    """A confusion as lines of text under the table."""
    head = "{model}, {src} {direction} line {line}: {sentence}".format_map(confusion)
    expected = "    expected {expected_score:.4f} {expected}".format_map(confusion)
    if confusion["got"] is None:
        return [head, expected, "    got nothing: no margin is defined"]
    return [head, expected, "    got      {got_score:.4f} {got}".format_map(confusion)]
