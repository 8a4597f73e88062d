"""The two inner loops of the search on a device, and how plain torch computes them.

`PLAIN` serves the CPU, GPUs without Triton, and as an oracle. `triton_kernels` has the same two
for a GPU, which read every number once; `kernel_choice` takes one or the other.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

# A tile is so many adjacent similarities of a row, or so many of a column. A tile that may hold a
# candidate is read again: 512 adjacent bytes along a row, a 32-byte sector for each similarity
# along a column, which is why those tiles are shorter.
ROW_TILE = 128
COLUMN_TILE = 64
_SLAB_ROWS = 16 * COLUMN_TILE  # whose similarities are scaled and reduced at a time
_GATHERED_ELEMENTS = 1 << 22  # of vectors, gathered at a time


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
    """Scale scores to similarities: -inf where a scale is negative, for "not to be found"."""
    excluded = (own_scales < 0) | (other_scales < 0)
    return (scores * own_scales * other_scales).masked_fill_(excluded, -torch.inf)


def tile_maxima(
    scores: Tensor, row_scales: Tensor, column_scales: Tensor, by_row: Tensor, by_column: Tensor
) -> None:
    """See `Kernels`."""
    width = scores.shape[1]
    for start in range(0, len(scores), _SLAB_ROWS):
        rows = slice(start, start + _SLAB_ROWS)
        tiles = slice(start // COLUMN_TILE, (start + _SLAB_ROWS) // COLUMN_TILE)
        slab = scaled(scores[rows], row_scales[rows, None], column_scales)
        by_row[:, rows] = slab.view(len(slab), -1, ROW_TILE).amax(2).t()
        by_column[tiles] = slab.view(-1, COLUMN_TILE, width).amax(1)


def pair_dots(left: Tensor, left_rows: Tensor, right: Tensor, right_rows: Tensor) -> Tensor:
    """See `Kernels`."""
    dots = torch.empty(len(left_rows), dtype=torch.float64, device=left.device)
    step = max(1, _GATHERED_ELEMENTS // left.shape[1])
    for start in range(0, len(dots), step):
        some = slice(start, start + step)
        products = left[left_rows[some]].float()
        products *= right[right_rows[some]].float()  # 22 bits: exact
        dots[some] = products.sum(1, dtype=torch.float64)
    return dots


PLAIN = Kernels(tile_maxima, pair_dots)
