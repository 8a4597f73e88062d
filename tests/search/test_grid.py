"""Cutting a search into blocks: every pair once, within the memory."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitextmine.errors import UsageError
from bitextmine.machine import parse_memory
from bitextmine.search.grid import (
    CPU_ROWS,
    Cut,
    as_dict,
    as_grid,
    block_bytes,
    plan_grid,
)

GIB = 1 << 30
shards = st.lists(st.integers(1, 400_000), min_size=1, max_size=6)


@given(shards, shards, st.integers(1, 64), st.sampled_from([16, 512, 4096]), st.booleans())
def test_a_grid_has_every_row_once_and_its_blocks_fit(
    src: list[int], tgt: list[int], k: int, dim: int, on_gpu: bool
) -> None:
    memory = 2 * GIB
    grid = plan_grid(src, tgt, dim=dim, k=k, block_memory=memory, on_gpu=on_gpu)
    assert block_bytes(*grid.largest_block(), dim=dim, k=k) <= memory
    for cut, sizes in ((grid.src, src), (grid.tgt, tgt)):
        seen = [np.zeros(size, int) for size in sizes]
        for panel in range(len(cut)):
            pieces = cut.pieces(panel)
            assert sum(rows.stop - rows.start for _, rows in pieces) == cut.rows(panel) > 0
            for shard, rows in pieces:
                seen[shard][rows] += 1
        assert all((rows == 1).all() for rows in seen)


def test_a_panel_may_be_part_of_a_shard_or_of_several() -> None:
    cut = Cut(shards=(5, 2, 6), bounds=(0, 4, 9, 13))
    assert cut.pieces(0) == [(0, slice(0, 4))]
    assert cut.pieces(1) == [(0, slice(4, 5)), (1, slice(0, 2)), (2, slice(0, 2))]
    assert cut.pieces(2) == [(2, slice(2, 6))]
    assert cut.longest() == 5


def test_panels_are_nearly_as_long_as_each_other() -> None:
    grid = plan_grid([CPU_ROWS + 1], [10], dim=16, k=4, block_memory=8 * GIB, on_gpu=False)
    assert [grid.src.rows(panel) for panel in range(len(grid.src))] == [125_000, 125_001]
    assert len(grid.tgt) == 1


def test_less_memory_means_smaller_blocks_and_none_at_all_is_an_error() -> None:
    sizes = {
        memory: plan_grid(
            [250_000], [250_000], dim=16, k=4, block_memory=parse_memory(memory), on_gpu=False
        ).src.longest()
        for memory in ("1G", "400M", "250M", "200M")
    }
    assert sorted(sizes.values(), reverse=True) == list(sizes.values())
    assert sizes["200M"] < sizes["400M"] < sizes["1G"] == 250_000
    with pytest.raises(UsageError, match="--memory leaves 100M for the search") as told:
        plan_grid([10_000], [10_000], dim=16, k=4, block_memory=100 << 20, on_gpu=False)
    assert "give --memory" in told.value.hint


def test_a_grid_has_blocks_for_all_devices_unless_they_would_be_small() -> None:
    for n_devices in (1, 4):
        grid = plan_grid(
            [3_000_000],
            [3_000_000],
            dim=1024,
            k=4,
            block_memory=64 * GIB // n_devices,
            parallel=n_devices,
            sharing=n_devices,
            on_gpu=True,
        )
        assert len(grid.src) * len(grid.tgt) >= (1, 0, 0, 0, 12)[n_devices]
    small = plan_grid([9000], [9000], dim=64, k=4, block_memory=2 * GIB, parallel=4, on_gpu=True)
    assert (len(small.src), len(small.tgt)) == (1, 1)


def test_a_grid_is_kept_as_json() -> None:
    grid = plan_grid([600_000, 10], [7], dim=16, k=4, block_memory=GIB, on_gpu=False)
    assert as_grid(as_dict(grid)) == grid
