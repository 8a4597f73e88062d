"""Merging the neighbours that the same sentences found in different blocks."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bitextmine.search.lists import open_lists, read_lists, save_list_blocks
from bitextmine.search.neighbours import Neighbours

_ENTRY_BYTES = 64  # of memory for each entry being merged: read, sorted, written


def merge_neighbours(parts: Sequence[Neighbours], k: int) -> Neighbours:
    """Keep the k best of what the same n sentences found in several places.

    As cosines are exact and equal ones are ranked by id, the order and the grouping of the
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
        Cosines descending, equal cosines by ascending id.

    Raises
    ------
    ValueError
        If there are no parts, or they are not of the same number of sentences.
    """
    if len({len(part) for part in parts}) != 1:
        raise ValueError(f"parts of {[len(part) for part in parts]} sentences cannot be merged")
    cosines = np.concatenate([part.cosines for part in parts], axis=1)
    ids = np.concatenate([part.ids for part in parts], axis=1)
    best = np.lexsort((ids, -cosines), axis=1)[:, :k]
    return Neighbours(np.take_along_axis(cosines, best, 1), np.take_along_axis(ids, best, 1))


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
