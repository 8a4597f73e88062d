"""Blocks of similarities on a device nominate the nearest of their rows and columns."""

import numpy as np
import pytest
import torch
from brute_force import brute_force, clustered
from on_device import CPU, brought, side_of

from bitextmine.arrays import Halfs, Stored
from bitextmine.search.exact.precision import device_error
from bitextmine.search.exact.shortlists import pack
from bitextmine.search.gpu import block as device_block
from bitextmine.search.gpu.block import BlockPair, DeviceBlock, multiply
from bitextmine.search.gpu.device_lists import DeviceLists
from bitextmine.search.gpu.device_rows import CosineScorer, DeviceRows
from bitextmine.search.gpu.kernels import PLAIN

D = 16


def halves(n: int, seed: int) -> Halfs:
    """Vectors with some zero, some equal and some opposite ones."""
    vectors = clustered(n, 1, D, seed)[0]
    vectors[5::40], vectors[7::30], vectors[8::30] = 0, vectors[0], -vectors[0]
    return vectors


def assert_nearest(
    block: DeviceBlock, src: Stored, tgt: Stored, rows: DeviceRows, columns: DeviceRows, k: int
) -> None:
    """Search a block that is filled, and compare both ways with brute force."""
    of_rows, of_columns = (DeviceLists(each.scales, k, device_error(D)) for each in (rows, columns))
    block.nominate(of_rows, of_columns, rows)
    of_columns.rank(CosineScorer(columns, rows, PLAIN))
    for found, own, other in ((of_rows, src, tgt), (of_columns, tgt, src)):
        best = brute_force(own, other, np.arange(len(other)), k)
        has_direction = own.any(axis=1)  # the others get their lists in the end, from `Found`
        np.testing.assert_array_equal(
            found.best(len(own))[has_direction], pack(best.cosines, best.numbers)[has_direction]
        )


@pytest.mark.parametrize("piece", [128, 1 << 24])
@pytest.mark.parametrize("k", [1, 3, 60])
@pytest.mark.parametrize(("n", "m"), [(130, 300), (256, 70), (60, 128)])
def test_a_block_finds_the_nearest_of_its_rows_and_columns(
    n: int, m: int, k: int, piece: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device_block, "_PIECE_SCORES", piece)
    monkeypatch.setattr(device_block, "_LEAST_PIECE_SCORES", 128)
    src, tgt = halves(n, 1), halves(m, 2)
    rows, columns = brought(side_of(src), k=k), brought(side_of(tgt), k=k)
    block = DeviceBlock(256, 384, PLAIN, CPU)
    block.fill(rows, columns)
    assert_nearest(block, src, tgt, rows, columns, k)


def test_a_buffer_serves_smaller_blocks_after_larger_ones() -> None:
    block = DeviceBlock(256, 384, PLAIN, CPU)
    for n, m in ((256, 384), (100, 200), (200, 50)):
        src, tgt = halves(n, n), halves(m, m)
        rows, columns = brought(side_of(src), k=2), brought(side_of(tgt), k=2)
        block.fill(rows, columns)
        assert_nearest(block, src, tgt, rows, columns, 2)


def test_one_block_is_searched_while_the_other_is_computed() -> None:
    pair = BlockPair(128, 256, PLAIN, CPU)
    sides = [(halves(90, n), halves(200, n + 1)) for n in range(3)]
    brought_sides = [(brought(side_of(src), k=3), brought(side_of(tgt), k=3)) for src, tgt in sides]
    before = pair.compute(*brought_sides[0])
    for number in (1, 2):
        after = pair.compute(*brought_sides[number])
        assert_nearest(before, *sides[number - 1], *brought_sides[number - 1], 3)
        before = after
    assert_nearest(before, *sides[2], *brought_sides[2], 3)


def test_products_are_summed_in_float32() -> None:
    rows, columns = torch.tensor([[2048.0, 1.0]]).half(), torch.tensor([[1.0, 1.0]]).half()
    out = torch.empty(1, 1)
    multiply(rows, columns, out)
    assert out.item() == 2049  # which float16 cannot hold
