"""Candidates -> pairs: retrieval, one-to-one, threshold, all in whole-array steps.

This is for lists in memory; `bitextmine.selection` does the same for lists on disk.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from bitextmine.arrays import Bools, Doubles, Floats, Ids
from bitextmine.config import SelectConfig
from bitextmine.margin import Margins, compute_margins
from bitextmine.search.neighbours import Neighbours

LOWEST = float(np.finfo(np.float64).min)
GREEDY_ROWS = 1 << 20  # pairs held as Python integers at a time
TAKEN = 2  # marks a sentence that is in a pair


@dataclass(frozen=True)
class Pairs:
    """Mined pairs, best first; parallel arrays.

    Attributes
    ----------
    src, tgt : ndarray of int64
        Sentence numbers.
    scores : ndarray of float64
        The margin, descending; equal scores are in order of src, then tgt.
    cosines : ndarray of float32
        Cosine of the two sentences.
    """

    src: Ids
    tgt: Ids
    scores: Doubles
    cosines: Floats

    def __len__(self) -> int:
        return len(self.src)

    def __getitem__(self, keep: Bools | slice) -> "Pairs":
        return Pairs(self.src[keep], self.tgt[keep], self.scores[keep], self.cosines[keep])

    def blocks(self, rows: int) -> Iterator["Pairs"]:
        """Yield at most so many pairs at a time, best first."""
        for start in range(0, len(self), rows):
            yield self[start : start + rows]


class PairBlocks(Protocol):
    """Pairs in memory or on disk, best first."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def blocks(self, rows: int) -> Iterator[Pairs]:
        """Yield at most so many at a time."""
        ...


@dataclass(frozen=True)
class Selection:
    """The pairs, and what became of every sentence and candidate.

    Attributes
    ----------
    pairs : Pairs
        What was selected.
    counts : dict
        For each side: paired, and unpaired by reason; they add up to its
        sentences. ``candidates`` and ``undefined_margins`` as computed.
    """

    pairs: Pairs
    counts: dict[str, dict[str, int] | int]


def select_pairs(
    fwd: Neighbours, bwd: Neighbours, config: SelectConfig, threshold: float
) -> Selection:
    """Choose the pairs among the neighbours of both sides.

    Parameters
    ----------
    fwd, bwd : Neighbours
        src to tgt and tgt to src; ids are row numbers of the other side.
    config : SelectConfig
        Margin, retrieval, and the number of pairs wanted at most.
    threshold : float
        Pairs that score less are dropped, whatever the retrieval; -inf keeps all.

    Returns
    -------
    Selection
        Retrievals, in LASER's words: each sentence votes for its candidate of
        best margin; "fwd" takes the src votes, "bwd" the tgt votes, "union" both,
        "intersect" those that are mutual, and "max" goes through both from the
        best score down and takes every pair whose two sentences are still free.
    """
    margins = compute_margins(fwd, bwd, config.margin)
    threshold = max(threshold, LOWEST)  # an undefined margin is below any threshold
    votes = _votes(fwd, bwd, margins)
    good = _retrieve(votes, config.retrieval, threshold)
    kept = good[: config.top] if config.top is not None else good
    best = (margins.fwd.max(axis=1), margins.bwd.max(axis=1))
    counts: dict[str, dict[str, int] | int] = {
        "candidates": margins.fwd.size + margins.bwd.size,
        "undefined_margins": margins.undefined,
        "src": _fates(best[0], kept.src, good.src, threshold),
        "tgt": _fates(best[1], kept.tgt, good.tgt, threshold),
    }
    return Selection(kept, counts)


@dataclass(frozen=True)
class _Votes:
    fwd: Pairs  # each src sentence with its best candidate
    bwd: Pairs  # each tgt sentence with its best candidate


@dataclass(frozen=True)
class Best:
    """The candidate that each of n sentences votes for.

    Attributes
    ----------
    ids : ndarray of int64
        Sentence numbers of the other side.
    scores : ndarray of float64
        The best margin of each sentence; -inf if none is defined.
    cosines : ndarray of float32
        Cosine of the sentence and its candidate.
    """

    ids: Ids
    scores: Doubles
    cosines: Floats

    def __getitem__(self, keep: Bools) -> "Best":
        return Best(self.ids[keep], self.scores[keep], self.cosines[keep])


def best_candidates(found: Neighbours, margins: Doubles) -> Best:
    """Take the candidate of best margin of every sentence; the nearer one if margins tie."""
    rows, best = np.arange(len(found)), margins.argmax(axis=1)
    return Best(found.ids[rows, best], margins[rows, best], found.cosines[rows, best])


