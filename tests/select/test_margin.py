"""Margins against hand computation and against LASER's definitions."""

import numpy as np
import pytest
from brute_force import nearest
from selection_oracle import compute_margins

from bitextmine.config import Margin
from bitextmine.search.neighbours import Neighbours

# cosines: src 0 = [0.9, 0.5], src 1 = [0.6, 0.8]
FWD = Neighbours(np.array([[0.9, 0.5], [0.8, 0.6]], dtype=np.float32), np.array([[0, 1], [1, 0]]))
BWD = Neighbours(np.array([[0.9, 0.6], [0.8, 0.5]], dtype=np.float32), np.array([[0, 1], [1, 0]]))
# means: src 0 = 0.7, src 1 = 0.7; tgt 0 = 0.75, tgt 1 = 0.65


@pytest.mark.parametrize(
    ("margin", "fwd", "bwd"),
    [
        (
            "ratio",
            [[0.9 / 0.725, 0.5 / 0.675], [0.8 / 0.675, 0.6 / 0.725]],
            [[0.9 / 0.725, 0.6 / 0.725], [0.8 / 0.675, 0.5 / 0.675]],
        ),
        (
            "distance",
            [[0.9 - 0.725, 0.5 - 0.675], [0.8 - 0.675, 0.6 - 0.725]],
            [[0.9 - 0.725, 0.6 - 0.725], [0.8 - 0.675, 0.5 - 0.675]],
        ),
        ("absolute", [[0.9, 0.5], [0.8, 0.6]], [[0.9, 0.6], [0.8, 0.5]]),
    ],
)
def test_margins_match_hand_computation(
    margin: Margin, fwd: list[list[float]], bwd: list[list[float]]
) -> None:
    margins = compute_margins(FWD, BWD, margin)
    np.testing.assert_allclose(margins.fwd, fwd, rtol=1e-6)
    np.testing.assert_allclose(margins.bwd, bwd, rtol=1e-6)
    assert margins.undefined == 0


def test_a_pair_has_the_same_score_from_both_sides() -> None:
    rng = np.random.default_rng(0)
    cosines = rng.random((40, 40), dtype=np.float32)
    fwd, bwd = nearest(cosines, 5), nearest(cosines.T, 5)
    margins = compute_margins(fwd, bwd, "ratio")
    scores = {
        (src, tgt): margins.fwd[src, column]
        for src in range(40)
        for column, tgt in enumerate(fwd.numbers[src])
    }
    shared = 0
    for tgt in range(40):
        for column, src in enumerate(bwd.numbers[tgt]):
            if (src, tgt) in scores:
                shared += 1
                assert scores[src, tgt] == margins.bwd[tgt, column]  # to the last bit
    assert shared > 40


@pytest.mark.parametrize("margin", ["ratio", "distance", "absolute"])
def test_a_cosine_of_zero_is_no_candidate(margin: Margin) -> None:
    lists = Neighbours(np.array([[0.5, 0.0]], dtype=np.float32), np.array([[0, 1]]))
    back = Neighbours(np.array([[0.5], [0.0]], dtype=np.float32), np.array([[0], [0]]))
    margins = compute_margins(lists, back, margin)
    assert np.isneginf(margins.fwd).tolist() == [[False, True]]
    assert np.isneginf(margins.bwd).tolist() == [[False], [True]]
    assert margins.undefined == 2


@pytest.mark.parametrize("cosine", [-0.02, 0.0005])
def test_a_ratio_over_a_neighbourhood_that_is_not_positive_is_undefined(cosine: float) -> None:
    lists = Neighbours(np.array([[cosine]], dtype=np.float32), np.array([[0]]))
    margins = compute_margins(lists, lists, "ratio")
    assert np.isneginf(margins.fwd).all()
    assert margins.undefined == 2
    assert np.isfinite(compute_margins(lists, lists, "distance").fwd).all()
