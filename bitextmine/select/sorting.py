"""Best first: more pairs than memory holds, as sorted runs on disk, merged block by block."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bitextmine.arrays import Ids
from bitextmine.files import Scratch
from bitextmine.select.pairs import PAIR, Pairs, StoredPairs

SORTING_BYTES_A_PAIR = 144  # A pair itself, its place in the order, its keys, a copy.
BLOCK_PAIRS = 1 << 17  # As many are given out at a time.

_Key = tuple[float, int, int]
_ENDS: tuple[Literal["left"], Literal["right"]] = ("left", "right")


def best_first(pairs: Pairs) -> Ids:
    """Return the rows in order of descending score, then of src, then of tgt.

    Sorting by score alone is several times faster than by three keys, and few scores tie.
    """
    descending = -pairs["score"]
    order = np.argsort(descending)
    descending = descending[order]
    tied = np.zeros(len(order), dtype=bool)
    tied[1:] = descending[1:] == descending[:-1]
    tied[:-1] |= tied[1:]
    places = np.flatnonzero(tied)
    if len(places):
        rows = order[places]
        order[places] = rows[np.lexsort((_tie_keys(pairs[rows]), descending[places]))]
    return order


def _tie_keys(pairs: Pairs) -> NDArray[np.uint64]:
    """Return one number a pair by which equal scores are put in order: src, then tgt."""
    keys: NDArray[np.uint64] = pairs["src"].astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= pairs["tgt"]
    return keys


class PairSorter:
    """Takes pairs in any order, and gives them back best first.

    Parameters
    ----------
    scratch : Scratch
        Where runs go that memory does not hold.
    memory : int
        Bytes to sort in, about.
    most : int
        Pairs that can come in all.
    """

    def __init__(self, scratch: Scratch, memory: int, most: int) -> None:
        self._rows = max(min(memory // SORTING_BYTES_A_PAIR, most), 1)  # of a run
        self._held = np.empty(self._rows, PAIR)
        self._n_held = 0
        self._runs = StoredPairs(scratch)
        self._bounds = [0]  # where runs start and stop

    def add(self, pairs: Pairs) -> None:
        """Take some pairs."""
        while len(pairs):
            if self._n_held == self._rows:
                self._write_run()
            taken = pairs[: self._rows - self._n_held]
            self._held[self._n_held : self._n_held + len(taken)] = taken
            self._n_held += len(taken)
            pairs = pairs[len(taken) :]

    def sorted(self) -> Iterator[Pairs]:
        """Yield all pairs in order, some at a time; only once, and nothing can be added then."""
        if len(self._bounds) == 1:  # all of them fit into memory
            return self._sorted_held()
        self._write_run()
        self._held = self._held[:0].copy()
        return self._merged()

    def _sorted_held(self) -> Iterator[Pairs]:
        held = self._held[: self._n_held]
        order = best_first(held)
        for start in range(0, len(order), BLOCK_PAIRS):
            yield held[order[start : start + BLOCK_PAIRS]]

    def _write_run(self) -> None:
        for pairs in self._sorted_held():
            self._runs.append(pairs)
        self._bounds.append(len(self._runs))
        self._n_held = 0

    def _merged(self) -> Iterator[Pairs]:
        """Merge all runs at once.

        What is not behind the last pair in hand of any run that goes on, nothing that is
        still on disk can come before: so it is sorted and given out.
        """
        rows = max(self._rows // (len(self._bounds) - 1), 1)
        runs = [_Run(self._runs, start, stop, rows) for start, stop in pairwise(self._bounds)]
        while runs:
            bound = min((run.last for run in runs if run.goes_on), default=None)
            pairs = np.concatenate([run.take_through(bound) for run in runs])
            order = best_first(pairs)
            for start in range(0, len(order), BLOCK_PAIRS):
                yield pairs[order[start : start + BLOCK_PAIRS]]
            runs = [run for run in runs if run.fill()]


class _Run:
    """A sorted run on disk, of which some pairs are in hand."""

    def __init__(self, stored: StoredPairs, start: int, stop: int, rows: int) -> None:
        self._stored, self._next, self._stop, self._rows = stored, start, stop, rows
        self._held = np.empty(0, PAIR)
        self.fill()

    @property
    def goes_on(self) -> bool:
        """Whether there is more of it on disk."""
        return self._next < self._stop

    @property
    def last(self) -> _Key:
        """The last pair in hand, as what orders it."""
        return _key(self._held[-1])

    def fill(self) -> bool:
        """Read on when little is left in hand; return whether there is anything."""
        if self.goes_on and len(self._held) <= self._rows // 2:
            stop = min(self._next + self._rows - len(self._held), self._stop)
            self._held = np.concatenate([self._held, self._stored.read(self._next, stop)])
            self._next = stop
        return len(self._held) > 0

    def take_through(self, bound: _Key | None) -> Pairs:
        """Give away what is not behind the bound; everything if there is none."""
        cut = len(self._held) if bound is None else self._count_through(bound)
        taken, self._held = self._held[:cut], self._held[cut:]
        return taken

    def _count_through(self, bound: _Key) -> int:
        if _key(self._held[0]) > bound:
            return 0
        descending = -self._held["score"]
        start, stop = (int(np.searchsorted(descending, bound[0], end)) for end in _ENDS)
        keys = _tie_keys(self._held[start:stop])
        return start + int(np.searchsorted(keys, np.uint64(bound[1] << 32 | bound[2]), "right"))


def _key(pair: np.void) -> _Key:
    return -float(pair["score"]), int(pair["src"]), int(pair["tgt"])
