"""Vectors of a run of positions on a device, and exact cosines between two such runs."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bitextmine.arrays import Floats
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.gpu.kernels import ROW_TILE, Kernels

# With rows of a multiple of 16 bytes, or 8 elements, tensor cores work at full speed.
_WIDTH_MULTIPLE = 8


def padded(n: int) -> int:
    """Round up to whole tiles, of rows as of columns."""
    return -(-n // ROW_TILE) * ROW_TILE


@dataclass(frozen=True)
class DeviceRows:
    """Vectors on a device, as stored, in whole tiles.

    Attributes
    ----------
    vectors : Tensor of float16, shape (padded(n), width)
        Anything finite or not stands in the rows from n on; columns from d on are 0.
    lengths : Tensor of float64, shape (padded(n),)
        As in `SearchSide`.
    scales : Tensor of float32, shape (padded(n),)
        Reciprocals of the lengths. Negative for what must not be found: rows from n on, and
        zero vectors that come after k others.
    start, n : int
        Position of the first row, and how many there are.
    """

    vectors: Tensor
    lengths: Tensor
    scales: Tensor
    start: int
    n: int

    @classmethod
    def allocate(cls, n: int, d: int, device: torch.device) -> "DeviceRows":
        """Allocate memory for n rows."""
        size = padded(n)
        width = -(-d // _WIDTH_MULTIPLE) * _WIDTH_MULTIPLE
        # Only the columns from d on must be 0, and only they are never written again.
        empty = torch.zeros if width > d else torch.empty
        return cls(
            empty((size, width), dtype=torch.float16, device=device),
            torch.empty(size, dtype=torch.float64, device=device),
            torch.empty(size, dtype=torch.float32, device=device),
            start=0,
            n=n,
        )

    def part(self, first: int, n: int, start: int) -> "DeviceRows":
        """View n of these rows, of which the first has this position; first is a whole tile."""
        rows = slice(first, first + padded(n))
        return DeviceRows(self.vectors[rows], self.lengths[rows], self.scales[rows], start, n)

    def __len__(self) -> int:
        return self.n

    def measured(self, kernels: Kernels) -> Tensor:
        """Norms of the vectors, (n,): the bits of `SearchSide.prepare`, as the sums are exact."""
        rows = torch.arange(self.n, device=self.vectors.device)
        return kernels.pair_dots(self.vectors, rows, self.vectors, rows).sqrt_()


@dataclass(frozen=True)
class CosineScorer:
    """Exact cosines between two runs: the bits of `pair_cosines` on the CPU."""

    own: DeviceRows
    other: DeviceRows
    kernels: Kernels

    @property
    def start(self) -> int:
        """Position of the first candidate that is on the device."""
        return self.other.start

    def cosines(self, rows: Tensor, candidates: Tensor) -> Tensor:
        """Return the cosines of own rows, counted from 0, with others, by position; float32.

        Sums are exact in float64, and the rest is one sequence of correctly rounded
        operations, ending with +0, which makes -0 equal to 0 to the bit.
        """
        others = candidates - self.other.start
        dots = self.kernels.pair_dots(self.own.vectors, rows, self.other.vectors, others)
        return (dots / (self.own.lengths[rows] * self.other.lengths[others])).float() + 0.0


class Scales:
    """Reciprocal lengths of a side, as `DeviceRows` wants them.

    All zero vectors are equally far from everything, so those that come after k others are
    nobody's neighbours, and leaving them out keeps their ties out of the lists. So that the
    first k are known, lengths must be measured from position 0 on.
    """

    def __init__(self, side: SearchSide, k: int) -> None:
        self._side, self._k = side, k
        self._kept = np.flatnonzero(np.isinf(side.lengths))[:k]

    def run(self, start: int, stop: int) -> Floats:
        """Scales of a range of positions, (padded(stop - start),); all before it are measured."""
        lengths = self._side.lengths[start:stop]
        scales = np.full(padded(stop - start), -1, np.float32)
        scales[: len(lengths)] = 1 / lengths
        zeros = start + np.flatnonzero(np.isinf(lengths))
        self._kept = np.union1d(self._kept, zeros)[: self._k]
        scales[np.setdiff1d(zeros, self._kept) - start] = -1
        return scales
