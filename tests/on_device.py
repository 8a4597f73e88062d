"""Sides and searches on a device, here the CPU."""

from collections.abc import Callable

import numpy as np
import torch
from brute_force import assert_same, brute_force, scattered_numbers

from bitextmine.arrays import Stored
from bitextmine.search.exact.proof import unpack_neighbours
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.gpu.device_rows import DeviceRows, Scales
from bitextmine.search.gpu.device_search import search_on_device
from bitextmine.search.gpu.sizes import Sizes
from bitextmine.search.neighbours import Neighbours

SMALLEST = Sizes(128, 128, 128)
MANY = Sizes(384, 128, 256)
CPU = torch.device("cpu")


def search(
    src: Stored,
    tgt: Stored,
    k: int,
    sizes: Sizes | None = MANY,
    progress: Callable[[int], object] = lambda n_pairs: None,
) -> tuple[Neighbours, Neighbours]:
    src_numbers, tgt_numbers = scattered_numbers(src, tgt)
    sides = (
        SearchSide.arrange(src, src_numbers, name="src"),
        SearchSide.arrange(tgt, tgt_numbers, name="tgt"),
    )
    fwd, bwd = search_on_device(*sides, k, "cpu", sizes=sizes, progress=progress)
    return unpack_neighbours(fwd, *sides), unpack_neighbours(bwd, *sides[::-1])


def assert_brute_force(src: Stored, tgt: Stored, k: int, sizes: Sizes | None = MANY) -> None:
    """Compare both ways with brute force."""
    src_numbers, tgt_numbers = scattered_numbers(src, tgt)
    fwd, bwd = search(src, tgt, k, sizes)
    assert_same(fwd, brute_force(src, tgt, tgt_numbers, k))
    assert_same(bwd, brute_force(tgt, src, src_numbers, k))


def side_of(vectors: Stored) -> SearchSide:
    """Measure vectors whose numbers are their rows."""
    return SearchSide.prepare(vectors, np.arange(len(vectors)), name="side")


def brought(side: SearchSide, start: int = 0, stop: int | None = None, *, k: int = 1) -> DeviceRows:
    """Bring a run of positions to the device, with garbage in the rows beyond."""
    stop = len(side) if stop is None else stop
    n, d = stop - start, side.vectors.shape[1]
    rows = DeviceRows.allocate(n, d, CPU)
    rows.vectors[n:, :d] = torch.nan
    rows.vectors[:n, :d] = torch.from_numpy(side.rows(start, stop))
    rows.lengths[:n] = torch.from_numpy(side.lengths[start:stop])
    rows.scales.copy_(torch.from_numpy(Scales(side, k).run(start, stop)))
    return rows.part(0, n, start)
