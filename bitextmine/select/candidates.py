"""Every sentence votes for its best candidate, and a retrieval keeps some of the votes as pairs.

The candidates of a sentence are its k nearest neighbours; the best is the one of highest margin,
which need not be the nearest. A vote is *mutual* if the other sentence votes for it in turn.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitextmine.arrays import Doubles, Ids
from bitextmine.config import Margin, Retrieval
from bitextmine.files import Scratch
from bitextmine.search.neighbours import NeighbourLists, Neighbours
from bitextmine.select.margin import (
    count_undefined,
    neighbourhood_means,
    score_candidates,
)
from bitextmine.select.outcomes import Outcomes
from bitextmine.select.pairs import Pairs, make_pairs
from bitextmine.workdir import Direction

BLOCK_CANDIDATES = 1 << 18  # As many are scored at a time, where memory allows: they fit a cache.
SCORING_BYTES_A_CANDIDATE = 64

Kept = Literal["none", "all", "mutual", "one-sided"]

# For each retrieval: which direction votes first, which second, and the votes kept of each. The
# second knows all votes of the first, so it can tell mutual ones. Both directions always vote,
# since what becomes of a sentence depends on its best candidate. A mutual vote makes one pair, with
# the score of the src sentence's vote, unless only those of tgt sentences are wanted.
PLANS: dict[Retrieval, tuple[tuple[Direction, Kept], tuple[Direction, Kept]]] = {
    "fwd":       (("bwd", "none"), ("fwd", "all")),
    "bwd":       (("fwd", "none"), ("bwd", "all")),
    "intersect": (("bwd", "none"), ("fwd", "mutual")),
    "union":     (("fwd", "all"),  ("bwd", "one-sided")),
    "max":       (("fwd", "all"),  ("bwd", "one-sided")),  # of which one-to-one matching takes some
}  # fmt: skip


def best_pairs(direction: Direction, numbers: Ids, found: Neighbours, margins: Doubles) -> Pairs:
    """Pair sentences with their candidates of best margin; the nearer one if margins tie.

    Parameters
    ----------
    direction : str
        "fwd" if these are src sentences, "bwd" if they are tgt sentences.
    numbers : ndarray of int64, shape (n,)
        Of the sentences.
    found : Neighbours
        Their candidates.
    margins : ndarray of float64, shape (n, k)
        Of the candidates.

    Returns
    -------
    Pairs
        One for each sentence, in the order given; its score is -inf if no margin is defined.
    """
    rows, best = np.arange(len(found)), margins.argmax(axis=1)
    votes = found.numbers[rows, best]
    src, tgt = (numbers, votes) if direction == "fwd" else (votes, numbers)
    return make_pairs(src, tgt, margins[rows, best], found.cosines[rows, best])


@dataclass(frozen=True)
class CandidateSide:
    """The sentences of one side with their candidates.

    Attributes
    ----------
    neighbours : NeighbourLists
        The candidates.
    rows : int
        Sentences looked at together.
    means : ndarray of float64
        Of the neighbours of each sentence, by number.
    votes : ndarray of uint32
        The sentence of the other side that each votes for, by number.
    outcomes : Outcomes
        What becomes of each.
    """

    neighbours: NeighbourLists
    rows: int
    means: Doubles
    votes: NDArray[np.uint32]
    outcomes: Outcomes

    @classmethod
    def of(cls, neighbours: NeighbourLists, scratch: Scratch, memory: int) -> "CandidateSide":
        """Make room for the sentences of some lists, and take their means."""
        n, k = len(neighbours), neighbours.k
        rows = max(min(BLOCK_CANDIDATES, memory // SCORING_BYTES_A_CANDIDATE) // k, 1)
        means: NDArray[Any] = scratch.array(n, np.float64)
        for numbers, found in neighbours.blocks(rows):
            means[numbers] = neighbourhood_means(found)
        votes: NDArray[Any] = scratch.array(n, np.uint32)
        return cls(neighbours, rows, means, votes, Outcomes(scratch, n))


@dataclass
class Candidates:
    """The candidates of all sentences of both sides.

    Attributes
    ----------
    src, tgt : CandidateSide
        The sides.
    margin : str
        What makes a candidate the best.
    threshold : float
        Least score of a vote that may be kept.
    undefined : int
        Candidates of undefined margin met so far.
    """

    src: CandidateSide
    tgt: CandidateSide
    margin: Margin
    threshold: float
    undefined: int = 0

    def vote(self, retrieval: Retrieval) -> Iterator[Pairs]:
        """Let all sentences vote, and yield the votes that are kept, in any order."""
        for direction, kept in PLANS[retrieval]:
            yield from self._vote(direction, kept)

    def _vote(self, direction: Direction, kept: Kept) -> Iterator[Pairs]:
        """Let the sentences of one side vote, some at a time."""
        fwd = direction == "fwd"
        own, other = (self.src, self.tgt) if fwd else (self.tgt, self.src)
        for numbers, found in own.neighbours.blocks(own.rows):
            margins = score_candidates(found, own.means[numbers], other.means, self.margin)
            self.undefined += count_undefined(margins)
            pairs = best_pairs(direction, numbers, found, margins)
            votes = pairs["tgt" if fwd else "src"]
            own.votes[numbers] = votes
            good = pairs["score"] >= self.threshold
            own.outcomes.reach_threshold(numbers[good])
            if kept in ("mutual", "one-sided"):
                good &= (other.votes[votes] == numbers) == (kept == "mutual")
            if kept != "none":
                yield pairs[good]
