"""Similarities of the fast products lie within the bound that is proven for them."""

import numpy as np
import pytest
import torch
from brute_force import brute_force, clustered

from bitextmine.search.exact.precision import GemmName, choose_dtype, measure_precision
from bitextmine.search.exact.side import SearchSide


@pytest.mark.parametrize("gemm", ["float32", "bfloat16"])
@pytest.mark.parametrize("d", [3, 64, 512, 1024])
def test_products_stay_within_the_proven_error(d: int, gemm: GemmName) -> None:
    src, tgt = clustered(200, 300, d)
    sides = (
        SearchSide.prepare(src, np.arange(200), name="s"),
        SearchSide.prepare(tgt, np.arange(300), name="t"),
    )
    precision = measure_precision(choose_dtype(gemm), *sides)
    factors = [side.unit_rows(0, len(side)).to(precision.dtype) for side in sides]
    found = torch.mm(factors[0], factors[1].t()).float().numpy()
    cosines = brute_force(src, tgt, np.arange(300), 300)
    found = np.take_along_axis(found, cosines.numbers, 1)
    assert np.all(np.abs(found - cosines.cosines) <= precision.errors(found))
