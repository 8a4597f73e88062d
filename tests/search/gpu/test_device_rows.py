"""Rows are measured on a device as on the CPU, to the bit, and know what must not be found."""

from typing import Any

import numpy as np
import pytest
import torch
from brute_force import clustered

from bitextmine.arrays import Floats
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.gpu import kernels
from bitextmine.search.gpu.device_rows import DeviceRows, Scales
from bitextmine.search.gpu.kernels import PLAIN


def scales_of(side: SearchSide, k: int, step: int) -> Floats:
    scales = Scales(side, k)
    return np.concatenate([scales.run(*run)[: run[1] - run[0]] for run in side.blocks(step)])


@pytest.mark.parametrize("dtype", [np.float16, np.int8])
def test_lengths_have_the_bits_of_the_cpu(dtype: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "_GATHERED_ELEMENTS", 1000)
    vectors = clustered(300, 1, 37)[0]
    stored = vectors if dtype == np.float16 else (vectors * 300).astype(np.int8)
    stored[7] = 0
    side = SearchSide.prepare(stored, np.arange(300), name="src")
    into = DeviceRows.allocate(300, 37, torch.device("cpu"))
    into.vectors[:300, :37] = torch.from_numpy(stored)
    measured = into.measured(PLAIN).numpy()
    assert measured[7] == 0
    measured[7] = np.inf
    assert measured.tobytes() == side.lengths.tobytes()


@pytest.mark.parametrize("step", [1, 7, 100])
def test_zero_vectors_after_k_others_are_left_out_however_they_are_asked_for(step: int) -> None:
    vectors = clustered(100, 1, 8)[0]
    zeros = np.array([3, 20, 21, 50, 99])
    vectors[zeros] = 0
    side = SearchSide.prepare(vectors, np.arange(100), name="src")
    scales = scales_of(side, 2, step)
    assert scales[zeros].tolist() == [0, 0, -1, -1, -1]
    assert (np.delete(scales, zeros) > 0).all()


def test_scales_may_be_asked_for_while_the_rest_is_not_measured() -> None:
    vectors = clustered(40, 1, 8)[0]
    vectors[::4] = 0
    side = SearchSide.arrange(vectors, np.arange(40), name="src")
    lengths, scales = (
        SearchSide.prepare(vectors, np.arange(40), name="src").lengths,
        Scales(side, 3),
    )
    found = []
    for start, stop in side.blocks(10):
        side.set_lengths(start, np.where(np.isinf(lengths), 0, lengths)[start:stop])
        found.append(scales.run(start, stop)[:10])
    again = [scales.run(*run)[:10] for run in side.blocks(10)]
    resumed = Scales(side, 3).run(30, 40)[:10]
    assert (np.concatenate(found) == 0).sum() == 3
    np.testing.assert_array_equal(found, again)
    np.testing.assert_array_equal(found[3], resumed)
