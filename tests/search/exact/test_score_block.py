"""A block nominates along its rows and its columns whatever may be among the k nearest."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bitextmine.arrays import Floats
from bitextmine.search.exact.precision import Precision
from bitextmine.search.exact.score_block import TILE_LENGTH, ScoreBlock
from bitextmine.search.exact.shortlists import Shortlists, positions, similarities

# Sums of products of such small integers, over 256, have no rounding in either format.
FLOAT32 = Precision(torch.float32, error=0.0, lowest=-np.inf)
BFLOAT16 = Precision(torch.bfloat16, error=0.0, lowest=0.0)
DTYPES = {torch.float32: FLOAT32, torch.bfloat16: BFLOAT16}


def small_factors(n: int, d: int, seed: int) -> NDArray[np.float32]:
    """Draw factors other than 0, whose products are never -0, and no larger than cosines."""
    some = np.array([-3, -2, -1, 1, 2, 3], np.float32) / np.float32(16)
    return np.random.default_rng(seed).choice(some, size=(n, d))


def empty_lists(n: int, n_others: int, k: int, precision: Precision, start: int) -> Shortlists:
    """Return lists that keep all they get."""
    return Shortlists(n, k=k, keep=max(n_others, k), precision=precision, start=start)


def assert_best(lists: Shortlists, scores: Floats, first: int, lowest: float) -> None:
    """Compare the first k of every list with a sorted row, as far as the format can tell them."""
    lists.sort()
    above = scores > lowest
    for row, keys in enumerate(lists.keys):
        order = np.argsort(-scores[row], kind="stable")
        best = order[above[row, order]][: lists.k]
        np.testing.assert_array_equal(positions(keys[: len(best)]) - first, best)
        np.testing.assert_array_equal(similarities(keys[: len(best)]), scores[row, best])


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.tuples(st.integers(1, 48), st.integers(1, 80)),
    d=st.integers(1, 9),
    k=st.integers(1, 20),
    dtype=st.sampled_from([torch.float32, torch.bfloat16]),
    seed=st.integers(0, 99),
)
def test_blocks_nominate_the_best_of_rows_and_columns(
    sizes: tuple[int, int], d: int, k: int, dtype: torch.dtype, seed: int
) -> None:
    n, m = sizes
    src, tgt = small_factors(n, d, seed), small_factors(m, d, seed + 1)
    block, precision = ScoreBlock(48, 32, dtype), DTYPES[dtype]
    rows = empty_lists(n, m, k, precision, start=100)
    columns = [
        empty_lists(min(32, m - at), n, k, precision, start=1000 + at) for at in range(0, m, 32)
    ]
    for lists in columns:  # in the same buffer, of which the last fills a part
        part = tgt[lists.start - 1000 : lists.stop - 1000]
        block.multiply(torch.from_numpy(src).to(dtype), torch.from_numpy(part).to(dtype))
        block.nominate(rows, lists)
        rows.count_compared(len(part), until=m)
        lists.count_compared(n, until=n)
    scores = src @ tgt.T
    assert_best(rows, scores, 1000, precision.lowest)
    for lists in columns:
        part = scores.T[lists.start - 1000 : lists.stop - 1000]
        assert_best(lists, part, 100, precision.lowest)


@pytest.mark.parametrize("dtype", DTYPES)
def test_first_thresholds_spare_most_candidates_a_place(dtype: torch.dtype) -> None:
    src, tgt = small_factors(16, 64, 1), small_factors(256, 64, 2)
    block, precision = ScoreBlock(16, 256, dtype), DTYPES[dtype]
    rows, columns = (empty_lists(n, m, 1, precision, 0) for n, m in ((16, 256), (256, 16)))
    block.multiply(torch.from_numpy(src).to(dtype), torch.from_numpy(tgt).to(dtype))
    block.nominate(rows, columns)
    rows.sort()
    nominated = np.isfinite(similarities(rows.keys)).sum(axis=1)
    assert nominated.max() <= TILE_LENGTH  # of 256: no more than come near the largest


def test_a_threshold_that_nothing_exceeds_lets_nothing_in() -> None:
    src, tgt = small_factors(16, 4, 1), small_factors(16, 4, 2)
    rows, columns = (empty_lists(16, 16, 1, FLOAT32, 0) for _ in range(2))
    for lists in (rows, columns):
        lists.thresholds[:] = 36 / 256  # four products of 3 and 3
    block = ScoreBlock(16, 16, torch.float32)
    block.multiply(torch.from_numpy(src), torch.from_numpy(tgt))
    block.nominate(rows, columns)
    for lists in (rows, columns):
        lists.sort()
        assert not np.isfinite(similarities(lists.keys)).any()
