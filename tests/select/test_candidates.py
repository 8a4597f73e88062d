"""Votes, by hand."""

import numpy as np

from bitextmine.search.neighbours import Neighbours
from bitextmine.select.candidates import best_pairs

LISTS = Neighbours(
    np.array([[0.9, 0.8], [0.7, 0.6], [0.5, 0.0]], np.float32), np.array([[4, 2], [0, 3], [1, 7]])
)
MARGINS = np.array([[1.1, 1.2], [1.3, 1.3], [-np.inf, -np.inf]])


def test_the_best_candidate_has_the_best_margin_and_is_the_nearer_one_if_margins_tie() -> None:
    numbers = np.array([8, 5, 6])
    pairs = best_pairs("fwd", numbers, LISTS, MARGINS)
    assert pairs["src"].tolist() == [8, 5, 6]
    assert pairs["tgt"].tolist() == [2, 0, 1]
    assert pairs["score"].tolist() == [1.2, 1.3, -np.inf]
    assert pairs["cosine"].tolist() == np.array([0.8, 0.7, 0.5], np.float32).tolist()
    turned = best_pairs("bwd", numbers, LISTS, MARGINS)
    assert turned["tgt"].tolist() == [8, 5, 6]
    assert turned["src"].tolist() == [2, 0, 1]
