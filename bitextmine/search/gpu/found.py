"""What a search on a device has found so far: enough to go on after a failure."""

from dataclasses import dataclass

import numpy as np

from bitextmine.search.exact.shortlists import EMPTY, Keys, pack, positions
from bitextmine.search.exact.side import SearchSide

_LISTS_AT_A_TIME = 1 << 16  # which bounds the memory of a look through all of them


@dataclass
class Found:
    """Lists of both sides, by position.

    Attributes
    ----------
    k : int
        Neighbours of each, where there are as many.
    of_resident, of_streamed : ndarray of int64, shapes (n, min(k, m)) and (m, min(k, n))
        Exact cosines and positions, packed, best first, then `EMPTY`.
    n_done : int
        Resident rows that have met all of the other side: the first ones.
    """

    k: int
    of_resident: Keys
    of_streamed: Keys
    n_done: int = 0

    @classmethod
    def empty(cls, resident: SearchSide, streamed: SearchSide, k: int) -> "Found":
        """Make empty lists."""
        n, m = len(resident), len(streamed)
        of_resident, of_streamed = (
            np.full(shape, EMPTY, np.int64) for shape in ((n, min(k, m)), (m, min(k, n)))
        )
        return cls(k, of_resident, of_streamed)

    def forget_unfinished(self) -> None:
        """Drop the resident rows that have not met everything, since they will start over.

        What they had displaced is among the k nearest of nobody: they displace it again.
        """
        for start in range(0, len(self.of_streamed), _LISTS_AT_A_TIME):
            keys = self.of_streamed[start : start + _LISTS_AT_A_TIME]
            keys[positions(keys) >= self.n_done] = EMPTY
            keys.sort(axis=1)

    def complete(self, resident: SearchSide, streamed: SearchSide) -> None:
        """Fill in the lists of zero vectors: all their cosines are 0, so the first are nearest."""
        for keys, side in ((self.of_resident, resident), (self.of_streamed, streamed)):
            first = np.arange(keys.shape[1])
            keys[np.isinf(side.lengths)] = pack(np.zeros(len(first), np.float32), first)
            assert not np.any(keys == EMPTY), "a list that is not full has lost a neighbour"
