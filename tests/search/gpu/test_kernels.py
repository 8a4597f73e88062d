"""The inner loops of plain torch do what the search means by them."""

import numpy as np
import pytest
import torch

from bitextmine.search.gpu import kernels
from bitextmine.search.gpu.kernels import COLUMN_TILE, PLAIN, ROW_TILE


@pytest.mark.parametrize("slab_rows", [COLUMN_TILE, kernels._SLAB_ROWS])
def test_maxima_are_those_of_tiles_without_what_must_not_be_found(
    slab_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernels, "_SLAB_ROWS", slab_rows)
    height, width = 3 * COLUMN_TILE, 2 * ROW_TILE
    draw = np.random.default_rng(0)
    scores = draw.standard_normal((height, width), np.float32)
    of_rows, of_columns = draw.random(height, np.float32), draw.random(width, np.float32)
    of_rows[:COLUMN_TILE], of_columns[::5] = -1, -1
    similarities = scores * of_rows[:, None] * of_columns
    similarities[of_rows < 0], similarities[:, of_columns < 0] = -np.inf, -np.inf
    by_row, by_column = torch.empty(2, height), torch.empty(3, width)
    block, row_scales, column_scales = map(torch.from_numpy, (scores, of_rows, of_columns))
    PLAIN.tile_maxima(block, row_scales, column_scales, by_row, by_column)
    tiles = similarities.reshape(3, COLUMN_TILE, 2, ROW_TILE)
    np.testing.assert_array_equal(by_row.numpy(), tiles.max(3).reshape(height, 2).T)
    np.testing.assert_array_equal(by_column.numpy(), tiles.max(1).reshape(3, width))


@pytest.mark.parametrize("gathered", [1, 100, kernels._GATHERED_ELEMENTS])
def test_dots_of_pairs_are_exact(gathered: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_GATHERED_ELEMENTS", gathered)
    draw = np.random.default_rng(0)
    left, right = (draw.standard_normal((n, 24)).astype(np.float16) / 8 for n in (5, 7))
    rows, others = draw.integers(5, size=20), draw.integers(7, size=20)
    dots = PLAIN.pair_dots(*map(torch.from_numpy, (left, rows, right, others)))
    expected = (left[rows].astype(np.float64) * right[others].astype(np.float64)).sum(1)
    np.testing.assert_array_equal(dots.numpy(), expected)
