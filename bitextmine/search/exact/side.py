"""One side of a search: stored vectors in order of number, and exact cosines between two."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from bitextmine.arrays import STORED, Doubles, Floats, Ids, Stored
from bitextmine.errors import EncoderError
from bitextmine.search.exact.workers import share_out
from bitextmine.search.rows import Rows

# A product of two float16 numbers is a multiple of 2^-48. While sums stay below 2^5 in size
# they need at most 53 bits, so float64 adds them without any rounding, in whatever order.
# Products of int8 numbers are integers, whose sums are exact in any case.
LARGEST_NORM = 2.0
_CHUNK_ELEMENTS = 1 << 17  # of vectors: 512 kB in float32, which stay in cache


@dataclass(frozen=True)
class SearchSide:
    """The vectors of one side, addressed by position: the rank of their sentence numbers.

    Attributes
    ----------
    vectors : Rows, shape (n, d)
        As given, perhaps memory-mapped; read by blocks.
    numbers : ndarray of int64, shape (n,)
        Ascending.
    order : ndarray of int64, shape (n,), or None
        The row of each position; None if rows already ascend by number.
    lengths : ndarray of float64, shape (n,)
        Norms by position; infinite for a zero vector, which makes all its cosines 0. NaN as
        long as they are not measured.
    name : str
        What errors call this side.
    """

    vectors: Rows
    numbers: Ids
    order: Ids | None
    lengths: Doubles
    name: str = "the"

    @classmethod
    def prepare(
        cls, vectors: Rows | Stored, numbers: Ids, *, name: str, n_workers: int = 1
    ) -> "SearchSide":
        """Arrange one side and measure its vectors, which reads all of them.

        Raises
        ------
        ValueError
            Shapes or dtypes disagree, or numbers repeat.
        EncoderError
            A vector is not finite or too long.
        """
        side = cls.arrange(vectors, numbers, name=name)
        share_out(side.blocks(side.chunk_rows()), side._measure, n_workers)
        side.set_lengths(0, side.lengths)
        return side

    @classmethod
    def arrange(cls, vectors: Rows | Stored, numbers: Ids, *, name: str) -> "SearchSide":
        """Check the shape of one side and sort it by number, without reading a vector."""
        fits = vectors.dtype in STORED and len(vectors.shape) == 2
        if not fits or numbers.shape != vectors.shape[:1]:
            raise ValueError(f"{name}: {vectors.dtype} {vectors.shape} and numbers {numbers.shape}")
        vectors = vectors if isinstance(vectors, Rows) else Rows([vectors])
        order = None if np.all(numbers[1:] > numbers[:-1]) else np.argsort(numbers, kind="stable")
        ascending = numbers if order is None else numbers[order]
        if np.any(ascending[1:] == ascending[:-1]):
            raise ValueError(f"{name}: numbers are not unique")
        return cls(vectors, ascending, order, np.full(len(numbers), np.nan), name)

    def chunk_rows(self) -> int:
        """Return how many rows stay in cache."""
        return max(1, _CHUNK_ELEMENTS // max(1, self.vectors.shape[1]))

    def _measure(self, blocks: Iterator[tuple[int, int]]) -> None:
        """Fill in the lengths of some ranges."""
        for start, stop in blocks:
            squares = torch.from_numpy(self.rows(start, stop)).float().square_()  # 22 bits: exact
            self.lengths[start:stop] = squares.sum(1, dtype=torch.float64).sqrt_().numpy()

    def set_lengths(self, start: int, measured: Doubles) -> None:
        """Note the norms of the positions from start on, as measured.

        Raises
        ------
        EncoderError
            A vector has no direction or is too long for exact sums.
        """
        largest = LARGEST_NORM if self.vectors.dtype == np.float16 else np.inf
        unusable = np.flatnonzero(~(measured <= largest))  # NaN is unusable too
        if len(unusable):
            first, rest = unusable[0], len(self) - start - len(measured)
            raise EncoderError(
                f"{self.name} sentence {self.numbers[start + first]} has a vector of length"
                f" {measured[first]:g} ({len(unusable)} such vectors{' so far' if rest else ''})",
                hint="encode again: vectors must be finite and of length 1",
            )
        self.lengths[start : start + len(measured)] = np.where(measured == 0, np.inf, measured)

    def __len__(self) -> int:
        return len(self.numbers)

    def blocks(self, size: int) -> Iterator[tuple[int, int]]:
        """Cut the positions into ranges of at most this size."""
        return ((start, min(start + size, len(self))) for start in range(0, len(self), size))

    def rows(self, start: int, stop: int, out: Stored | None = None) -> Stored:
        """Copy the vectors of a range of positions; into `out`, if given."""
        if self.order is not None:
            return self.vectors.take(self.order[start:stop], out)
        return self.vectors.run(start, stop, out)

    def take(self, positions: Ids) -> Stored:
        """Copy the vectors of some positions."""
        rows = positions if self.order is None else self.order[positions]
        return self.vectors.take(rows)

    def unit_rows(self, start: int, stop: int) -> torch.Tensor:
        """Copy a range as float32 rows of length 1, zero vectors excepted."""
        scales = (1 / self.lengths[start:stop]).astype(np.float32)
        unit = torch.from_numpy(self.rows(start, stop)).float()
        return unit.mul_(torch.from_numpy(scales)[:, None])


def pair_cosines(
    src: SearchSide, src_positions: Ids, tgt: SearchSide, tgt_positions: Ids
) -> Floats:
    """Compute the exact cosine of each pair, rounded to float32.

    The sum of products is exact in float64 and what follows is one fixed sequence of
    correctly rounded operations, so the same pair has the same bits on every machine.
    """
    dots = np.empty(len(src_positions))
    step = src.chunk_rows()
    for start in range(0, len(dots), step):
        chunk = slice(start, start + step)
        products = torch.from_numpy(src.take(src_positions[chunk])).float()
        products *= torch.from_numpy(tgt.take(tgt_positions[chunk])).float()  # 22 bits: exact
        dots[chunk] = products.sum(1, dtype=torch.float64).numpy()
    return as_cosines(dots, src.lengths[src_positions] * tgt.lengths[tgt_positions])


def as_cosines(dots: Doubles, divisors: Doubles) -> Floats:
    """Divide and round to float32; -0 becomes 0 so that equal cosines have equal bits."""
    return (dots / divisors).astype(np.float32) + np.float32(0)
