"""Sorted runs give the same order as sorting everything at once."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitextmine.files import Scratch
from bitextmine.select.pairs import PAIR, Pairs, make_pairs
from bitextmine.select.sorting import SORTING_BYTES_A_PAIR, PairSorter, best_first

SCORES = st.one_of(st.sampled_from([1.0, 1.5, 0.0, -0.0]), st.floats(-3, 3))
ROWS = st.lists(st.tuples(SCORES, st.integers(0, 5), st.integers(0, 2**32 - 1)), max_size=70)


def as_pairs(rows: list[tuple[float, int, int]]) -> Pairs:
    columns = np.array(rows, dtype=object).reshape(-1, 3).T
    src, tgt = columns[1].astype(np.int64), columns[2].astype(np.int64)
    return make_pairs(src, tgt, columns[0].astype(np.float64), np.arange(len(rows), dtype="f4"))


def keys(pairs: Pairs) -> list[tuple[float, int, int]]:
    return [(-score, src, tgt) for score, src, tgt, _ in pairs.tolist()]


@given(ROWS)
def test_the_best_come_first_and_ties_are_in_order_of_src_then_tgt(
    rows: list[tuple[float, int, int]],
) -> None:
    pairs = as_pairs(rows)
    assert keys(pairs[best_first(pairs)]) == sorted(keys(pairs))


@given(ROWS, st.integers(1, 20), st.integers(1, 9))
@settings(deadline=None)
def test_any_number_of_runs_gives_the_same_order(
    rows: list[tuple[float, int, int]], run_rows: int, added: int
) -> None:
    pairs = as_pairs(rows)
    with tempfile.TemporaryDirectory() as folder, Scratch(Path(folder)) as scratch:
        sorter = PairSorter(scratch, run_rows * SORTING_BYTES_A_PAIR, most=len(pairs))
        for start in range(0, len(pairs), added):
            sorter.add(pairs[start : start + added])
        merged = np.concatenate([np.empty(0, PAIR), *sorter.sorted()])
    assert keys(merged) == sorted(keys(pairs))
    assert sorted(merged["cosine"].tolist()) == list(range(len(rows)))  # each of them once


@pytest.mark.parametrize("step", [1, -1])
def test_runs_that_follow_each_other_are_merged_in_blocks(tmp_path: Path, step: int) -> None:
    """Every run is better, or worse, than the one before: all but one of them wait."""
    n = 2000
    order = np.arange(n)[::step]
    pairs = make_pairs(order, order, order / n, np.zeros(n, np.float32))
    with Scratch(tmp_path) as scratch:
        sorter = PairSorter(scratch, 100 * SORTING_BYTES_A_PAIR, most=n)
        sorter.add(pairs)
        blocks = list(sorter.sorted())
    assert np.concatenate(blocks)["src"].tolist() == list(range(n))[::-1]
    assert max(map(len, blocks)) <= 100
