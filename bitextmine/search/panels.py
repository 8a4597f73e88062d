"""How the rows of both sides are cut into panels, and the lists that panels found.

A panel is a run of rows that the search takes at once; a block is a panel against a panel, and
the unit of resuming. Lists are merged before any margin is computed, so the pairs do not depend
on how the rows were cut.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from bitextmine.arrays import Ids
from bitextmine.encode.vectors import Vectors
from bitextmine.errors import WorkdirError
from bitextmine.files import fingerprint, is_unchanged, map_array, read_json, write_json
from bitextmine.machine import allow_open_files
from bitextmine.search.grid import Grid, as_dict, as_grid, block_bytes, plan_grid
from bitextmine.search.neighbours import StoredNeighbours
from bitextmine.search.rows import Rows
from bitextmine.workdir import SIDES, Side, Sides, Workdir

LOG = logging.getLogger(__name__)

_SEARCH_AGAIN = "delete that file, and run `bitextmine search` again under the same settings"


class Panel:
    """The rows of a panel; as a sequence, the numbers of its sentences.

    Shards are opened when they are read, since a side may have more shards than a process may
    have open files.
    """

    def __init__(self, workdir: Workdir, side: Side, pieces: Sequence[tuple[int, slice]]) -> None:
        self._pieces = [(workdir.shard(side, shard), rows) for shard, rows in pieces]
        self._starts = np.cumsum([0, *(rows.stop - rows.start for _, rows in self._pieces)])

    def __len__(self) -> int:
        return int(self._starts[-1])

    def __getitem__(self, rows: slice) -> Ids:
        start, stop, _ = rows.indices(len(self))
        read = [np.empty(0, np.int64)]
        for (files, part), first in zip(self._pieces, self._starts[:-1].tolist(), strict=True):
            begin, end = max(start - first, 0), min(stop - first, part.stop - part.start)
            if begin < end:
                numbers = map_array(files.numbers)
                read.append(numbers[part.start + begin : part.start + end])
        return np.concatenate(read)

    def vectors(self) -> Rows:
        """Map the vectors into memory."""
        allow_open_files()
        return Rows([map_array(files.embeddings)[rows] for files, rows in self._pieces])


def whole_side(workdir: Workdir, side: Side) -> Panel:
    """Return all rows of a side."""
    sizes = read_grid(workdir).cut(side).shards
    return Panel(workdir, side, [(shard, slice(0, size)) for shard, size in enumerate(sizes)])


def planned_grid(
    workdir: Workdir,
    vectors: Sides[Vectors],
    *,
    k: int,
    block_memory: int,
    parallel: int,
    sharing: int,
    on_gpu: bool,
) -> Grid:
    """Return the grid of an earlier run, if its blocks fit the memory of this one; else a new one.

    Parameters
    ----------
    workdir : Workdir
        Perhaps has a grid.
    vectors : Sides of Vectors
        What is cut.
    k, block_memory, parallel, sharing, on_gpu
        As for `plan_grid`.

    Raises
    ------
    UsageError
        Not even a small block fits the memory.
    """
    dim = vectors.src.dim
    if workdir.grid.exists():
        grid = read_grid(workdir)
        if block_bytes(*grid.largest_block(), dim=dim, k=k) <= block_memory:
            return grid
    return plan_grid(
        vectors.src.shard_sizes,
        vectors.tgt.shard_sizes,
        dim=dim,
        k=k,
        block_memory=block_memory,
        parallel=parallel,
        sharing=sharing,
        on_gpu=on_gpu,
    )


def set_grid(workdir: Workdir, grid: Grid) -> Grid:
    """Keep a grid in the work directory; what was found under another one is removed."""
    if workdir.grid.exists() and read_grid(workdir) == grid:
        return grid
    if workdir.grid.exists():
        LOG.warning("less memory than before: the search begins anew, in smaller blocks")
    remove_blocks(workdir)
    write_json(workdir.grid, as_dict(grid))
    return grid


def missing_blocks(workdir: Workdir, grid: Grid) -> list[tuple[int, int]]:
    """Return the blocks that panels without lists still need."""
    src, tgt = (
        [not workdir.neighbours(side, panel).exists() for panel in range(len(grid.cut(side)))]
        for side in SIDES
    )
    return [(i, j) for i in range(len(src)) for j in range(len(tgt)) if src[i] or tgt[j]]


def read_grid(workdir: Workdir) -> Grid:
    """Read how the rows of both sides were cut.

    Raises
    ------
    WorkdirError
        The file is missing or damaged.
    """
    try:
        return as_grid(read_json(workdir.grid))
    except KeyError as error:
        raise WorkdirError(f"{workdir.grid} has no {error}", hint=_SEARCH_AGAIN) from error


def remove_blocks(workdir: Workdir) -> None:
    """Remove the lists of blocks and panels, and last what says how they were cut."""
    remove_merged_blocks(workdir)
    for side in SIDES:
        for path in workdir.all_neighbours(side):
            path.unlink(missing_ok=True)
    workdir.grid.unlink(missing_ok=True)


def remove_merged_blocks(workdir: Workdir) -> None:
    """Remove the lists of blocks once those of all panels are there."""
    for path in workdir.all_blocks():
        path.unlink(missing_ok=True)


def all_found(workdir: Workdir) -> bool:
    """Tell whether the lists of all panels are there."""
    return workdir.grid.exists() and all(path.exists() for path in _all_files(workdir))


def note_neighbours(workdir: Workdir) -> None:
    """Note what tells later whether the lists of panels are still the same."""
    noted = {str(p.relative_to(workdir.root)): fingerprint(p) for p in _all_files(workdir)}
    write_json(workdir.noted_neighbours, noted)


def check_neighbours(workdir: Workdir) -> None:
    """Refuse lists that are not those which were found.

    Raises
    ------
    WorkdirError
        A file is missing or has changed.
    """
    for name, noted in read_json(workdir.noted_neighbours).items():
        path = workdir.root / name
        if not path.exists() or not is_unchanged(path, noted):
            how = "has changed since the search" if path.exists() else "is missing"
            raise WorkdirError(f"{path} {how}", hint=_SEARCH_AGAIN)


def _all_files(workdir: Workdir) -> list[Path]:
    return [path for side in SIDES for path in stored_neighbours(workdir, side).files]


def stored_neighbours(workdir: Workdir, side: Side) -> StoredNeighbours:
    """Return the neighbours of a whole side, as they are on disk; ids are sentence numbers."""
    return panel_lists(workdir, side, workdir.neighbours)


def panel_lists(
    workdir: Workdir, side: Side, file_of: Callable[[Side, int], Path]
) -> StoredNeighbours:
    """Return the lists of all panels of a side that are in these files."""
    cut = read_grid(workdir).cut(side)
    panels = range(len(cut))
    return StoredNeighbours(
        numbers=[Panel(workdir, side, cut.pieces(panel)) for panel in panels],
        files=[file_of(side, panel) for panel in panels],
    )


def open_neighbours(workdir: Workdir) -> tuple[StoredNeighbours, StoredNeighbours]:
    """Open the lists that a work directory holds, fwd and bwd.

    Raises
    ------
    WorkdirError
        It was never searched to the end, or a list is missing or has changed.
    """
    workdir.require("search")
    check_neighbours(workdir)
    return stored_neighbours(workdir, "src"), stored_neighbours(workdir, "tgt")
