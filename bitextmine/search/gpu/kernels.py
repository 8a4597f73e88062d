"""The two inner loops of the search on a device, in plain torch: for the CPU, and as an oracle.

`triton_kernels` has the same two for a GPU, which read every number once.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec

import torch
from torch import Tensor

LOG = logging.getLogger(__name__)

# A tile is so many adjacent similarities of a row, or of a column. A tile that may hold a
# candidate is read again: 512 adjacent bytes along a row, a 32-byte sector for each similarity
# along a column, which is why those tiles are shorter.
ROW_TILE = 128
COLUMN_TILE = 64
_SLAB = 16 * COLUMN_TILE  # rows reduced at a time
_GATHERED = 1 << 22  # numbers gathered at a time


@dataclass(frozen=True)
class Kernels:
    """One way to compute the two inner loops.

    Attributes
    ----------
    tile_maxima : callable
        ``tile_maxima(scores, row_scales, column_scales, by_row, by_column)`` writes the largest
        similarity of each tile. Similarities are scores (h, w) times the scale of their row and
        of their column, and -inf where either is negative. by_row (w / ROW_TILE, h) and
        by_column (h / COLUMN_TILE, w) are float32, like all else.
    pair_dots : callable
        ``pair_dots(left, left_rows, right, right_rows)`` returns float64 dot products of rows
        of two float16 matrices, free of rounding as long as `side.LARGEST_NORM` is kept.
    """

    tile_maxima: Callable[[Tensor, Tensor, Tensor, Tensor, Tensor], None]
    pair_dots: Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]


def scaled(scores: Tensor, own_scales: Tensor, other_scales: Tensor) -> Tensor:
    """Similarities of scores: -inf where a scale is negative, which says "not to be found"."""
    excluded = (own_scales < 0) | (other_scales < 0)
    return (scores * own_scales * other_scales).masked_fill_(excluded, -torch.inf)


def tile_maxima(
    scores: Tensor, row_scales: Tensor, column_scales: Tensor, by_row: Tensor, by_column: Tensor
) -> None:
    """See `Kernels`."""
    width = scores.shape[1]
    for start in range(0, len(scores), _SLAB):
        rows = slice(start, start + _SLAB)
        tiles = slice(start // COLUMN_TILE, (start + _SLAB) // COLUMN_TILE)
        slab = scaled(scores[rows], row_scales[rows, None], column_scales)
        by_row[:, rows] = slab.view(len(slab), -1, ROW_TILE).amax(2).t()
        by_column[tiles] = slab.view(-1, COLUMN_TILE, width).amax(1)


def pair_dots(left: Tensor, left_rows: Tensor, right: Tensor, right_rows: Tensor) -> Tensor:
    """See `Kernels`."""
    dots = torch.empty(len(left_rows), dtype=torch.float64, device=left.device)
    step = max(1, _GATHERED // left.shape[1])
    for start in range(0, len(dots), step):
        some = slice(start, start + step)
        products = left[left_rows[some]].float()
        products *= right[right_rows[some]].float()  # 22 bits: exact
        dots[some] = products.sum(1, dtype=torch.float64)
    return dots


PLAIN = Kernels(tile_maxima, pair_dots)


def choose_kernels(device: torch.device) -> Kernels:
    """Take Triton's where there is a Triton that works on the device."""
    if device.type == "cuda" and find_spec("triton"):
        try:
            compiled: Kernels = import_module("bitextmine.search.gpu.triton_kernels").COMPILED
            _try(compiled, device)
            return compiled
        except Exception as error:  # for want of a C compiler, or a driver or GPU that it knows
            cause = (str(error).splitlines() or [type(error).__name__])[0]
            LOG.warning("no Triton on %s, so the search is slower: %s", device, cause)
    return PLAIN


def _try(kernels: Kernels, device: torch.device) -> None:
    """Raise whatever keeps kernels from working."""

    def ones(*shape: int) -> Tensor:
        return torch.ones(shape, device=device)

    by_row, by_column = ones(1, ROW_TILE), ones(ROW_TILE // COLUMN_TILE, ROW_TILE)
    kernels.tile_maxima(
        2 * ones(ROW_TILE, ROW_TILE), ones(ROW_TILE), ones(ROW_TILE), by_row, by_column
    )
    rows, vectors = torch.zeros(1, dtype=torch.int64, device=device), ones(1, ROW_TILE).half()
    dots = kernels.pair_dots(vectors, rows, vectors, rows)
    if float(by_row.mean() + by_column.mean() + dots[0]) != 4 + ROW_TILE:
        raise RuntimeError("wrong results")
