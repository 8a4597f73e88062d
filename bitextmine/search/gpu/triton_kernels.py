"""The two inner loops of the search on a GPU, in Triton: every number is read once.

Imported only where Triton is installed, which has no types, so its modules are `Any` here.
With TRITON_INTERPRET=1, set before the import, they run without a GPU.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from bitextmine.search.gpu.kernels import COLUMN_TILE, ROW_TILE, Kernels

triton: Any = import_module("triton")
tl: Any = import_module("triton.language")
if TYPE_CHECKING:
    constexpr = int
else:
    constexpr = tl.constexpr

_CHUNK_ELEMENTS = 1024  # of a vector, read at a time


# Triton reads the type hints: what is no constexpr must be a string that it can ignore.
def _tile_maxima(
    scores: "Any",
    row_scales: "Any",
    column_scales: "Any",
    by_row: "Any",
    by_column: "Any",
    height: "Any",
    width: "Any",
    tile_height: constexpr,
    tile_width: constexpr,
) -> None:
    across = tl.program_id(0)
    down = tl.program_id(1)
    # A block of 32768 x 65536 has more offsets than 32 bits count.
    rows = (down * tile_height + tl.arange(0, tile_height)).to(tl.int64)
    columns = (across * tile_width + tl.arange(0, tile_width)).to(tl.int64)
    of_rows = tl.load(row_scales + rows)
    of_columns = tl.load(column_scales + columns)
    tile = tl.load(scores + rows[:, None] * width + columns[None, :])
    tile = tile * of_rows[:, None] * of_columns[None, :]
    found = (of_rows >= 0)[:, None] & (of_columns >= 0)[None, :]
    tile = tl.where(found, tile, float("-inf"))
    tl.store(by_row + across.to(tl.int64) * height + rows, tl.max(tile, axis=1))
    tl.store(by_column + down.to(tl.int64) * width + columns, tl.max(tile, axis=0))


def _pair_dots(
    left: "Any",
    left_rows: "Any",
    right: "Any",
    right_rows: "Any",
    dots: "Any",
    d: "Any",
    chunk: constexpr,
) -> None:
    pair = tl.program_id(0)
    own = left + tl.load(left_rows + pair) * d
    other = right + tl.load(right_rows + pair) * d
    total = tl.zeros([chunk], dtype=tl.float64)
    for start in range(0, d, chunk):
        at = start + tl.arange(0, chunk)
        x = tl.load(own + at, mask=at < d, other=0.0).to(tl.float32)
        y = tl.load(other + at, mask=at < d, other=0.0).to(tl.float32)
        total += (x * y).to(tl.float64)  # 22 bits: exact
    tl.store(dots + pair, tl.sum(total, axis=0))


tile_maxima_kernel = triton.jit(_tile_maxima)
pair_dots_kernel = triton.jit(_pair_dots)


def tile_maxima(
    scores: Tensor, row_scales: Tensor, column_scales: Tensor, by_row: Tensor, by_column: Tensor
) -> None:
    """See `Kernels`; all tensors are contiguous."""
    height, width = scores.shape
    tile_maxima_kernel[(width // ROW_TILE, height // COLUMN_TILE)](
        scores,
        row_scales,
        column_scales,
        by_row,
        by_column,
        height,
        width,
        COLUMN_TILE,
        ROW_TILE,
    )


def pair_dots(left: Tensor, left_rows: Tensor, right: Tensor, right_rows: Tensor) -> Tensor:
    """See `Kernels`; all tensors are contiguous, rows are int64."""
    dots = torch.empty(len(left_rows), dtype=torch.float64, device=left.device)
    if len(dots):
        chunk = min(_CHUNK_ELEMENTS, triton.next_power_of_2(left.shape[1]))
        pair_dots_kernel[(len(dots),)](
            left, left_rows, right, right_rows, dots, left.shape[1], chunk
        )
    return dots


COMPILED = Kernels(tile_maxima, pair_dots)
