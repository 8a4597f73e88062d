"""Precision and recall, counted by hand."""

import f1
import pytest

PAIRS = [(0.9, 1, 1), (0.8, 2, 2), (0.8, 3, 4), (0.7, 5, 5)]
GOLD = {(1, 1), (2, 2), (5, 5), (6, 6)}


def test_the_curve_has_one_point_a_score() -> None:
    assert f1.precision_recall(PAIRS, GOLD) == [
        (0.9, 1.0, 1 / 4),
        (0.8, pytest.approx(2 / 3), 2 / 4),
        (0.7, 3 / 4, 3 / 4),
    ]


def test_best_f1_is_the_highest_of_the_curve() -> None:
    assert f1.best_f1(PAIRS, GOLD) == (0.7, 0.75, 0.75)
    assert f1.best_f1(PAIRS, GOLD).f1 == pytest.approx(0.75)


def test_nothing_found_has_an_f1_of_zero() -> None:
    assert f1.best_f1([(0.9, 1, 2)], GOLD).f1 == 0.0
