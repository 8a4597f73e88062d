"""The search must answer as brute force does, bit for bit, however it is cut and computed."""

from pathlib import Path

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

from bitextmine.arrays import Halfs
from bitextmine.errors import EncoderError
from bitextmine.search.exact.precision import GemmName
from bitextmine.search.exact.two_way import CpuTuning, two_way_neighbours
from bitextmine.search.neighbours import Neighbours

GEMMS: tuple[GemmName, ...] = ("float32", "bfloat16")


def assert_brute_force(
    corpora: Corpora, k: int, gemm: GemmName, *, src_block: int = 48, tgt_block: int = 80
) -> None:
    """Compare both ways with brute force, under numbers that are neither dense nor sorted."""
    src, tgt = corpora
    src_numbers, tgt_numbers = scattered_numbers(src, tgt)
    fwd, bwd = two_way_neighbours(
        src,
        tgt,
        k=k,
        src_numbers=src_numbers,
        tgt_numbers=tgt_numbers,
        tuning=CpuTuning(gemm, src_block, tgt_block),
    )
    assert_same(fwd, brute_force(src, tgt, tgt_numbers, k))
    assert_same(bwd, brute_force(tgt, src, src_numbers, k))


def search(
    src: Halfs, tgt: Halfs, k: int = 1, gemm: GemmName = "auto"
) -> tuple[Neighbours, Neighbours]:
    src_numbers, tgt_numbers = np.arange(len(src)), np.arange(len(tgt))
    return two_way_neighbours(
        src, tgt, k=k, src_numbers=src_numbers, tgt_numbers=tgt_numbers, tuning=CpuTuning(gemm)
    )


def test_a_case_small_enough_to_check_by_hand() -> None:
    src = np.array([[1, 0], [0, 1]], np.float16)
    tgt = np.array([[0.5, 0.5], [0, 1], [-1, 0]], np.float16)
    fwd, bwd = two_way_neighbours(
        src, tgt, k=2, src_numbers=np.array([20, 10]), tgt_numbers=np.array([5, 3, 4])
    )
    half = np.float32(np.sqrt(0.5))
    assert fwd.numbers.tolist() == [[5, 3], [3, 5]]
    assert fwd.cosines.tolist() == [[half, 0], [1, half]]
    assert bwd.numbers.tolist() == [[10, 20], [10, 20], [10, 20]]  # lower number first
    assert bwd.cosines.tolist() == [[half, half], [1, 0], [0, -1]]


@pytest.mark.parametrize("gemm", GEMMS)
@pytest.mark.parametrize("k", [1, 4, 16])
@pytest.mark.parametrize(
    ("n", "m", "d"), [(301, 517, 37), (64, 160, 128), (1, 700, 5), (97, 3, 64)]
)
def test_equals_brute_force_for_any_shape(n: int, m: int, d: int, k: int, gemm: GemmName) -> None:
    assert_brute_force(clustered(n, m, d), k, gemm)


@pytest.mark.parametrize("gemm", GEMMS)
def test_equals_brute_force_on_default_blocks(gemm: GemmName) -> None:
    assert_brute_force(clustered(2500, 4200, 64), 4, gemm, src_block=1024, tgt_block=2048)


@pytest.mark.parametrize("gemm", GEMMS)
def test_equals_brute_force_without_any_structure(gemm: GemmName) -> None:
    rng = np.random.default_rng(0)
    corpora = unit(rng.normal(size=(700, 512))), unit(rng.normal(size=(900, 512)))
    assert_brute_force(corpora, 8, gemm)


@pytest.mark.parametrize("gemm", GEMMS)
@pytest.mark.parametrize("k", [9, 10, 11, 200])
def test_k_is_capped_to_the_other_side(k: int, gemm: GemmName) -> None:
    assert_brute_force(clustered(10, 150, 16), k, gemm)


@pytest.mark.parametrize("gemm", GEMMS)
def test_identical_vectors_rank_by_number(gemm: GemmName) -> None:
    src, tgt = clustered(400, 500, 32)
    src[50:300] = src[0]
    tgt[100:450] = src[0]
    assert_brute_force((src, tgt), 4, gemm)


@pytest.mark.parametrize("gemm", GEMMS)
def test_nearly_identical_vectors_are_told_apart(gemm: GemmName) -> None:
    # Differences of one unit in the last place of single components: far below what either
    # format of the product can see.
    rng = np.random.default_rng(0)
    src, tgt = clustered(200, 600, 32)
    tgt[:500] = tgt[0]
    cells = np.arange(500), rng.integers(32, size=500)
    tgt[cells] = np.nextafter(tgt[cells], np.float16(2))
    assert_brute_force((src, tgt), 4, gemm)


@pytest.mark.parametrize("gemm", GEMMS)
def test_negative_cosines_rank_like_others(gemm: GemmName) -> None:
    src, tgt = clustered(200, 300, 24)
    assert_brute_force((np.abs(src), -np.abs(tgt)), 5, gemm)


