"""On a real GPU: the pairs of brute force to the bit, within the proven error, twice the same."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from brute_force import (
    assert_same,
    brute_force,
    clustered,
    coarse,
    scattered_numbers,
)

from bitextmine.arrays import Halfs, Stored
from bitextmine.errors import EncoderError, UsageError
from bitextmine.search.exact.precision import device_error
from bitextmine.search.exact.proof import unpack_neighbours
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.exact.two_way import two_way_neighbours
from bitextmine.search.gpu import feed
from bitextmine.search.gpu.block import multiply
from bitextmine.search.gpu.device_rows import DeviceRows
from bitextmine.search.gpu.device_search import search_on_device
from bitextmine.search.gpu.kernel_choice import choose_kernels
from bitextmine.search.gpu.kernels import COLUMN_TILE, PLAIN, ROW_TILE, Kernels
from bitextmine.search.gpu.sizes import Sizes
from bitextmine.search.neighbours import Neighbours
from bitextmine.search.rows import Rows

GPU = "cuda:0"
MIB = 1 << 20
MANY = Sizes(384, 128, 256)

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]


def search(
    src: Stored, tgt: Stored, k: int, sizes: Sizes | None = None, kernels: Kernels | None = None
) -> tuple[Neighbours, Neighbours]:
    src_numbers, tgt_numbers = scattered_numbers(src, tgt)
    sides = (
        SearchSide.arrange(src, src_numbers, name="src"),
        SearchSide.arrange(tgt, tgt_numbers, name="tgt"),
    )
    fwd, bwd = search_on_device(*sides, k, GPU, sizes=sizes, kernels=kernels, threads=4)
    return unpack_neighbours(fwd, *sides), unpack_neighbours(bwd, *sides[::-1])


def assert_brute_force(src: Stored, tgt: Stored, k: int, sizes: Sizes | None = None) -> None:
    src_numbers, tgt_numbers = scattered_numbers(src, tgt)
    fwd, bwd = search(src, tgt, k, sizes)
    assert_same(fwd, brute_force(src, tgt, tgt_numbers, k))
    assert_same(bwd, brute_force(tgt, src, src_numbers, k))


@pytest.mark.parametrize("sizes", [None, MANY])
@pytest.mark.parametrize(
    ("n", "m", "d", "k"),
    [(301, 517, 37, 4), (64, 160, 128, 16), (1, 700, 5, 1), (97, 3, 64, 4), (2000, 3001, 512, 64)],
)
def test_equals_brute_force_for_any_shape(
    n: int, m: int, d: int, k: int, sizes: Sizes | None
) -> None:
    assert_brute_force(*clustered(n, m, d), k, sizes)


@pytest.mark.parametrize("grain", [1, 2, 8])
def test_ties_rank_by_number(grain: int) -> None:
    assert_brute_force(*coarse(700, 900, 12, grain), 8, MANY)


def test_duplicates_zeros_and_negative_cosines_rank_like_others() -> None:
    src, tgt = clustered(400, 500, 32)
    src[50:300:2], tgt[100:450:3] = src[0], src[0]
    src[::7], tgt[::5] = 0, 0
    assert_brute_force(src, tgt, 4, MANY)
    assert_brute_force(np.abs(src), -np.abs(tgt), 4, MANY)


def test_int8_rows_are_searched_exactly() -> None:
    rng = np.random.default_rng(0)
    src, tgt = (rng.integers(-128, 128, size=(n, 50)).astype(np.int8) for n in (1300, 1400))
    assert_brute_force(src, tgt, 4, MANY)
    assert_brute_force(src, clustered(1, 400, 50)[1], 4, MANY)


def large(n: int, d: int, seed: int) -> Halfs:
    """Unit vectors around topics, made on the GPU."""
    generator = torch.Generator(GPU).manual_seed(seed)
    topics = torch.randn(200, d, device=GPU, generator=torch.Generator(GPU).manual_seed(0))
    rows = topics[torch.randint(200, (n,), device=GPU, generator=generator)]
    rows = rows + torch.randn(n, d, device=GPU, generator=generator)
    unit: Halfs = torch.nn.functional.normalize(rows, dim=1).half().cpu().numpy()
    return unit


@pytest.mark.parametrize("d", [48, 50])
@pytest.mark.parametrize("dtype", [np.float16, np.int8])
def test_rows_pass_through_small_buffers_unharmed(
    d: int, dtype: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed, "_PINNED_BYTES", 1 << 13)
    monkeypatch.setattr(feed, "_READ_BYTES", 1 << 10)
    src, tgt = clustered(700, 900, d)
    if dtype == np.int8:
        src, tgt = (np.round(200 * rows).clip(-128, 127).astype(dtype) for rows in (src, tgt))
    numbers = np.arange(700), np.arange(900)
    parts = Rows(np.split(src, [7, 300])), Rows(np.split(tgt, [800]))
    fwd, bwd = two_way_neighbours(
        *parts, k=4, src_numbers=numbers[0], tgt_numbers=numbers[1], device=GPU
    )
    assert_same(fwd, brute_force(src, tgt, numbers[1], 4))
    assert_same(bwd, brute_force(tgt, src, numbers[0], 4))


@pytest.mark.parametrize("lagging", ["copies", "products", "search"])
def test_whatever_lags_behind_the_rest_waits_for_it(
    lagging: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    kernels, measured = choose_kernels(torch.device(GPU)), DeviceRows.measured

    def after_a_pause(compute: Callable[..., Any], *arguments: Any) -> Any:
        sleep: Callable[[int], None] = torch.cuda._sleep
        sleep(10_000_000)  # cycles: some milliseconds, of the current stream alone
        return compute(*arguments)

    if lagging == "copies":
        monkeypatch.setattr(DeviceRows, "measured", lambda *a: after_a_pause(measured, *a))
    elif lagging == "products":
        kernels = replace(kernels, tile_maxima=partial(after_a_pause, kernels.tile_maxima))
    else:
        kernels = replace(kernels, pair_dots=partial(after_a_pause, kernels.pair_dots))
    src, tgt = clustered(1500, 2000, 64)
    src_numbers, tgt_numbers = scattered_numbers(src, tgt)
    fwd, bwd = search(src, tgt, 4, Sizes(512, 256, 512), kernels)
    assert_same(fwd, brute_force(src, tgt, tgt_numbers, 4))
    assert_same(bwd, brute_force(tgt, src, src_numbers, 4))


@pytest.mark.parametrize("dtype", [np.float16, np.int8])
def test_vectors_have_the_length_that_the_cpu_measures(dtype: Any) -> None:
    src, tgt = clustered(900, 1100, 333)
    src[::50] = 0
    if dtype == np.int8:
        src, tgt = (np.round(200 * rows).clip(-128, 127).astype(dtype) for rows in (src, tgt))
    sides = [SearchSide.arrange(rows, np.arange(len(rows)), name="") for rows in (src, tgt)]
    search_on_device(sides[0], sides[1], 4, GPU)
    for side in sides:
        expected = SearchSide.prepare(side.vectors, side.numbers, name="").lengths
        assert side.lengths.tobytes() == expected.tobytes()


@pytest.mark.parametrize("value", [np.nan, np.inf, 3.0])
def test_a_vector_that_cannot_be_used_is_refused(value: float) -> None:
    src, tgt = clustered(700, 900, 64)
    tgt[600, 3] = value
    with pytest.raises(EncoderError, match=r"tgt sentence \d+ has a vector of length"):
        search(src, tgt, 4, MANY)
    assert_brute_force(src, clustered(700, 900, 64)[1], 4, MANY)  # and the GPU still works


@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="there is one GPU")
def test_every_gpu_gives_the_same() -> None:
    src, tgt = clustered(1500, 2000, 64)
    src_numbers, tgt_numbers = scattered_numbers(src, tgt)
    last = f"cuda:{torch.cuda.device_count() - 1}"
    found = two_way_neighbours(
        src, tgt, k=4, src_numbers=src_numbers, tgt_numbers=tgt_numbers, device=last
    )
    for one, other in zip(found, search(src, tgt, 4), strict=True):
        assert_same(one, other)
    assert torch.cuda.current_device() == 0


def test_equals_the_search_on_the_cpu_where_several_blocks_are_under_way() -> None:
    src, tgt = large(20_000, 256, 1), large(30_000, 256, 2)
    src_numbers, tgt_numbers = scattered_numbers(src, tgt)
    expected = two_way_neighbours(src, tgt, k=16, src_numbers=src_numbers, tgt_numbers=tgt_numbers)
    for sizes in (None, Sizes(8192, 1024, 2048)):
        for found, wanted in zip(search(src, tgt, 16, sizes), expected, strict=True):
            assert_same(found, wanted)


def test_two_runs_and_both_kinds_of_kernels_give_the_same() -> None:
    src, tgt = large(20_000, 1024, 1), large(20_000, 1024, 2)
    once = search(src, tgt, 4)
    for again in (search(src, tgt, 4), search(src, tgt, 4, Sizes(9216, 3072, 4096), PLAIN)):
        for one, other in zip(once, again, strict=True):
            assert_same(one, other)


@pytest.mark.parametrize("d", [64, 512, 1024, 4096])
def test_products_stay_within_the_proven_error(d: int) -> None:
    for sign in (1, -1):
        src = np.abs(large(256, d, 1))  # of one sign: sums as large as they can be
        tgt = (sign * np.abs(large(512, d, 2))).astype(np.float16)
        scores = torch.empty(256, 512, device=GPU)
        multiply(torch.from_numpy(src).to(GPU), torch.from_numpy(tgt).to(GPU), scores)
        src64, tgt64 = src.astype(np.float64), tgt.astype(np.float64)
        lengths = np.linalg.norm(src64, axis=1)[:, None] * np.linalg.norm(tgt64, axis=1)
        errors = np.abs(scores.cpu().numpy() - src64 @ tgt64.T) / lengths
        assert errors.max() <= device_error(d)


def test_the_kernels_of_the_gpu_give_the_bits_of_plain_torch() -> None:
    kernels = choose_kernels(torch.device(GPU))
    assert kernels is not PLAIN, "there is no Triton for this GPU"
    height, width = 37 * COLUMN_TILE, 23 * ROW_TILE
    scores = torch.randn(height, width, device=GPU)
    of_rows, of_columns = torch.rand(height, device=GPU), torch.rand(width, device=GPU)
    of_rows[::9], of_columns[::11] = -1, -1
    found = [
        (torch.empty(23, height, device=GPU), torch.empty(37, width, device=GPU)) for _ in range(2)
    ]
    for each, (by_row, by_column) in zip((PLAIN, kernels), found, strict=True):
        each.tile_maxima(scores, of_rows, of_columns, by_row, by_column)
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
    vectors = torch.randn(500, 1032, device=GPU).half() / 32
    left, right = (torch.randint(500, (3000,), device=GPU) for _ in range(2))
    dots = [each.pair_dots(vectors, left, vectors, right) for each in (PLAIN, kernels)]
    assert torch.equal(*dots)


def test_too_little_memory_is_survived_or_told() -> None:
    src, tgt = large(6_000, 64, 1), large(7_000, 64, 2)
    expected = search(src, tgt, 4)
    kernels = choose_kernels(torch.device(GPU))

    def refuse(scores: torch.Tensor, *others: torch.Tensor) -> None:
        raise torch.OutOfMemoryError("no")

    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    within = (torch.cuda.memory_reserved(0) + 128 * MIB) / total
    torch.cuda.set_per_process_memory_fraction(within, 0)
    try:
        found = search(src, tgt, 4, Sizes(8192, 8192, 8192))  # two blocks of 256 MiB
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0, 0)
    for one, other in zip(found, expected, strict=True):
        assert_same(one, other)
    with pytest.raises(UsageError, match="has not enough free memory"):
        search(src, tgt, 4, MANY, replace(kernels, tile_maxima=refuse))


def test_all_memory_is_given_back() -> None:
    src, tgt = large(20_000, 64, 1), large(20_000, 64, 2)
    before = torch.cuda.memory_allocated(0)
    search(src, tgt, 4)
    kept = torch.cuda.memory_allocated(0)  # libraries keep a workspace for each stream
    assert kept - before < 128 * MIB
    for _ in range(3):
        search(src, tgt, 4)
    assert torch.cuda.memory_allocated(0) == kept
    assert torch.cuda.memory_reserved(0) < kept + 128 * MIB  # nor does torch keep it
