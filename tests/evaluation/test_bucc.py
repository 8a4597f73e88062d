"""BUCC's arithmetic, counted by hand and against the originals' walk down the list."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitextmine.evaluation.bucc import PrecisionRecall, Scored

# Four gold pairs, of which the pairs mined hold three: the first, the second and the fifth.
SCORES = [1.9, 1.6, 1.5, 1.2, 1.1, 1.0]
TRUE = [True, True, False, False, True, False]


def scored(scores: list[float], true: list[bool], n_gold: int) -> Scored:
    return Scored(np.array(scores, dtype=np.float64), np.array(true, dtype=bool), n_gold)


HAND = scored(SCORES, TRUE, 4)


def test_a_threshold_takes_the_pairs_at_it_or_above() -> None:
    # 1.9, 1.6, 1.5 are taken: 2 of 3 are true, and 2 of 4 gold pairs are found.
    accuracy = HAND.at(1.5)
    assert (accuracy.n_pairs, accuracy.n_true) == (3, 2)
    assert accuracy.precision == pytest.approx(2 / 3)
    assert accuracy.recall == pytest.approx(1 / 2)
    assert accuracy.f1 == pytest.approx(4 / 7)


def test_the_best_threshold_is_midway_to_the_next_pair() -> None:
    # F1 after each pair: 2/5, 4/6, 4/7, 4/8, 6/9, 6/10. The first of the two 2/3 wins.
    best = HAND.best()
    assert best.threshold == pytest.approx((1.6 + 1.5) / 2)
    assert best.f1 == pytest.approx(2 / 3)


def test_the_best_threshold_may_be_after_the_last_pair() -> None:
    # The originals look at items[i + 1] here, and crash.
    best = scored([1.9, 1.6], [True, True], 2).best()
    assert best == PrecisionRecall(1.6, 2, 2, 2)
    assert best.f1 == 1


def test_a_single_pair_is_enough() -> None:
    assert scored([1.2], [True], 3).best() == PrecisionRecall(1.2, 1, 1, 3)


def test_pairs_of_equal_score_pass_a_threshold_together() -> None:
    # Stopping between the two of 1.5 would have F1 1, which no threshold gives.
    tied = scored([1.5, 1.5, 1.0], [True, False, False], 1)
    assert [point.n_pairs for point in tied.curve()] == [2, 3]
    assert tied.best().f1 == pytest.approx(2 / 3)


def test_without_a_true_pair_the_threshold_is_zero() -> None:
    best = scored([1.5, 1.2], [False, False], 3).best()
    assert (best.threshold, best.f1) == (0, 0)


def test_nothing_mined_scores_nothing() -> None:
    empty = scored([], [], 3)
    assert list(empty.curve()) == []
    assert empty.best().figures() == {
        "threshold": 0.0, "mined": 0, "precision": 0.0, "recall": 0.0, "f1": 0.0,
    }  # fmt: skip


def test_neighbouring_floats_differ() -> None:
    upper = 1.5
    lower = float(np.nextafter(upper, 0))
    assert scored([upper, lower], [True, False], 1).best() == PrecisionRecall(upper, 1, 1, 1)


def test_scores_must_descend() -> None:
    with pytest.raises(ValueError, match="descend"):
        scored([1.0, 1.5], [True, False], 1)


lists = st.lists(st.tuples(st.integers(1, 40), st.booleans()), min_size=1, max_size=30)


def drawn(pairs: list[tuple[int, bool]], missed: int) -> Scored:
    ordered = sorted(pairs, key=lambda pair: -pair[0])
    true = [is_true for _, is_true in ordered]
    return scored([score / 8 for score, _ in ordered], true, max(sum(true) + missed, 1))


@settings(deadline=None)
@given(lists, st.integers(0, 5))
def test_no_threshold_is_better_than_the_best(pairs: list[tuple[int, bool]], missed: int) -> None:
    task = drawn(pairs, missed)
    best = task.best()
    assert best.f1 == pytest.approx(max(task.at(t / 16).f1 for t in range(1, 82)))
    assert task.at(best.threshold) == best


@settings(deadline=None)
@given(lists, st.integers(0, 5))
def test_the_curve_is_what_thresholds_give(pairs: list[tuple[int, bool]], missed: int) -> None:
    task = drawn(pairs, missed)
    assert [task.at(point.threshold) for point in task.curve()] == list(task.curve())


@settings(deadline=None)
@given(st.sets(st.integers(1, 400), min_size=2, max_size=30), st.data())
def test_the_best_is_that_of_the_original_walk(scores: set[int], data: st.DataObject) -> None:
    """Equal scores apart: there the original may stop where no threshold can."""
    descending = sorted(scores, reverse=True)
    true = data.draw(st.lists(st.booleans(), min_size=len(scores), max_size=len(scores)))
    n_gold = sum(true) + 1
    threshold, n_true, best = 0.0, 0, 0.0
    for i, score in enumerate(descending):
        n_true += true[i]
        f1 = 2 * n_true / (i + 1 + n_gold)
        if f1 > best:
            following = descending[i + 1] if i + 1 < len(descending) else score  # the guard
            threshold, best = (score + following) / 2, f1
    assert (
        scored([float(score) for score in descending], true, n_gold).best().threshold == threshold
    )
