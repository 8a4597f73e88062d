"""The search on a device must answer as brute force does, bit for bit, however it is cut.

Here the device is the CPU; tests/gpu runs the same on a GPU.
"""

import threading
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from brute_force import (
    Corpora,
    assert_same,
    brute_force,
    clustered,
    coarse,
    scattered_numbers,
    unit,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from on_device import MANY, SMALLEST, assert_brute_force, search

from bitextmine.arrays import Stored
from bitextmine.errors import EncoderError, UsageError
from bitextmine.search.exact.proof import unpack_neighbours
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.exact.two_way import two_way_neighbours
from bitextmine.search.gpu.device_rows import DeviceRows
from bitextmine.search.gpu.device_search import search_on_device
from bitextmine.search.gpu.kernels import PLAIN
from bitextmine.search.gpu.sizes import Sizes


@pytest.mark.parametrize("sizes", [None, SMALLEST, MANY])
@pytest.mark.parametrize(
    ("n", "m", "d", "k"),
    [(301, 517, 37, 4), (64, 160, 128, 16), (1, 700, 5, 1), (97, 3, 64, 4), (10, 150, 16, 200)],
)
def test_equals_brute_force_for_any_shape(
    n: int, m: int, d: int, k: int, sizes: Sizes | None
) -> None:
    assert_brute_force(*clustered(n, m, d), k, sizes)


@settings(deadline=None, max_examples=40)
@given(
    shape=st.tuples(st.integers(1, 300), st.integers(1, 300), st.integers(1, 24)),
    k=st.integers(1, 70),
    tiles=st.tuples(st.integers(1, 3), st.integers(1, 2), st.integers(1, 3)),
    grain=st.sampled_from([1, 2, 8, 1000]),
)
def test_resident_rows_and_blocks_change_nothing(
    shape: tuple[int, int, int], k: int, tiles: tuple[int, int, int], grain: int
) -> None:
    resident, rows, columns = tiles
    sizes = Sizes(128 * resident * rows, 128 * rows, 128 * columns)
    assert_brute_force(*coarse(*shape, grain), k, sizes)


def test_equals_the_search_on_the_cpu() -> None:
    src, tgt = clustered(1500, 2100, 64)
    src_numbers, tgt_numbers = scattered_numbers(src, tgt)
    expected = two_way_neighbours(src, tgt, k=16, src_numbers=src_numbers, tgt_numbers=tgt_numbers)
    for found, wanted in zip(search(src, tgt, 16, None), expected, strict=True):
        assert_same(found, wanted)


def test_int8_rows_of_any_length_are_searched_exactly() -> None:
    rng = np.random.default_rng(0)
    src, tgt = (rng.integers(-128, 128, size=(n, 48)).astype(np.int8) for n in (300, 400))
    src[5] = tgt[9] = 0
    assert_brute_force(src, tgt, 4)
    assert_brute_force(src, clustered(1, 400, 48)[1], 4)  # the other side in float16


def test_identical_vectors_rank_by_number() -> None:
    src, tgt = clustered(400, 500, 32)
    src[50:300] = src[0]
    tgt[100:450] = src[0]
    assert_brute_force(src, tgt, 4)


def test_nearly_identical_vectors_are_told_apart() -> None:
    rng = np.random.default_rng(0)
    src, tgt = clustered(200, 600, 32)
    tgt[:500] = tgt[0]
    cells = np.arange(500), rng.integers(32, size=500)
    tgt[cells] = np.nextafter(tgt[cells], np.float16(2))
    assert_brute_force(src, tgt, 4)


def test_cosines_that_round_to_the_same_float_rank_by_number() -> None:
    src, tgt = clustered(40, 600, 512)
    tgt[:, :] = tgt[0]
    tgt[np.arange(600), np.arange(600) % 512] += np.float16(2**-24)  # its smallest step
    assert_brute_force(src, tgt, 8)


@pytest.mark.parametrize("k", [1, 40])
def test_zero_vectors_have_cosine_zero_with_everything(k: int) -> None:
    src, tgt = clustered(300, 400, 24)
    src[::3] = 0
    tgt[::2] = 0
    assert_brute_force(src, tgt, k)
    assert_brute_force(np.abs(src), -np.abs(tgt), k)
    assert_brute_force(np.zeros_like(src), tgt, k)


def test_lengths_other_than_one_do_not_matter() -> None:
    src, tgt = clustered(200, 300, 24)
    tgt = (tgt * np.geomspace(1e-4, 1.9, 300)[:, None]).astype(np.float16)
    assert_brute_force(src, tgt, 5)


def test_garbage_beyond_the_rows_is_never_found(monkeypatch: pytest.MonkeyPatch) -> None:
    allocate = DeviceRows.allocate

    def filled(n: int, d: int, device: torch.device) -> DeviceRows:
        rows = allocate(n, d, device)
        rows.vectors[:, :d] = torch.nan
        return rows

    monkeypatch.setattr(DeviceRows, "allocate", filled)
    assert_brute_force(*clustered(130, 259, 13), 4, SMALLEST)


@pytest.mark.parametrize(("n", "m"), [(600, 200), (200, 600)])
def test_the_smaller_side_stays_if_the_larger_does_not_fit(n: int, m: int) -> None:
    n_pairs: list[int] = []
    src, tgt = clustered(n, m, 8)
    search(src, tgt, 2, Sizes(256, 128, 128), n_pairs.append)
    assert n_pairs[:2] == [128 * 128, 72 * 128]  # blocks of the 200 that stay


def failing_above(limit: int) -> Callable[..., None]:
    """A kernel for which blocks of more than so many similarities are too large."""

    def tile_maxima(scores: torch.Tensor, *others: torch.Tensor) -> None:
        if scores.numel() > limit:
            raise torch.OutOfMemoryError("no")
        PLAIN.tile_maxima(scores, *others)

    return tile_maxima


def test_too_little_memory_means_smaller_blocks(caplog: pytest.LogCaptureFixture) -> None:
    src, tgt = clustered(700, 900, 16)
    numbers = np.arange(700), np.arange(900)
    sides = [
        SearchSide.prepare(rows, some, name="")
        for rows, some in zip((src, tgt), numbers, strict=True)
    ]
    kernels = replace(PLAIN, tile_maxima=failing_above(256 * 256))
    n_pairs: list[int] = []
    fwd, bwd = search_on_device(
        sides[0],
        sides[1],
        4,
        "cpu",
        sizes=Sizes(1024, 512, 512),
        kernels=kernels,
        progress=n_pairs.append,
    )
    assert_same(unpack_neighbours(fwd, sides[0], sides[1]), brute_force(src, tgt, numbers[1], 4))
    assert_same(unpack_neighbours(bwd, sides[1], sides[0]), brute_force(tgt, src, numbers[0], 4))
    assert sum(n_pairs) == 700 * 900
    assert "cpu ran out of memory" in caplog.text


class Faltering:
    """A kernel for which memory runs out now and then: in these calls, counted from 0."""

    def __init__(self, *calls: int) -> None:
        self.calls, self.n_calls = calls, 0

    def __call__(self, *tensors: torch.Tensor) -> None:
        self.n_calls += 1
        if self.n_calls - 1 in self.calls:
            raise RuntimeError("CUBLAS_STATUS_ALLOC_FAILED when calling something")
        PLAIN.tile_maxima(*tensors)


@settings(deadline=None, max_examples=10)
@given(calls=st.sets(st.integers(0, 12), max_size=2), grain=st.sampled_from([1, 3, 1000]))
def test_only_the_resident_rows_in_hand_start_over_when_memory_runs_out(
    calls: set[int], grain: int
) -> None:
    src, tgt = coarse(800, 800, 6, grain)
    src[::90] = tgt[::80] = 0
    numbers = np.arange(800), np.arange(800)
    sides = [
        SearchSide.arrange(rows, some, name="")
        for rows, some in zip((src, tgt), numbers, strict=True)
    ]
    kernel, n_pairs = Faltering(*calls), [0]
    fwd, bwd = search_on_device(
        sides[0],
        sides[1],
        4,
        "cpu",
        sizes=Sizes(512, 512, 512),
        kernels=replace(PLAIN, tile_maxima=kernel),
        progress=n_pairs.append,
    )
    assert_same(unpack_neighbours(fwd, *sides), brute_force(src, tgt, numbers[1], 4))
    assert_same(unpack_neighbours(bwd, *sides[::-1]), brute_force(tgt, src, numbers[0], 4))
    assert sum(n_pairs) == 800 * 800
    kept = np.cumsum(n_pairs)[np.flatnonzero(np.array(n_pairs) < 0)]  # after each lack of memory
    assert (kept % 800 == 0).all()
    assert (np.diff(kept) >= 0).all()


def test_an_error_that_is_not_for_want_of_memory_is_no_reason_to_try_again() -> None:
    def fail(*tensors: torch.Tensor) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    sides = [SearchSide.arrange(rows, np.arange(9), name="") for rows in clustered(9, 9, 16)]
    with pytest.raises(RuntimeError, match="illegal memory access"):
        search_on_device(
            sides[0], sides[1], 4, "cpu", sizes=MANY, kernels=replace(PLAIN, tile_maxima=fail)
        )


@pytest.mark.parametrize("value", [np.nan, np.inf, 3.0])
def test_a_vector_that_cannot_be_used_is_refused_when_it_is_read(value: float) -> None:
    src, tgt = clustered(300, 700, 16)
    tgt[600, 3] = value
    n_pairs: list[int] = []
    with pytest.raises(EncoderError, match=r"tgt sentence \d+ has a vector of length") as caught:
        search(src, tgt, 4, SMALLEST, n_pairs.append)
    assert sum(n_pairs) < 300 * 700
    assert "encode again" in caught.value.hint
    assert str(scattered_numbers(src, tgt)[1][600]) in str(caught.value)


def test_no_memory_at_all_is_told_in_two_lines() -> None:
    src, tgt = clustered(300, 300, 16)
    sides = [SearchSide.prepare(rows, np.arange(300), name="") for rows in (src, tgt)]
    kernels = replace(PLAIN, tile_maxima=failing_above(0))
    with pytest.raises(UsageError, match="cpu has not enough free memory") as caught:
        search_on_device(sides[0], sides[1], 4, "cpu", sizes=MANY, kernels=kernels)
    assert "--devices cpu" in caught.value.hint


def test_an_error_in_reading_or_in_progress_reaches_the_caller_and_ends_the_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(n_pairs: int) -> None:
        raise KeyboardInterrupt

    corpora: Corpora = clustered(700, 900, 16)
    with pytest.raises(KeyboardInterrupt):
        search(*corpora, 4, SMALLEST, interrupt)

    def fail(side: SearchSide, start: int, stop: int, out: Stored | None = None) -> Stored:
        if start >= 512:
            raise OSError("the disk is gone")
        return unit(np.ones((stop - start, 16)))

    src, tgt = (SearchSide.prepare(rows, np.arange(len(rows)), name="") for rows in corpora)
    monkeypatch.setattr(SearchSide, "rows", fail)
    with pytest.raises(OSError, match="the disk is gone"):
        search_on_device(src, tgt, 4, "cpu", sizes=SMALLEST)
    assert "bitextmine feed" not in [thread.name for thread in threading.enumerate()]
