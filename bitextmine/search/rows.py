"""Stored vectors of several shards, addressed as one array and read by blocks."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitextmine.search.neighbours import Ids

# float16 unit vectors, or int8 vectors of any length: a cosine does not depend on it.
Stored = NDArray[np.number[Any]]
STORED = (np.dtype(np.float16), np.dtype(np.int8))


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

    def run(self, start: int, stop: int) -> Stored:
        """Copy the rows from start to stop."""
        first, last = self._parts_of(start), self._parts_of(max(start, stop - 1))
        pieces = [
            self._parts[p][max(start - self._starts[p], 0) : stop - self._starts[p]]
            for p in range(first, last + 1)
        ]
        return np.concatenate(pieces) if len(pieces) > 1 else np.array(pieces[0])

    def take(self, rows: Ids) -> Stored:
        """Copy some rows, in the order asked for."""
        if len(self._parts) == 1:
            return np.take(self._parts[0], rows, axis=0)
        taken = np.empty((len(rows), self.shape[1]), self.dtype)
        owners = np.searchsorted(self._starts, rows, side="right") - 1
        for part in np.unique(owners).tolist():
            asked = np.flatnonzero(owners == part)
            taken[asked] = np.take(self._parts[part], rows[asked] - self._starts[part], axis=0)
        return taken

    def _parts_of(self, row: int) -> int:
        """Which part a row lies in; the last one for a row beyond the end."""
        found = int(np.searchsorted(self._starts, row, side="right")) - 1
        return min(found, len(self._parts) - 1)
