"""Which kernels a device gets: those of Triton where they work, else those of plain torch.

A module of its own, because both kinds of kernels build on `kernels`, and only here one is
chosen; `triton_kernels` is imported late, since it needs a Triton.
"""

import logging
from importlib.util import find_spec

import torch
from torch import Tensor

from bitextmine.search.gpu.kernels import COLUMN_TILE, PLAIN, ROW_TILE, Kernels

LOG = logging.getLogger(__name__)


def choose_kernels(device: torch.device) -> Kernels:
    """Take Triton's where there is a Triton that works on the device."""
    if device.type == "cuda" and find_spec("triton"):
        try:
            from bitextmine.search.gpu.triton_kernels import COMPILED

            _check_kernels(COMPILED, device)
            return COMPILED
        except Exception as error:  # for want of a C compiler, or a driver or GPU that it knows
            cause = (str(error).splitlines() or [type(error).__name__])[0]
            LOG.warning("no Triton on %s, so the search is slower: %s", device, cause)
    return PLAIN


def _check_kernels(kernels: Kernels, device: torch.device) -> None:
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
