"""Pairs as records of one size, and their order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bitextmine.arrays import Bools, Doubles, Floats, Ids
from bitextmine.files import Scratch, explained_write


@dataclass(frozen=True)
class Pairs:
    """Mined pairs, best first; parallel arrays.

    Attributes
    ----------
    src, tgt : ndarray of int64
        Sentence numbers.
    scores : ndarray of float64
        The margin, descending; equal scores are in order of src, then tgt.
    cosines : ndarray of float32
        Cosine of the two sentences.
    """

    src: Ids
    tgt: Ids
    scores: Doubles
    cosines: Floats

    def __len__(self) -> int:
        return len(self.src)

    def __getitem__(self, keep: Bools | slice) -> "Pairs":
        return Pairs(self.src[keep], self.tgt[keep], self.scores[keep], self.cosines[keep])

    def blocks(self, rows: int) -> Iterator["Pairs"]:
        """Yield at most so many pairs at a time, best first."""
        for start in range(0, len(self), rows):
            yield self[start : start + rows]


class PairBlocks(Protocol):
    """Pairs in memory or on disk, best first."""

    def __len__(self) -> int:
        """Return how many there are."""
        ...

    def blocks(self, rows: int) -> Iterator[Pairs]:
        """Yield at most so many at a time."""
        ...


Records = NDArray[Any]  # of dtype RECORD

# Sentence numbers take 32 bits, as in the neighbour lists; 24 bytes with the padding.
RECORD = np.dtype([("score", "f8"), ("src", "u4"), ("tgt", "u4"), ("cosine", "f4")], align=True)


def make_records(src: Ids, tgt: Ids, scores: Doubles, cosines: Floats) -> Records:
    """Put parallel arrays together."""
    records = np.empty(len(src), RECORD)
    records["score"], records["src"], records["tgt"] = scores, src, tgt
    records["cosine"] = cosines
    return records


def as_pairs(records: Records) -> Pairs:
    """Take records apart into parallel arrays."""
    return Pairs(
        records["src"].astype(np.int64),
        records["tgt"].astype(np.int64),
        np.ascontiguousarray(records["score"]),
        np.ascontiguousarray(records["cosine"]),
    )


def tie_keys(records: Records) -> NDArray[np.uint64]:
    """Return one number a record by which equal scores are put in order: src, then tgt."""
    keys = records["src"].astype(np.uint64)
    keys <<= np.uint64(32)
    keys |= records["tgt"]
    return keys


def best_first(records: Records) -> Ids:
    """Return the rows in order of descending score, then of src, then of tgt.

    Sorting by score alone is several times faster than by three keys, and few scores tie.
    """
    descending = -records["score"]
    order = np.argsort(descending)
    descending = descending[order]
    tied = np.zeros(len(order), dtype=bool)
    tied[1:] = descending[1:] == descending[:-1]
    tied[:-1] |= tied[1:]
    places = np.flatnonzero(tied)
    if len(places):
        rows = order[places]
        order[places] = rows[np.lexsort((tie_keys(records[rows]), descending[places]))]
    return order


class StoredPairs:
    """Pairs in a scratch file, in the order in which they were appended."""

    def __init__(self, scratch: Scratch) -> None:
        self._folder = scratch.folder
        self._file = scratch.file()
        self._rows = 0

    def __len__(self) -> int:
        return self._rows

    def append(self, records: Records) -> None:
        """Write records after those that are there.

        Raises
        ------
        OutputError
            The disk is full.
        """
        with explained_write(self._folder):
            self._file.seek(self._rows * RECORD.itemsize)
            self._file.write(np.ascontiguousarray(records).view(np.uint8).data)
            self._file.flush()
        self._rows += len(records)

    def read(self, start: int, stop: int) -> Records:
        """Return the records from row start to stop."""
        rows = max(min(stop, self._rows) - start, 0)
        self._file.seek(start * RECORD.itemsize)
        return np.frombuffer(self._file.read(rows * RECORD.itemsize), RECORD)

    def blocks(self, rows: int) -> Iterator[Pairs]:
        """Yield at most so many pairs at a time, in order."""
        for start in range(0, len(self), rows):
            yield as_pairs(self.read(start, start + rows))
