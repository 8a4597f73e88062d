"""Vectors of several arrays behave as one array."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bitextmine.search.rows import Rows


@given(
    st.lists(st.integers(0, 5), min_size=1, max_size=5),
    st.data(),
    st.sampled_from([np.float16, np.int8]),
)
def test_runs_and_rows_are_those_of_the_arrays_end_to_end(
    sizes: list[int], data: st.DataObject, dtype: Any
) -> None:
    whole = np.arange(sum(sizes) * 3).reshape(-1, 3).astype(dtype)
    rows = Rows(np.split(whole, np.cumsum(sizes)[:-1]))
    assert (len(rows), rows.shape, rows.dtype) == (len(whole), whole.shape, whole.dtype)
    start = data.draw(st.integers(0, len(whole)))
    stop = data.draw(st.integers(start, len(whole)))
    np.testing.assert_array_equal(rows.run(start, stop), whole[start:stop])
    room = np.empty((stop - start, 3), dtype)
    assert rows.run(start, stop, room) is room
    np.testing.assert_array_equal(room, whole[start:stop])
    if len(whole):
        drawn = data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=9))
        asked = np.array(drawn, np.int64)
        room = np.empty((len(asked), 3), dtype)
        assert rows.take(asked, room) is room
        for taken in (room, rows.take(asked)):
            np.testing.assert_array_equal(taken, whole[asked])


def test_what_is_read_is_a_copy() -> None:
    whole = np.zeros((4, 2), np.float16)
    Rows([whole]).run(0, 4)[:] = 1
    assert not whole.any()


@pytest.mark.parametrize(
    "parts",
    [
        [np.zeros((2, 3), np.float16), np.zeros((2, 4), np.float16)],
        [np.zeros((2, 3), np.float16), np.zeros((2, 3), np.int8)],
        [np.zeros((2, 3), np.float32)],
        [np.zeros(3, np.float16)],
        [],
    ],
)
def test_vectors_of_different_kinds_are_refused(parts: list[Any]) -> None:
    with pytest.raises(ValueError, match="cannot be searched together"):
        Rows(parts)