def _votes(fwd: Neighbours, bwd: Neighbours, margins: Margins) -> _Votes:
    src, tgt = best_candidates(fwd, margins.fwd), best_candidates(bwd, margins.bwd)
    return _Votes(
        fwd=Pairs(np.arange(len(fwd)), src.ids, src.scores, src.cosines),
        bwd=Pairs(tgt.ids, np.arange(len(bwd)), tgt.scores, tgt.cosines),
    )


def _retrieve(votes: _Votes, retrieval: str, threshold: float) -> Pairs:
    """Combine the votes of both sides that reach the threshold; sorted, without repeats."""
    mutual = votes.bwd.src[votes.fwd.tgt] == votes.fwd.src
    fwd = votes.fwd[votes.fwd.scores >= threshold]
    bwd = votes.bwd[votes.bwd.scores >= threshold]
    if retrieval == "fwd":
        return _sorted(fwd)
    if retrieval == "bwd":
        return _sorted(bwd)
    if retrieval == "intersect":
        return _sorted(votes.fwd[mutual & (votes.fwd.scores >= threshold)])
    # A pair that both sides vote for has one score, and is counted as the src side's vote.
    repeats = votes.fwd.tgt[bwd.src] == bwd.tgt
    both = _sorted(_joined(fwd, bwd[~repeats]))
    return both if retrieval == "union" else both[best_one_to_one(both.src, both.tgt)]


def _joined(first: Pairs, second: Pairs) -> Pairs:
    return Pairs(
        np.concatenate([first.src, second.src]),
        np.concatenate([first.tgt, second.tgt]),
        np.concatenate([first.scores, second.scores]),
        np.concatenate([first.cosines, second.cosines]),
    )


def _sorted(pairs: Pairs) -> Pairs:
    order = np.lexsort((pairs.tgt, pairs.src, -pairs.scores))
    return Pairs(pairs.src[order], pairs.tgt[order], pairs.scores[order], pairs.cosines[order])


def best_one_to_one(src: Ids, tgt: Ids) -> Bools:
    """Mark what greedy one-to-one matching takes from pairs that are sorted best first.

    It goes down the list and takes each pair whose two sentences are still free.
    It is the one loop over pairs in the program: it is sequential by nature, is
    linear in any case, and takes 0.3 s per million pairs, no more than sorting them.

    Parameters
    ----------
    src, tgt : ndarray of int64
        Sentences of each pair, best pair first.

    Returns
    -------
    ndarray of bool
        The pairs taken.
    """
    src_marks, tgt_marks = bytearray(_size(src)), bytearray(_size(tgt))
    taken = np.zeros(len(src), dtype=bool)
    for start in range(0, len(src), GREEDY_ROWS):
        run = slice(start, start + GREEDY_ROWS)
        taken[run] = take_free(src[run], tgt[run], src_marks, tgt_marks)
    return taken


class Marks(Protocol):
    """A small number for every sentence of a side: a bytearray, or a file in memory's place."""

    def __getitem__(self, number: int, /) -> int:
        """Return the mark of a sentence."""
        ...

    def __setitem__(self, number: int, mark: int, /) -> None:
        """Mark a sentence."""
        ...


def take_free(src: Ids, tgt: Ids, src_marks: Marks, tgt_marks: Marks) -> Bools:
    """Go down some pairs, take each whose sentences are both marked less than `TAKEN`, and mark."""
    taken = np.zeros(len(src), dtype=bool)
    for row, (s, t) in enumerate(zip(src.tolist(), tgt.tolist(), strict=True)):
        if src_marks[s] < TAKEN and tgt_marks[t] < TAKEN:
            src_marks[s] = tgt_marks[t] = TAKEN
            taken[row] = True
    return taken


def _size(ids: Ids) -> int:
    return int(ids.max(initial=-1)) + 1


def _fates(best: Doubles, kept: Ids, good: Ids, threshold: float) -> dict[str, int]:
    """Count what became of the sentences of a side; the counts add up to all of them."""
    paired, reached = np.zeros(len(best), dtype=bool), np.zeros(len(best), dtype=bool)
    paired[kept] = True
    reached[good] = True
    below = ~reached & ~(best >= threshold)
    return {
        "paired": int(paired.sum()),
        "unpaired_beyond_top": int((reached & ~paired).sum()),
        "unpaired_below_threshold": int(below.sum()),
        "unpaired_partner_taken": int((~reached & ~below).sum()),
    }
