"""How a search is cut into blocks that fit the memory and can be resumed one by one.

The rows of a side, all its shards end to end, are cut into *panels* of nearly equal length. A
block is a panel of src against a panel of tgt. Lists are merged over all blocks before any
margin is computed, so the cuts change nothing but the memory, and what a killed run loses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from bitextmine.errors import UsageError
from bitextmine.machine import PROGRAM_BYTES, format_bytes
from bitextmine.workdir import SIDES

# Rows of the longest panels. A block of two such panels takes minutes; on a GPU the rows also
# suffice to hide the reading of those that stream past.
CPU_ROWS = 250_000
GPU_ROWS = 4_000_000
LEAST_PANEL_ROWS = 10_000
LEAST_BLOCKS_A_DEVICE = 3  # With fewer, uneven devices would not all be kept busy.
LEAST_SHARED_ROWS = 100_000  # Shorter panels are not cut for the sake of more devices.

_BUFFER_BYTES = 128 << 20
_BYTES_A_ROW = 500
_BYTES_A_NEIGHBOUR = 44


@dataclass(frozen=True)
class Cut:
    """Where the rows of one side are cut into panels.

    Attributes
    ----------
    shards : tuple of int
        Rows of each shard.
    bounds : tuple of int
        Bounds of the panels, from 0 to the number of rows.
    """

    shards: tuple[int, ...]
    bounds: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.bounds) - 1

    def rows(self, panel: int) -> int:
        """Return how many rows a panel has."""
        return self.bounds[panel + 1] - self.bounds[panel]

    def longest(self) -> int:
        """Return how many rows the longest panel has."""
        return max(self.rows(panel) for panel in range(len(self)))

    def pieces(self, panel: int) -> list[tuple[int, slice]]:
        """Return the shards with rows in a panel, and which of their rows these are."""
        start, stop = self.bounds[panel : panel + 2]
        starts = np.cumsum([0, *self.shards]).tolist()
        return [
            (shard, slice(max(start - first, 0), min(stop, end) - first))
            for shard, (first, end) in enumerate(pairwise(starts))
            if first < stop and end > start
        ]


@dataclass(frozen=True)
class Grid:
    """Where the rows of both sides are cut."""

    src: Cut
    tgt: Cut

    def cut(self, side: str) -> Cut:
        """Return how one side is cut."""
        return self.src if side == "src" else self.tgt

    def largest_block(self) -> tuple[int, int]:
        """Return the rows of the longest panel of each side."""
        return self.src.longest(), self.tgt.longest()


def plan_grid(
    src_shards: Sequence[int],
    tgt_shards: Sequence[int],
    *,
    dim: int,
    k: int,
    block_memory: int,
    parallel: int = 1,
    sharing: int = 1,
    on_gpu: bool,
) -> Grid:
    """Cut both sides into panels.

    Parameters
    ----------
    src_shards, tgt_shards : sequence of int
        Rows of each shard.
    dim, k : int
        Numbers in a vector; neighbours of a sentence.
    block_memory : int
        Bytes of main memory for one block, the program itself aside.
    parallel : int
        How many blocks are wanted at the same time, on however many machines.
    sharing : int
        How many of them are computed on one machine, which tells what to ask for instead.
    on_gpu : bool
        Whether the blocks are computed on GPUs.

    Raises
    ------
    UsageError
        Not even a small block fits.
    """
    n_src, n_tgt = sum(src_shards), sum(tgt_shards)
    rows = GPU_ROWS if on_gpu else CPU_ROWS
    while block_bytes(min(rows, n_src), min(rows, n_tgt), dim=dim, k=k) > block_memory:
        rows -= rows // 8
        if rows < LEAST_PANEL_ROWS:
            needed = sharing * block_bytes(LEAST_PANEL_ROWS, LEAST_PANEL_ROWS, dim=dim, k=k)
            raise UsageError(
                f"--memory leaves {format_bytes(sharing * block_memory)} for the search, and its"
                f" smallest blocks need {format_bytes(needed)}",
                hint=f"give --memory {format_bytes(1.05 * (needed + PROGRAM_BYTES))} or more, a"
                " smaller -k, or fewer --devices",
            )
    while parallel > 1 and rows > LEAST_SHARED_ROWS:
        if -(-n_src // rows) * -(-n_tgt // rows) >= LEAST_BLOCKS_A_DEVICE * parallel:
            break
        rows //= 2
    return Grid(_cut(src_shards, rows), _cut(tgt_shards, rows))


def _cut(shards: Sequence[int], rows: int) -> Cut:
    """Cut a side into the fewest panels of at most so many rows, all nearly as long."""
    n = sum(shards)
    n_panels = max(1, -(-n // rows))
    return Cut(tuple(shards), tuple(n * panel // n_panels for panel in range(n_panels + 1)))


def block_bytes(n_src: int, n_tgt: int, *, dim: int, k: int) -> int:
    """Bound the main memory that the search of one block takes, in bytes.

    Counted from the arrays of the folder `exact`: for every row its number, length, order and
    lists of exact neighbours, twice while they are unpacked; candidates of the whole tgt panel
    and of the resident src rows; and buffers that do not depend on the panel.
    """
    return _BUFFER_BYTES + 64 * dim * 2048 + (n_src + n_tgt) * row_bytes(k)


def row_bytes(k: int) -> int:
    """Bytes of main memory for each row of a block."""
    return _BYTES_A_ROW + _BYTES_A_NEIGHBOUR * k


def as_grid(kept: dict[str, dict[str, list[int]]]) -> Grid:
    """Read what `as_dict` gave.

    Raises
    ------
    KeyError
        Something is missing.
    """
    src, tgt = (Cut(tuple(kept[side]["shards"]), tuple(kept[side]["bounds"])) for side in SIDES)
    return Grid(src, tgt)


def as_dict(grid: Grid) -> dict[str, dict[str, list[int]]]:
    """Return a grid as plain JSON values."""
    cuts = {side: grid.cut(side) for side in SIDES}
    return {
        side: {"shards": list(cut.shards), "bounds": list(cut.bounds)} for side, cut in cuts.items()
    }
