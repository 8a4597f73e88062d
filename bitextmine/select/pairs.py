"""Pairs of sentence numbers: in an array, and in a file."""

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from bitextmine.arrays import Doubles, Floats, Ids
from bitextmine.files import Scratch, explained_write

# score: the margin; src, tgt: sentence numbers, of 32 bits as in the neighbour lists; cosine: of
# the two sentences. With the padding, a pair takes 24 bytes.
PAIR = np.dtype([("score", "f8"), ("src", "u4"), ("tgt", "u4"), ("cosine", "f4")], align=True)

Pairs = NDArray[np.void]  # of dtype PAIR, shape (n,)


def make_pairs(src: Ids, tgt: Ids, scores: Doubles, cosines: Floats) -> Pairs:
    """Put parallel arrays together."""
    pairs = np.empty(len(src), PAIR)
    pairs["score"], pairs["src"], pairs["tgt"] = scores, src, tgt
    pairs["cosine"] = cosines
    return pairs


class StoredPairs:
    """Pairs in a scratch file, in the order in which they were appended."""

    def __init__(self, scratch: Scratch) -> None:
        self._folder = scratch.folder
        self._file = scratch.file()
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def append(self, pairs: Pairs) -> None:
        """Write pairs after those that are there.

        Raises
        ------
        OutputError
            The disk is full.
        """
        with explained_write(self._folder):
            self._file.seek(self._rows * PAIR.itemsize)
            self._file.write(np.ascontiguousarray(pairs).view(np.uint8).data)
            self._file.flush()
        self._rows += len(pairs)

    def read(self, start: int = 0, stop: int | None = None) -> Pairs:
        """Return the pairs from row start to stop, or all that follow."""
        stop = len(self) if stop is None else min(stop, len(self))
        self._file.seek(start * PAIR.itemsize)
        return np.frombuffer(self._file.read(max(stop - start, 0) * PAIR.itemsize), PAIR)

    def blocks(self, rows: int) -> Iterator[Pairs]:
        """Yield at most so many pairs at a time, in order."""
        for start in range(0, len(self), rows):
            yield self.read(start, start + rows)
