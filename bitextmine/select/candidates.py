"""The votes of all sentences of a side, from neighbour lists on disk."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bitextmine.arrays import Bools, Doubles, Floats, Ids
from bitextmine.config import Margin, Retrieval
from bitextmine.files import Scratch
from bitextmine.search.neighbours import Neighbours, StoredNeighbours
from bitextmine.select.margin import (
    count_undefined,
    neighbourhood_means,
    score_candidates,
)
from bitextmine.select.outcomes import Fates
from bitextmine.select.pairs import Records, make_records
from bitextmine.workdir import Direction

LOWEST = float(np.finfo(np.float64).min)


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
    return Best(found.numbers[rows, best], margins[rows, best], found.cosines[rows, best])


Wanted = Literal["none", "all", "mutual", "single"]

BLOCK_ENTRIES = 1 << 18  # candidates scored at a time, where memory allows: they fit a cache

ENTRY_BYTES = 64  # that scoring takes for a candidate


@dataclass(frozen=True)
class Electorate:
    """One side's sentences on their way to a vote.

    Attributes
    ----------
    lists : StoredNeighbours
        Their neighbours.
    rows : int
        Sentences looked at together.
    means : ndarray of float64
        Of the neighbours of each sentence, by number.
    votes : ndarray of uint32
        The sentence of the other side that each votes for, by number.
    fates : Fates
        What becomes of each.
    """

    lists: StoredNeighbours
    rows: int
    means: Doubles
    votes: NDArray[np.uint32]
    fates: Fates

    @classmethod
    def of(cls, lists: StoredNeighbours, scratch: Scratch, memory: int) -> "Electorate":
        """Make room for the sentences of some lists, and take their means."""
        n, k = len(lists), lists.k
        rows = max(min(BLOCK_ENTRIES, memory // ENTRY_BYTES) // k, 1)
        means: NDArray[Any] = scratch.array(n, np.float64)
        for numbers, found in lists.blocks(rows):
            means[numbers] = neighbourhood_means(found)
        votes: NDArray[Any] = scratch.array(n, np.uint32)
        return cls(lists, rows, means, votes, Fates(scratch, n))


# Who votes first, which of their votes are candidates for pairs, and which of the others'.
# A pair that both sides vote for is one candidate: the src side's vote, but for "bwd".
PLANS: dict[Retrieval, tuple[Direction, Wanted, Wanted]] = {
    "fwd": ("bwd", "none", "all"),
    "bwd": ("fwd", "none", "all"),
    "intersect": ("bwd", "none", "mutual"),
    "union": ("fwd", "all", "single"),
    "max": ("fwd", "all", "single"),
}


@dataclass
class Election:
    """All votes of both sides.

    Attributes
    ----------
    src, tgt : Electorate
        The sides.
    margin : str
        What makes a candidate the best.
    threshold : float
        Of the scores of candidates for pairs.
    undefined : int
        Candidates of undefined margin met so far.
    """

    src: Electorate
    tgt: Electorate
    margin: Margin
    threshold: float
    undefined: int = 0

    def candidates(self, retrieval: Retrieval) -> Iterator[Records]:
        """Let all sentences vote, and yield the candidates for pairs, in any order."""
        first, of_first, of_second = PLANS[retrieval]
        yield from self._direction(first, of_first)
        yield from self._direction("bwd" if first == "fwd" else "fwd", of_second)

    def _direction(self, direction: Direction, wanted: Wanted) -> Iterator[Records]:
        """Let one side vote: its best candidates, and the one that is nearer if margins tie."""
        own, other = (self.src, self.tgt) if direction == "fwd" else (self.tgt, self.src)
        for numbers, found in own.lists.blocks(own.rows):
            margins = score_candidates(found, own.means[numbers], other.means, self.margin)
            self.undefined += count_undefined(margins)
            best = best_candidates(found, margins)
            own.votes[numbers] = best.ids
            good = best.scores >= self.threshold
            own.fates.reach_threshold(numbers[good])
            if wanted in ("mutual", "single"):
                good &= (other.votes[best.ids] == numbers) == (wanted == "mutual")
            if wanted != "none":
                yield _records(direction, numbers[good], best[good])


def _records(direction: Direction, numbers: Ids, best: Best) -> Records:
    src, tgt = (numbers, best.ids) if direction == "fwd" else (best.ids, numbers)
    return make_records(src, tgt, best.scores, best.cosines)
