"""A block of similarities, searched along its rows and along its columns without a transpose."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from bitextmine.arrays import Floats, Ids
from bitextmine.search.exact.shortlists import Shortlists

# Maxima over 16 similarities cost 1 % of the product that made them, and a survivor costs
# 16 reads. Narrower tiles make more maxima, wider tiles more reads.
TILE_LENGTH = 16


@dataclass(frozen=True)
class _Axis:
    """Where a tile of an owner (a row or a column) lies in the flat block.

    Members of tile t of owner o are at o*owner + t*tile + m*member, for m < TILE_LENGTH, and
    concern the candidates t*tile_rank + m*member_rank.
    """

    owner: int
    tile: int
    member: int
    tile_rank: int
    member_rank: int


class ScoreBlock:
    """One reused buffer of similarities, n_rows by n_columns (multiples of `TILE_LENGTH`).

    Along the rows a tile is every n-th column, along the columns 16 rows in succession:
    either way the maxima reduce whole vectors of adjacent numbers, at memory speed.
    """

    def __init__(self, n_rows: int, n_columns: int, dtype: torch.dtype) -> None:
        self._scores = torch.full((n_rows, n_columns), -torch.inf, dtype=dtype)
        # As integers, positive bfloat16 numbers keep their order and compare 10 times as fast.
        # Negative ones stay negative, so they never pass a threshold of zero or more.
        self._half = dtype == torch.bfloat16
        self._sortable = self._scores.view(torch.int16) if self._half else self._scores
        n_tiles = n_columns // TILE_LENGTH
        self._by_row = self._sortable.new_empty(n_rows, n_tiles)
        self._by_column = self._sortable.new_empty(n_rows // TILE_LENGTH, n_columns)
        self._along_rows = _Axis(n_columns, 1, n_tiles, 1, n_tiles)
        self._along_columns = _Axis(1, TILE_LENGTH * n_columns, n_columns, TILE_LENGTH, 1)

    def multiply(self, src: torch.Tensor, tgt: torch.Tensor) -> None:
        """Fill the block with src @ tgt.T, and the rest of an edge block with -inf."""
        if (len(src), len(tgt)) == self._scores.shape:
            torch.mm(src, tgt.t(), out=self._scores)
        else:
            self._scores.fill_(-torch.inf)
            self._scores[: len(src), : len(tgt)] = torch.mm(src, tgt.t())

    def nominate(self, src: Shortlists, tgt: Shortlists) -> None:
        """Add every similarity above the thresholds to the lists of its row and column."""
        n_rows, n_columns = self._scores.shape
        by_row, by_column = self._by_row, self._by_column
        torch.amax(self._sortable.view(n_rows, TILE_LENGTH, -1), 1, out=by_row)
        torch.amax(self._sortable.view(-1, TILE_LENGTH, n_columns), 1, out=by_column)
        if not src.n_compared:
            self._start(src, by_row.numpy())
        if not tgt.n_compared:
            self._start(tgt, by_column.numpy().T)
        limits = self._limits(src.thresholds, n_rows)
        rows, tiles = _split(_true(by_row > limits[:, None]), by_row.shape[1])
        self._nominate_along(src, rows, tiles, self._along_rows, tgt.start)
        limits = self._limits(tgt.thresholds, n_columns)
        tiles, columns = _split(_true(by_column > limits), n_columns)
        ascending = np.argsort(columns.astype(np.uint16), kind="stable")
        self._nominate_along(
            tgt, columns[ascending], tiles[ascending], self._along_columns, src.start
        )

    def _start(self, lists: Shortlists, maxima: NDArray[np.generic]) -> None:
        """Find first thresholds: the k-th largest maximum bounds the k-th similarity."""
        n, n_tiles = len(lists.thresholds), maxima.shape[1]
        if lists.k <= n_tiles:
            largest = np.partition(maxima[:n], n_tiles - lists.k, axis=1)
            lists.raise_thresholds(self._as_floats(largest[:, n_tiles - lists.k]))

    def _limits(self, thresholds: Floats, n: int) -> torch.Tensor:
        """Thresholds as the block compares them; rows beyond the edge get one they never pass."""
        padded = np.full(n, np.inf, np.float32)
        padded[: len(thresholds)] = thresholds
        limits = (padded.view(np.int32) >> 16).astype(np.int16) if self._half else padded
        return torch.from_numpy(limits)

    def _nominate_along(
        self, lists: Shortlists, owners: Ids, tiles: Ids, axis: _Axis, start: int
    ) -> None:
        """Read the tiles that may hold a candidate, and add those that do."""
        members = np.arange(TILE_LENGTH)
        firsts = owners * axis.owner + tiles * axis.tile
        values = self._read(firsts[:, None] + members * axis.member)
        passing = np.flatnonzero(values > lists.thresholds[owners][:, None])
        found, member = _split(passing, TILE_LENGTH)
        candidates = start + tiles[found] * axis.tile_rank + member * axis.member_rank
        lists.add(owners[found], candidates, values.ravel()[passing])

    def _read(self, offsets: Ids) -> Floats:
        """Gather from the flat block; numpy is faster at it than torch."""
        return self._as_floats(np.take(self._sortable.view(-1).numpy(), offsets))

    def _as_floats(self, sortable: NDArray[np.generic]) -> Floats:
        """Read numbers taken from the block as float32."""
        if self._half:  # bfloat16 is the upper half of a float32
            return (sortable.astype(np.int32) << 16).view(np.float32)
        return sortable.astype(np.float32, copy=False)


def _true(mask: torch.Tensor) -> Ids:
    """Flat indices of what is true."""
    return np.flatnonzero(mask.numpy())


def _split(flat: Ids, width: int) -> tuple[Ids, Ids]:
    """Rows and columns of flat indices; numpy has a fast // but a slow divmod."""
    rows = flat // width
    return rows, flat - rows * width
