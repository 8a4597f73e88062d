"""A side is arranged without a look at its vectors, and measured once, wherever that is."""

import numpy as np
import pytest
from brute_force import clustered

from bitextmine.errors import EncoderError
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.rows import Rows

NUMBERS = np.array([7, 3, 5, 1])


def test_arranging_reads_no_vector(monkeypatch: pytest.MonkeyPatch) -> None:
    vectors = Rows([clustered(4, 1, 8)[0]])
    monkeypatch.setattr(Rows, "run", None)
    monkeypatch.setattr(Rows, "take", None)
    side = SearchSide.arrange(vectors, NUMBERS, name="src")
    assert side.numbers.tolist() == [1, 3, 5, 7]
    assert np.isnan(side.lengths).all()


def test_lengths_measured_elsewhere_are_those_of_prepare() -> None:
    vectors = clustered(4, 1, 8)[0]
    vectors[2] = 0
    prepared = SearchSide.prepare(vectors, NUMBERS, name="src")
    side = SearchSide.arrange(vectors, NUMBERS, name="src")
    measured = np.where(np.isinf(prepared.lengths), 0, prepared.lengths)
    side.set_lengths(0, measured[:3])
    side.set_lengths(3, measured[3:])
    np.testing.assert_array_equal(side.lengths, prepared.lengths)


@pytest.mark.parametrize("length", [np.nan, np.inf, 2.1])
def test_an_unusable_length_is_refused_by_name_and_number(length: float) -> None:
    side = SearchSide.arrange(clustered(4, 1, 8)[0], NUMBERS, name="src")
    side.set_lengths(0, np.array([1.0, 2.0]))
    with pytest.raises(EncoderError, match=r"src sentence 5 has .* length \S+ \(1 such vectors so"):
        side.set_lengths(2, np.array([length]))
    with pytest.raises(EncoderError, match=r"src sentence 7 has .* length \S+ \(1 such vectors\)"):
        side.set_lengths(3, np.array([length]))


@pytest.mark.parametrize("numbers", [NUMBERS, np.sort(NUMBERS)])
def test_rows_are_read_into_what_is_given(numbers: np.typing.NDArray[np.int64]) -> None:
    side = SearchSide.arrange(clustered(4, 1, 8)[0], numbers, name="src")
    out = np.zeros((2, 8), np.float16)
    assert side.rows(1, 3, out) is out
    np.testing.assert_array_equal(out, side.take(np.array([1, 2])))
