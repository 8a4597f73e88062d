"""The best few candidates of every sentence, kept as one sortable integer each.

A key packs a similarity and a position. `gpu.device_lists` packs the same bits with torch, so
that keys can be taken from a device as they are.
"""

from threading import RLock

import numpy as np
from numpy.typing import NDArray

from bitextmine.arrays import Floats, Ids
from bitextmine.search.exact.precision import Precision

Keys = NDArray[np.int64]  # (similarity, position) packed so that the smallest key is the best

# A row collects so many candidates between two sorts; where it gets more, that costs a sort.
PENDING_CANDIDATES = 32
# Lists are sorted again when their rows have been compared with so many times more others, which
# makes few sorts and leaves few stale thresholds.
SORT_GROWTH = 1.5
_LOW_WORD = 0xFFFFFFFF


def pack(values: Floats, positions: Ids) -> Keys:
    """Pack similarities and positions so that ascending keys go from best to worst.

    The high word holds the similarity, reversed; the low word holds the position, so that
    equal similarities come in ascending order of position.
    """
    bits = values.view(np.int32)
    ordered = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # integers in the order of the floats
    packed: Keys = (np.int64(-1) - ordered) << 32 | positions
    return packed


def similarities(keys: Keys) -> Floats:
    """Unpack the similarities; an empty slot gives -inf."""
    ordered = (np.int64(-1) - (keys >> 32)).astype(np.int32)
    bits: NDArray[np.int32] = ordered ^ ((ordered >> 31) & 0x7FFFFFFF)
    return bits.view(np.float32)


def positions(keys: Keys) -> Ids:
    """Unpack the positions."""
    unpacked: Ids = keys & _LOW_WORD
    return unpacked


EMPTY = int(pack(np.array([-np.inf], np.float32), np.array([_LOW_WORD], np.int64))[0])


class Shortlists:
    """The candidates of a block of rows, and below what similarity a candidate is dropped.

    Several threads may add candidates. Thresholds only rise, so reading an old one is safe.

    Attributes
    ----------
    start : int
        Position of the first row.
    keys : ndarray of int64, shape (n, keep)
        Packed candidates, best first, `EMPTY` where there are fewer; true after `sort`.
    thresholds : ndarray of float32, shape (n,)
        Whatever was not nominated or no longer fits had at most this similarity.
    """

    def __init__(self, n: int, *, k: int, keep: int, precision: Precision, start: int = 0) -> None:
        self.k = k
        self.start = start
        self.lock = RLock()
        self.keys = np.full((n, keep), EMPTY, np.int64)
        self.thresholds = np.full(n, precision.lowest, np.float32)
        self.n_compared = 0
        self._n_sorted = 0
        self._precision = precision
        self._pending: Keys | None = None
        self._n_pending = np.zeros(n, np.int64)

    def __len__(self) -> int:
        return len(self.keys)

    @property
    def stop(self) -> int:
        """Position after the last row."""
        return self.start + len(self.keys)

    def raise_thresholds(self, kth: Floats) -> None:
        """Note that every row has k candidates at least as similar as this."""
        # Below kth - slack not even the error of both similarities can hide a neighbour.
        raised = kth - self._precision.slack(kth)
        with self.lock:
            np.maximum(self.thresholds, raised, out=self.thresholds)

    def add(self, rows: Ids, candidates: Ids, values: Floats) -> None:
        """Collect candidates; rows ascend, and come with values above their thresholds."""
        keys = pack(values, candidates)
        with self.lock:
            while len(rows):
                fits = self._append(rows, keys)
                if fits.all():
                    return
                self.sort()
                waiting = ~fits & (values > self.thresholds[rows])
                rows, keys, values = rows[waiting], keys[waiting], values[waiting]

    def _append(self, rows: Ids, keys: Keys) -> NDArray[np.bool_]:
        """Store what there is room for, and tell which keys found room."""
        if self._pending is None:
            self._pending = np.full((len(self.keys), PENDING_CANDIDATES), EMPTY, np.int64)
        slots = self._n_pending[rows] + _occurrence(rows)
        fits = slots < PENDING_CANDIDATES
        self._pending[rows[fits], slots[fits]] = keys[fits]
        self._n_pending += np.bincount(rows[fits], minlength=len(self.keys))
        return fits

    def count_compared(self, n_others: int, *, until: int) -> None:
        """Count the others compared with: sort from time to time, and finish after the last."""
        with self.lock:
            self.n_compared += n_others
            if self.n_compared == until:
                self.finish()
            elif self.n_compared >= SORT_GROWTH * self._n_sorted:
                self.sort()
                self._n_sorted = self.n_compared

    def sort(self) -> None:
        """Merge pending candidates into the lists, which raises the thresholds."""
        rows = np.flatnonzero(self._n_pending)
        if self._pending is None or not len(rows):
            return
        keep = self.keys.shape[1]
        width = int(self._n_pending.max())
        merged = np.concatenate([self.keys[rows], self._pending[rows, :width]], axis=1)
        merged.sort(axis=1)
        self.keys[rows] = merged[:, :keep]
        self._pending[rows, :width] = EMPTY
        self._n_pending[rows] = 0
        kth, last = similarities(merged[:, self.k - 1]), similarities(merged[:, keep - 1])
        raised = np.maximum(kth - self._precision.slack(kth), last)
        self.thresholds[rows] = np.maximum(self.thresholds[rows], raised)

    def finish(self) -> None:
        """Sort, and free the memory of what was pending."""
        self.sort()
        self._pending = None


def _occurrence(rows: Ids) -> Ids:
    """How many equal values precede each one, for ascending values."""
    starts = np.flatnonzero(np.diff(rows, prepend=-1))
    lengths = np.diff(starts, append=len(rows))
    occurrence: Ids = np.arange(len(rows)) - np.repeat(starts, lengths)
    return occurrence
