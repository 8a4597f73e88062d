"""First occurrences against hand computation and a plain dictionary."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitextmine.shard.build import first_occurrences


def test_first_occurrences_by_hand() -> None:
    digests = np.array([[5, 1], [3, 3], [5, 1], [5, 2], [3, 3]], dtype=np.uint64)
    ids = np.array([40, 10, 20, 30, 50])
    first, repeated = first_occurrences(digests, ids)
    assert ids[first].tolist() == [10, 20, 30]
    assert ids[repeated.rows].tolist() == [40, 50]
    assert repeated.first_ids.tolist() == [20, 10]


@given(st.lists(st.integers(0, 5)))
def test_first_occurrences_are_those_of_a_dictionary(contents: list[int]) -> None:
    ids = np.random.default_rng(len(contents)).permutation(len(contents)).astype(np.int64)
    digests = np.array([[content, 7] for content in contents], dtype=np.uint64).reshape(-1, 2)
    first, repeated = first_occurrences(digests, ids)
    seen: dict[int, int] = {}
    for row in np.argsort(ids).tolist():
        seen.setdefault(contents[row], int(ids[row]))
    assert ids[first].tolist() == sorted(seen.values())
    for row, first_id in zip(repeated.rows.tolist(), repeated.first_ids.tolist(), strict=True):
        assert seen[contents[row]] == first_id != ids[row]
    assert len(first) + len(repeated.rows) == len(contents)
