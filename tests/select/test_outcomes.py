"""Greedy one-to-one matching against its definition, and outcomes that only get better."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from selection_oracle import best_one_to_one

from bitextmine.arrays import Ids
from bitextmine.files import Scratch
from bitextmine.select import outcomes
from bitextmine.select.outcomes import Outcome, Outcomes, take_one_to_one
from bitextmine.select.pairs import make_pairs


def greedy_by_hand(src: list[int], tgt: list[int]) -> list[bool]:
    """The definition, pair by pair: the oracle."""
    taken: list[tuple[int, int]] = []
    marks = []
    for s, t in zip(src, tgt, strict=True):
        free = all(s != other_s and t != other_t for other_s, other_t in taken)
        taken += [(s, t)] if free else []
        marks.append(free)
    return marks


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=60), st.integers(1, 60))
@settings(deadline=None)
def test_one_to_one_is_the_greedy_matching(pairs: list[tuple[int, int]], rows: int) -> None:
    src: Ids = np.array([s for s, _ in pairs], dtype=np.int64)
    tgt: Ids = np.array([t for _, t in pairs], dtype=np.int64)
    wanted = greedy_by_hand(src.tolist(), tgt.tolist())
    assert best_one_to_one(src, tgt).tolist() == wanted
    listed = make_pairs(src, tgt, np.zeros(len(src)), np.zeros(len(src), np.float32))
    with tempfile.TemporaryDirectory() as folder, Scratch(Path(folder)) as scratch:
        sides = Outcomes(scratch, 10), Outcomes(scratch, 10)
        taken: list[bool] = []
        for start in range(0, len(listed), rows):
            taken += take_one_to_one(listed[start : start + rows], *sides).tolist()
    assert taken == wanted


def test_an_outcome_only_gets_better_and_all_are_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(outcomes, "COUNTED_ROWS", 2)
    with Scratch(tmp_path) as scratch:
        side = Outcomes(scratch, 5)
        side.reach_threshold(np.array([1, 2, 3]))
        side.improve(np.array([3, 3]), Outcome.PAIRED)
        side.improve(np.array([2, 3]), Outcome.BEYOND_TOP)
        assert side.taken(np.arange(5)).tolist() == [False, False, True, True, False]
        assert side.counts() == {
            "paired": 1,
            "unpaired_beyond_top": 1,
            "unpaired_below_threshold": 2,
            "unpaired_partner_taken": 1,
        }
