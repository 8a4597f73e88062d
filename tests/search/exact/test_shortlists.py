"""A list keeps the best of what it was offered, and knows below what it dropped the rest."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bitextmine.arrays import Floats
from bitextmine.search.exact.precision import EXACT, Precision
from bitextmine.search.exact.shortlists import (
    EMPTY,
    PENDING_CANDIDATES,
    Keys,
    Shortlists,
    pack,
    positions,
    similarities,
)

FINITE = st.floats(width=32, allow_nan=False, allow_infinity=False)
ROUGH = Precision(torch.float32, error=0.125, lowest=-np.inf)


@given(st.lists(st.tuples(FINITE, st.integers(0, 2**32 - 2)), min_size=1))
def test_ascending_keys_go_from_the_best_and_among_equals_from_the_first(
    pairs: list[tuple[float, int]],
) -> None:
    values = np.array([value for value, _ in pairs], np.float32) + np.float32(0)  # no -0
    given_positions = np.array([position for _, position in pairs])
    keys = pack(values, given_positions)
    np.testing.assert_array_equal(similarities(keys).view(np.int32), values.view(np.int32))
    np.testing.assert_array_equal(positions(keys), given_positions)
    best = np.lexsort((given_positions, -values))
    np.testing.assert_array_equal(np.sort(keys), keys[best])
    assert (keys < EMPTY).all()


def test_an_empty_slot_is_worse_than_everything() -> None:
    assert similarities(np.array([EMPTY])).tolist() == [-np.inf]
    lowest = np.array([np.finfo(np.float32).min], np.float32)
    assert int(pack(lowest, np.array([2**32 - 1]))[0]) < EMPTY


def floats(values: Sequence[float] | Sequence[Sequence[float]]) -> Floats:
    return np.array(values, np.float32)


def offer(lists: Shortlists, values: Floats, step: int) -> None:
    """Offer all columns, some at a time, as a search does: what is above the thresholds."""
    for first in range(0, values.shape[1], step):
        some = values[:, first : first + step]
        rows, columns = np.nonzero(some > lists.thresholds[:, None])
        lists.add(rows, columns + first, some[rows, columns])
        lists.count_compared(some.shape[1], until=values.shape[1])


def best_keys(values: Floats, k: int) -> Keys:
    """Return the k best of every row, packed."""
    keys = pack(values, np.broadcast_to(np.arange(values.shape[1]), values.shape))
    return np.sort(keys, axis=1)[:, :k]


@settings(deadline=None, max_examples=60)
@given(
    seed=st.integers(0, 999),
    shape=st.tuples(st.integers(1, 6), st.integers(1, 150)),
    k=st.integers(1, 6),
    spare=st.integers(0, 8),
    step=st.integers(1, 150),
    grain=st.sampled_from([2, 50, 10_000]),  # few different values make ties
    precision=st.sampled_from([EXACT, ROUGH]),
)
def test_the_best_are_kept_and_whatever_is_not_had_at_most_the_threshold(
    seed: int,
    shape: tuple[int, int],
    k: int,
    spare: int,
    step: int,
    grain: int,
    precision: Precision,
) -> None:
    draw = np.random.default_rng(seed)
    values = (draw.integers(-grain, grain + 1, size=shape) / grain).astype(np.float32)
    lists = Shortlists(shape[0], k=k, keep=k + spare, precision=precision)
    offer(lists, values, step)
    np.testing.assert_array_equal(lists.keys[:, :k][:, : shape[1]], best_keys(values, k))
    for row, keys in enumerate(lists.keys):
        kept = positions(keys[keys != EMPTY])
        dropped = np.delete(values[row], kept)
        assert (dropped <= lists.thresholds[row]).all()
        np.testing.assert_array_equal(similarities(keys)[: len(kept)], values[row, kept])


def test_a_row_may_get_more_at_once_than_may_be_pending() -> None:
    n = 5 * PENDING_CANDIDATES
    lists = Shortlists(1, k=2, keep=3, precision=EXACT)
    lists.add(np.zeros(n, np.int64), np.arange(n), np.linspace(0, 1, n, dtype=np.float32))
    lists.sort()
    assert positions(lists.keys).tolist() == [[n - 1, n - 2, n - 3]]


def test_a_threshold_is_below_the_kth_by_twice_the_error_and_only_rises() -> None:
    lists = Shortlists(2, k=1, keep=9, precision=ROUGH)
    lists.raise_thresholds(floats([0.5, -0.5]))
    assert lists.thresholds == pytest.approx([0.25, -0.75], abs=2e-6)
    lists.raise_thresholds(floats([0.25, 1.0]))
    assert lists.thresholds == pytest.approx([0.25, 0.75], abs=2e-6)
    assert (lists.thresholds < [0.25, 0.75]).all()  # by the rounding of cosines


def test_a_full_list_drops_all_that_is_no_better_than_its_last() -> None:
    lists = Shortlists(1, k=1, keep=2, precision=ROUGH)
    lists.add(np.zeros(3, np.int64), np.arange(3), floats([0.9, 0.875, 0.8]))
    lists.sort()
    assert lists.thresholds == pytest.approx([0.875])  # the kth would allow 0.65


def test_positions_of_a_block_of_rows_start_where_it_does() -> None:
    lists = Shortlists(5, k=1, keep=1, precision=EXACT, start=20)
    assert (lists.start, lists.stop, len(lists)) == (20, 25, 5)
