"""Batches: full, of different source rows, and always the same for a seed."""

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitextmine.errors import UsageError
from bitextmine.training.sampling import BatchSampler

GROUPS = st.lists(st.integers(0, 6), min_size=1, max_size=60).map(lambda rows: np.array(rows))


@settings(deadline=None)
@given(groups=GROUPS, size=st.integers(2, 7), seed=st.integers(0, 3))
def test_two_triplets_of_one_source_row_never_meet_in_a_batch(
    groups: np.ndarray[tuple[int], np.dtype[np.int64]], size: int, seed: int
) -> None:
    if len(np.unique(groups)) < size:
        with pytest.raises(UsageError, match="different source rows"):
            BatchSampler(groups, size, 5, seed)
        return
    for batch in BatchSampler(groups, size, 12, seed):
        assert len(batch) == size
        assert len(set(groups[batch].tolist())) == size


@settings(deadline=None)
@given(rows=st.integers(8, 30), copies=st.integers(1, 5), seed=st.integers(0, 3))
def test_every_triplet_is_seen_about_once_an_epoch(rows: int, copies: int, seed: int) -> None:
    groups = np.repeat(np.arange(rows), copies)
    batches = list(BatchSampler(groups, 4, 10 * len(groups) // 4, seed))
    seen = np.bincount(list(chain.from_iterable(batches)), minlength=len(groups))
    # What waits at the end is at most what did not fit; of equal rows that is little.
    assert seen.min() >= 7
    assert seen.max() <= 11


def test_a_seed_gives_the_same_batches_and_another_seed_gives_others() -> None:
    groups = np.arange(100)
    one, again, other = (list(BatchSampler(groups, 8, 30, seed)) for seed in (1, 1, 2))
    assert one == again
    assert one != other


def test_epochs_have_orders_of_their_own() -> None:
    batches = list(BatchSampler(np.arange(8), 4, 4, 1))
    assert sorted(batches[0] + batches[1]) == sorted(batches[2] + batches[3]) == list(range(8))
    assert batches[:2] != batches[2:]
