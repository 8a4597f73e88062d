"""From nominated candidates to proven neighbours: exact cosines, and a second search where needed.

`Ranking` collects what is proven for one side. `search_in_float64` needs no nomination at all,
and is what approximate search falls back on as well.
"""

import numpy as np
import torch

from bitextmine.arrays import Doubles, Floats, Ids, Stored
from bitextmine.search.exact.precision import EXACT, Precision
from bitextmine.search.exact.shortlists import (
    EMPTY,
    Keys,
    Shortlists,
    pack,
    positions,
    similarities,
)
from bitextmine.search.exact.side import SearchSide, as_cosines, pair_cosines
from bitextmine.search.neighbours import Neighbours

_BLOCK_ROWS = 1024  # and as many columns: in float64 such a block takes 8 MB


class Ranking:
    """The exact neighbours of one side, as they become known."""

    def __init__(self, own: SearchSide, other: SearchSide, k: int) -> None:
        self.own, self.other = own, other
        self.k = min(k, len(other))
        self._keys = np.full((len(own), self.k), EMPTY, np.int64)
        self._unproven: list[Ids] = []

    def rank(self, lists: Shortlists, precision: Precision) -> None:
        """Rank what was nominated for a block of rows, and note which rows that does not prove."""
        ranked = rank_exactly(lists, self.own, self.other, precision)
        self._keys[lists.start : lists.stop] = ranked
        self._unproven.append(lists.start + unproven(lists, ranked, precision))

    def complete(self) -> Keys:
        """Search again what is not proven, and return exact cosines and positions, packed."""
        rows = np.concatenate([np.empty(0, np.int64), *self._unproven])
        floor = similarities(self._keys[rows, -1])
        self._keys[rows] = search_in_float64(self.own, rows, floor, self.other, self.k)
        return self._keys


def unpack_neighbours(keys: Keys, own: SearchSide, other: SearchSide) -> Neighbours:
    """Unpack cosines and numbers, in the order in which the vectors were given."""
    if own.order is not None:
        by_position, keys = keys, np.empty_like(keys)
        keys[own.order] = by_position
    return Neighbours(similarities(keys), other.numbers[positions(keys)])


def rank_exactly(
    lists: Shortlists, own: SearchSide, other: SearchSide, precision: Precision
) -> Keys:
    """Rank the candidates of a block of rows by their exact cosines.

    Returns
    -------
    ndarray of int64, shape (n, k)
        Exact cosines and positions, packed.
    """
    approximate = similarities(lists.keys)
    kth = approximate[:, lists.k - 1]
    contenders = (approximate >= (kth - precision.slack(kth))[:, None]) & (lists.keys != EMPTY)
    rows, slots = np.nonzero(contenders)
    candidates = positions(lists.keys[rows, slots])
    ranked = np.full_like(lists.keys, EMPTY)
    ranked[rows, slots] = pack(pair_cosines(own, rows + lists.start, other, candidates), candidates)
    ranked.sort(axis=1)
    return ranked[:, : lists.k]


def unproven(lists: Shortlists, ranked: Keys, precision: Precision) -> Ids:
    """Find the rows where a sentence that was never nominated might belong.

    What was dropped had at most the threshold as similarity, so its cosine is at most the
    threshold plus the error. Where that reaches the k-th cosine, the row proves nothing.
    """
    limits = lists.thresholds.astype(np.float64) + precision.errors(lists.thresholds)
    kth = similarities(ranked[:, -1])
    return np.flatnonzero(~(kth > limits.astype(np.float32)))


def search_in_float64(own: SearchSide, rows: Ids, floor: Floats, other: SearchSide, k: int) -> Keys:
    """Find the k nearest of some positions from float64 blocks, exact as they are.

    Ties are what leads here, so equal vectors are searched once, and as candidates come in
    order of position, later ones never displace the equal ones that a list holds already.

    Parameters
    ----------
    floor : ndarray of float32, shape (len(rows),)
        A cosine that k neighbours are known to reach, -inf if unknown.

    Returns
    -------
    ndarray of int64, shape (len(rows), k)
        Exact cosines and positions, packed.
    """
    found = np.empty((len(rows), k), np.int64)
    for start in range(0, len(rows), _BLOCK_ROWS):
        block = rows[start : start + _BLOCK_ROWS]
        vectors = own.take(block)
        firsts, inverse = _distinct(vectors)
        lists = Shortlists(len(firsts), k=k, keep=k, precision=EXACT)
        # A candidate must exceed the threshold, and one equal to the floor may be needed.
        lists.thresholds[:] = np.nextafter(floor[start : start + _BLOCK_ROWS][firsts], -np.inf)
        _fill_exactly(lists, vectors[firsts], own.lengths[block[firsts]], other)
        found[start : start + _BLOCK_ROWS] = lists.keys[inverse]
    return found


def _fill_exactly(lists: Shortlists, vectors: Stored, lengths: Doubles, other: SearchSide) -> None:
    """Add all of the other side, in order of position."""
    doubles = torch.from_numpy(vectors).double()
    for start, stop in other.blocks(_BLOCK_ROWS):
        block = torch.from_numpy(other.rows(start, stop)).double()
        dots = torch.mm(doubles, block.t()).numpy()
        cosines = as_cosines(dots, lengths[:, None] * other.lengths[start:stop])
        if not start and lists.k <= stop:  # where no floor is known, the first block gives one
            kth = np.partition(cosines, stop - lists.k, axis=1)[:, stop - lists.k]
            lists.raise_thresholds(np.nextafter(kth, np.float32(-np.inf)))
        rows, columns = np.nonzero(cosines > lists.thresholds[:, None])
        lists.add(rows, columns + start, cosines[rows, columns])
        lists.sort()


def _distinct(vectors: Stored) -> tuple[Ids, Ids]:
    """First row of each distinct vector, and for every row which distinct vector it is."""
    rows = np.ascontiguousarray(vectors).view(
        np.dtype((np.void, vectors.shape[1] * vectors.itemsize))
    )
    _, firsts, inverse = np.unique(rows.ravel(), return_index=True, return_inverse=True)
    return firsts, inverse
