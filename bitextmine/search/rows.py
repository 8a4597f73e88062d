"""Stored vectors of several shards, addressed as one array and read by blocks."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from bitextmine.arrays import STORED, Ids, Stored


class Rows:
    """Vectors of several arrays end to end, each perhaps memory-mapped.

    Parameters
    ----------
    parts : sequence of ndarray, shapes (n_i, d), float16 or int8
        At least one; all of one width and one dtype.

    Raises
    ------
    ValueError
        Their shapes or dtypes do not go together.
    """

    def __init__(self, parts: Sequence[Stored]) -> None:
        kinds = {(part.dtype, part.shape[1:]) for part in parts}
        if len(kinds) != 1 or parts[0].ndim != 2 or parts[0].dtype not in STORED:
            raise ValueError(f"vectors of {sorted(map(str, kinds))} cannot be searched together")
        self._parts = list(parts)
        self._starts = np.cumsum([0, *map(len, parts)])
        self.shape: tuple[int, int] = (int(self._starts[-1]), parts[0].shape[1])
        self.dtype: np.dtype[np.number[Any]] = parts[0].dtype

    def __len__(self) -> int:
        return self.shape[0]

    def run(self, start: int, stop: int, out: Stored | None = None) -> Stored:
        """Copy the rows from start to stop; into `out`, if given, and nowhere in between."""
        out = self._room(stop - start) if out is None else out
        first, last = self._parts_of(start), self._parts_of(max(start, stop - 1))
        pieces = [
            self._parts[p][max(start - self._starts[p], 0) : stop - self._starts[p]]
            for p in range(first, last + 1)
        ]
        return np.concatenate(pieces, out=out)

    def take(self, rows: Ids, out: Stored | None = None) -> Stored:
        """Copy some rows, in the order asked for; likewise into `out`."""
        out = self._room(len(rows)) if out is None else out
        if len(self._parts) == 1:
            # Other modes than "clip" take a copy first; all rows are within bounds.
            return np.take(self._parts[0], rows, axis=0, out=out, mode="clip")
        owners = np.searchsorted(self._starts, rows, side="right") - 1
        for part in np.unique(owners).tolist():
            asked = np.flatnonzero(owners == part)
            out[asked] = np.take(self._parts[part], rows[asked] - self._starts[part], axis=0)
        return out

    def _room(self, n: int) -> Stored:
        return np.empty((n, self.shape[1]), self.dtype)

    def _parts_of(self, row: int) -> int:
        """Which part a row lies in; the last one for a row beyond the end."""
        found = int(np.searchsorted(self._starts, row, side="right")) - 1
        return min(found, len(self._parts) - 1)