@pytest.mark.parametrize("gemm", GEMMS)
def test_zero_vectors_have_cosine_zero_with_everything(gemm: GemmName) -> None:
    src, tgt = clustered(200, 300, 24)
    src[::3] = 0
    tgt[::2] = 0
    assert_brute_force((src, tgt), 5, gemm)
    assert_brute_force((np.abs(src), -np.abs(tgt)), 5, gemm)


@pytest.mark.parametrize("gemm", GEMMS)
def test_lengths_other_than_one_do_not_matter(gemm: GemmName) -> None:
    src, tgt = clustered(200, 300, 24)
    lengths = np.linspace(0.01, 1.9, 300)[:, None]
    assert_brute_force((src, (tgt * lengths).astype(np.float16)), 5, gemm)


def test_empty_sides_have_no_neighbours() -> None:
    src, nothing = clustered(3, 1, 8)[0], np.empty((0, 8), np.float16)
    fwd, bwd = search(src, nothing)
    assert (fwd.numbers.shape, bwd.numbers.shape) == ((3, 0), (0, 1))
    fwd, bwd = search(nothing, src)
    assert (fwd.numbers.shape, bwd.numbers.shape) == ((0, 1), (3, 0))


def test_reads_memory_maps_and_reports_progress(tmp_path: Path) -> None:
    src, tgt = clustered(300, 200, 16)
    np.save(tmp_path / "ü src.npy", src)
    mapped = np.load(tmp_path / "ü src.npy", mmap_mode="r")
    n_pairs: list[int] = []
    fwd, _ = two_way_neighbours(
        mapped,
        tgt,
        k=4,
        src_numbers=np.arange(300),
        tgt_numbers=np.arange(200),
        tuning=CpuTuning(tgt_block=64),
        progress=n_pairs.append,
    )
    assert_same(fwd, brute_force(src, tgt, np.arange(200), 4))
    assert sum(n_pairs) == 300 * 200
    assert len(n_pairs) == 4


def test_an_error_in_progress_reaches_the_caller() -> None:
    src, tgt = clustered(300, 200, 16)

    def interrupt(n_pairs: int) -> None:
        raise KeyboardInterrupt

    numbers = np.arange(300)
    with pytest.raises(KeyboardInterrupt):
        two_way_neighbours(
            src, tgt, k=4, src_numbers=numbers, tgt_numbers=numbers[:200], progress=interrupt
        )


@pytest.mark.parametrize("value", [np.nan, np.inf, 3.0])
def test_refuses_vectors_without_a_direction(value: float) -> None:
    src, tgt = clustered(5, 5, 8)
    tgt[3, 2] = value
    with pytest.raises(EncoderError, match="tgt sentence 3 has a vector of length"):
        search(src, tgt)


def test_refuses_repeated_numbers_and_unlike_shapes() -> None:
    src, tgt = clustered(5, 4, 8)
    with pytest.raises(ValueError, match="not unique"):
        two_way_neighbours(
            src, tgt, k=1, src_numbers=np.zeros(5, np.int64), tgt_numbers=np.arange(4)
        )
    with pytest.raises(ValueError, match="src"):
        search(src, tgt[:, :4])
    with pytest.raises(ValueError, match="float32"):
        two_way_neighbours(
            src.astype(np.float32),  # as a caller without a type checker would
            tgt,
            k=1,
            src_numbers=np.arange(5),
            tgt_numbers=np.arange(4),
        )


def test_leaves_the_settings_of_torch_as_they_were() -> None:
    src, tgt = clustered(50, 50, 8)
    before = torch.get_num_threads(), torch.get_float32_matmul_precision()
    two_way_neighbours(
        src, tgt, k=1, src_numbers=np.arange(50), tgt_numbers=np.arange(50), threads=1
    )
    assert (torch.get_num_threads(), torch.get_float32_matmul_precision()) == before


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.tuples(st.integers(1, 90), st.integers(1, 90), st.integers(1, 24)),
    k=st.integers(1, 12),
    blocks=st.tuples(st.integers(1, 100), st.integers(1, 100)),
    gemm=st.sampled_from(GEMMS),
    threads=st.integers(1, 3),
    grain=st.sampled_from([1, 2, 8, 1000]),  # coarse components make ties
)
def test_blocks_threads_and_formats_change_nothing(
    sizes: tuple[int, int, int],
    k: int,
    blocks: tuple[int, int],
    gemm: GemmName,
    threads: int,
    grain: int,
) -> None:
    src, tgt = coarse(*sizes, grain)
    src_numbers, tgt_numbers = scattered_numbers(src, tgt)
    fwd, bwd = two_way_neighbours(
        src,
        tgt,
        k=k,
        src_numbers=src_numbers,
        tgt_numbers=tgt_numbers,
        threads=threads,
        tuning=CpuTuning(gemm, *blocks),
    )
    assert_same(fwd, brute_force(src, tgt, tgt_numbers, k))
    assert_same(bwd, brute_force(tgt, src, src_numbers, k))
