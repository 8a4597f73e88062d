"""Selection over lists in memory: the oracle of `choose`."""

from dataclasses import dataclass

import numpy as np

from bitextmine.arrays import Bools, Doubles, Ids
from bitextmine.config import SelectConfig
from bitextmine.search.neighbours import Neighbours
from bitextmine.select.candidates import LOWEST, best_candidates
from bitextmine.select.margin import Margins, compute_margins
from bitextmine.select.outcomes import take_free
from bitextmine.select.pairs import Pairs

GREEDY_ROWS = 1 << 20  # pairs held as Python integers at a time


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
