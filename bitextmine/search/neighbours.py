"""The k nearest sentences of every sentence: in memory, on disk (8 bytes an entry), merged."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bitextmine.arrays import Floats, Ids
from bitextmine.errors import WorkdirError
from bitextmine.files import atomic_write


@dataclass(frozen=True)
class Neighbours:
    """The nearest sentences of the other side for n sentences, best first.

    Attributes
    ----------
    cosines : ndarray of float32, shape (n, k)
        Descending in every row; equal cosines are in ascending order of number.
    numbers : ndarray of int64, shape (n, k)
        Which sentence of the other side each cosine belongs to.
    """

    cosines: Floats
    numbers: Ids

    def __post_init__(self) -> None:
        if self.cosines.shape != self.numbers.shape or self.cosines.ndim != 2:
            raise ValueError(
                f"cosines {self.cosines.shape} and numbers {self.numbers.shape} must be (n, k)"
            )

    @property
    def k(self) -> int:
        """Neighbours a sentence has: the k asked for, or all there are."""
        return int(self.numbers.shape[1])

    def __len__(self) -> int:
        return len(self.numbers)

    def blocks(self, rows: int) -> Iterator[tuple[Ids, "Neighbours"]]:
        """Yield the lists of at most so many sentences at a time, whose rows are their numbers."""
        for start in range(0, len(self), rows):
            stop = min(start + rows, len(self))
            some = Neighbours(self.cosines[start:stop], self.numbers[start:stop])
            yield np.arange(start, stop), some


class NeighbourLists(Protocol):
    """The lists of all sentences of a side, read some at a time: in memory, or in files."""

    def __len__(self) -> int: ...

    @property
    def k(self) -> int:
        """Neighbours a sentence has."""
        ...

    def blocks(self, rows: int) -> Iterator[tuple[Ids, Neighbours]]:
        """Yield the numbers and the lists of at most so many sentences at a time.

        The numbers in the lists are those of sentences of the other side.
        """
        ...


# Of sentence numbers, 32 bits are enough for four thousand million a side.
ENTRY = np.dtype([("cosine", "<f4"), ("number", "<u4")])

_WRITTEN_ROWS = 1 << 16


def save_lists(path: Path, found: Neighbours) -> None:
    """Write the lists of some sentences, whole or not at all.

    Raises
    ------
    OutputError
        The disk is full, or the folder cannot be written.
    """
    save_list_blocks(path, [found], n=len(found), k=found.k)


def save_list_blocks(path: Path, blocks: Iterable[Neighbours], *, n: int, k: int) -> None:
    """Write lists of k neighbours of n sentences that come some rows at a time.

    Raises
    ------
    OutputError
        The disk is full, or the folder cannot be written.
    """
    header = {"descr": ENTRY.descr, "fortran_order": False, "shape": (n, k)}
    with atomic_write(path) as file:
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            for start in range(0, len(block), _WRITTEN_ROWS):
                rows = slice(start, start + _WRITTEN_ROWS)
                entries = np.empty(block.numbers[rows].shape, ENTRY)
                entries["cosine"], entries["number"] = block.cosines[rows], block.numbers[rows]
                file.write(entries.data)


def open_lists(path: Path, *, rows: int | None = None) -> NDArray[Any]:
    """Map lists into memory without reading them; dtype `ENTRY`, shape (n, k).

    Raises
    ------
    WorkdirError
        The file is missing, or holds something else or lists of another number of sentences.
    """
    try:
        lists: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
        if lists.dtype != ENTRY or lists.ndim != 2 or rows not in (None, len(lists)):
            raise ValueError(f"it holds {lists.dtype} {lists.shape}")
    except (OSError, EOFError, ValueError) as error:
        raise WorkdirError(
            f"cannot read the neighbours in {path}: {error}",
            hint="remove the file, and run `bitextmine search` again",
        ) from error
    return lists


def as_neighbours(entries: NDArray[Any]) -> Neighbours:
    """Copy entries of lists into memory."""
    return Neighbours(
        np.ascontiguousarray(entries["cosine"]), np.ascontiguousarray(entries["number"], np.int64)
    )


class Numbers(Protocol):
    """Sentence numbers that can be read some at a time: an array, or what is on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: slice, /) -> Ids: ...


