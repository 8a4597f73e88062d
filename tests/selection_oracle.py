"""What a selection must hold: the same pairs and counts as `choose_pairs`, with all in memory."""

from typing import NamedTuple

import numpy as np

from bitextmine.arrays import Bools, Doubles, Ids
from bitextmine.config import Margin, SelectConfig
from bitextmine.search.neighbours import Neighbours
from bitextmine.select.margin import count_undefined, neighbourhood_means, score_candidates
from bitextmine.select.pairs import Pairs, make_pairs

LOWEST = float(np.finfo(np.float64).min)


class Selected(NamedTuple):
    """Pairs, best first; and for each side: paired, and unpaired by reason."""

    pairs: Pairs
    counts: dict[str, dict[str, int] | int]


def select_pairs(
    fwd: Neighbours, bwd: Neighbours, config: SelectConfig, threshold: float
) -> Selected:
    """Choose the pairs among the neighbours of both sides.

    Retrievals, in LASER's words: each sentence votes for its candidate of best margin; "fwd"
    takes the src votes, "bwd" the tgt votes, "union" both, "intersect" those that are mutual, and
    "max" goes through both from the best score down and takes every pair whose two sentences are
    still free. Pairs that score less than the threshold are dropped, whatever the retrieval.
    """
    margins = compute_margins(fwd, bwd, config.margin)
    threshold = max(threshold, LOWEST)  # an undefined margin is below any threshold
    good = _retrieve(_votes(fwd, bwd, margins), config.retrieval, threshold)
    kept = good[: config.top] if config.top is not None else good
    best = {"src": margins.fwd.max(axis=1), "tgt": margins.bwd.max(axis=1)}
    counts: dict[str, dict[str, int] | int] = {
        "candidates": margins.fwd.size + margins.bwd.size,
        "undefined_margins": margins.undefined,
    }
    for side, scores in best.items():
        counts[side] = _outcomes(scores, kept[side], good[side], threshold)
    return Selected(kept, counts)


class Margins(NamedTuple):
    """The margin of every candidate, shapes (n_src, k) and (n_tgt, k); how many have none."""

    fwd: Doubles
    bwd: Doubles
    undefined: int


def compute_margins(fwd: Neighbours, bwd: Neighbours, margin: Margin) -> Margins:
    """Score all candidates of both directions at once."""
    fwd_means, bwd_means = neighbourhood_means(fwd), neighbourhood_means(bwd)
    fwd_scores = score_candidates(fwd, fwd_means, bwd_means, margin)
    bwd_scores = score_candidates(bwd, bwd_means, fwd_means, margin)
    undefined = count_undefined(fwd_scores) + count_undefined(bwd_scores)
    return Margins(fwd_scores, bwd_scores, undefined)


class _Votes(NamedTuple):
    fwd: Pairs  # each src sentence with its best candidate
    bwd: Pairs  # each tgt sentence with its best candidate


def _votes(fwd: Neighbours, bwd: Neighbours, margins: Margins) -> _Votes:
    src, tgt = np.arange(len(fwd)), np.arange(len(bwd))
    fwd_best, bwd_best = margins.fwd.argmax(axis=1), margins.bwd.argmax(axis=1)
    return _Votes(
        fwd=make_pairs(
            src,
            fwd.numbers[src, fwd_best],
            margins.fwd[src, fwd_best],
            fwd.cosines[src, fwd_best],
        ),
        bwd=make_pairs(
            bwd.numbers[tgt, bwd_best],
            tgt,
            margins.bwd[tgt, bwd_best],
            bwd.cosines[tgt, bwd_best],
        ),
    )


def _retrieve(votes: _Votes, retrieval: str, threshold: float) -> Pairs:
    """Combine the votes of both sides that reach the threshold; sorted, without repeats."""
    mutual = votes.bwd["src"][votes.fwd["tgt"]] == votes.fwd["src"]
    fwd = votes.fwd[votes.fwd["score"] >= threshold]
    bwd = votes.bwd[votes.bwd["score"] >= threshold]
    if retrieval == "fwd":
        return _sorted(fwd)
    if retrieval == "bwd":
        return _sorted(bwd)
    if retrieval == "intersect":
        return _sorted(votes.fwd[mutual & (votes.fwd["score"] >= threshold)])
    # A pair that both sides vote for is counted as the src side's vote.
    repeats = votes.fwd["tgt"][bwd["src"]] == bwd["tgt"]
    both = _sorted(np.concatenate([fwd, bwd[~repeats]]))
    return both if retrieval == "union" else both[best_one_to_one(both["src"], both["tgt"])]


def _sorted(pairs: Pairs) -> Pairs:
    return pairs[np.lexsort((pairs["tgt"], pairs["src"], -pairs["score"]))]


def best_one_to_one(src: Ids, tgt: Ids) -> Bools:
    """Go down pairs that are sorted best first; mark each whose two sentences are still free."""
    src_taken, tgt_taken, marks = set[int](), set[int](), []
    for s, t in zip(src.tolist(), tgt.tolist(), strict=True):
        free = s not in src_taken and t not in tgt_taken
        marks.append(free)
        if free:
            src_taken.add(s)
            tgt_taken.add(t)
    return np.array(marks, dtype=bool)


def _outcomes(best: Doubles, kept: Ids, good: Ids, threshold: float) -> dict[str, int]:
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