def read_lists(path: Path, start: int, stop: int) -> Neighbours:
    """Read the lists of some rows."""
    return as_neighbours(open_lists(path)[start:stop])


@dataclass(frozen=True)
class StoredNeighbours:
    """The neighbour lists of a whole side, in several files.

    Attributes
    ----------
    numbers : sequence of Numbers
        For each file, the sentence numbers of its rows, int64: all files together have every
        number of the side once, in any order.
    files : sequence of Path
        Written by `save_lists`; all of one k.
    """

    numbers: Sequence[Numbers]
    files: Sequence[Path]

    def __len__(self) -> int:
        return sum(map(len, self.numbers))

    @property
    def k(self) -> int:
        """Neighbours a sentence has."""
        return int(open_lists(self.files[0]).shape[1])

    def blocks(self, rows: int) -> Iterator[tuple[Ids, Neighbours]]:
        """Yield the numbers and the lists of at most so many sentences at a time.

        The numbers in the lists are those of sentences of the other side.
        """
        for numbers, path in zip(self.numbers, self.files, strict=True):
            lists = open_lists(path, rows=len(numbers))
            for start in range(0, len(numbers), rows):
                some = slice(start, start + rows)
                yield np.array(numbers[some]), as_neighbours(lists[some])


_ENTRY_BYTES = 64  # of memory for each entry being merged: read, sorted, written


def merge_neighbours(parts: Sequence[Neighbours], k: int) -> Neighbours:
    """Keep the k best of what the same n sentences found in several places.

    As cosines are exact and equal ones are ranked by number, the order and the grouping of the
    parts change nothing, and the merge of all blocks is the search of all at once.

    Parameters
    ----------
    parts : sequence of Neighbours
        At least one, all of the same n sentences; no neighbour is in two of them.
    k : int
        Neighbours a sentence keeps, where there are as many.

    Returns
    -------
    Neighbours
        Cosines descending, equal cosines by ascending number.

    Raises
    ------
    ValueError
        If there are no parts, or they are not of the same number of sentences.
    """
    if len({len(part) for part in parts}) != 1:
        raise ValueError(f"parts of {[len(part) for part in parts]} sentences cannot be merged")
    cosines = np.concatenate([part.cosines for part in parts], axis=1)
    numbers = np.concatenate([part.numbers for part in parts], axis=1)
    best = np.lexsort((numbers, -cosines), axis=1)[:, :k]
    return Neighbours(np.take_along_axis(cosines, best, 1), np.take_along_axis(numbers, best, 1))


def merge_files(parts: Sequence[Path], k: int, path: Path, *, n: int, memory: int) -> None:
    """Merge the lists of the same sentences from several files into one.

    Parameters
    ----------
    parts : sequence of Path
        Written by ``save_lists``; at least one.
    k : int
        Neighbours a sentence keeps, where there are as many.
    path : Path
        Where the merged lists go, whole or not at all.
    n : int
        Sentences that each file has lists of.
    memory : int
        Bytes that the lists in hand may take.

    Raises
    ------
    WorkdirError
        A file is missing or damaged.
    OutputError
        The disk is full.
    """
    width = sum(open_lists(part, rows=n).shape[1] for part in parts)
    rows = max(1, memory // (_ENTRY_BYTES * width))
    # Files are opened for some rows at a time: there may be more than a process may have open.
    merged = (
        merge_neighbours([read_lists(part, start, start + rows) for part in parts], k)
        for start in range(0, n, rows)
    )
    save_list_blocks(path, merged, n=n, k=min(k, width))
