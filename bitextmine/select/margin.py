"""How much closer a pair is than its neighbourhoods: the scores of margin-based mining.

Raw cosines cannot be compared between sentences: some sentences ("Thank you.")
are close to everything. A margin sets the cosine of a candidate against the mean
cosine of the k nearest neighbours of both its sentences (Artetxe and Schwenk
2019, https://aclanthology.org/P19-1309). The means are LASER's: over all k
neighbours in the sentence's own direction, the candidate included.
"""

from typing import assert_never

import numpy as np

from bitextmine.arrays import Doubles
from bitextmine.config import Margin
from bitextmine.search.neighbours import Neighbours

LEAST_MEAN = 1e-3  # below it a ratio says nothing: 0.05 / 0.01 would score 5


def neighbourhood_means(found: Neighbours) -> Doubles:
    """Return the mean cosine of every sentence's neighbours, shape (n,).

    It is added up from the nearest on, so that a mean has the same bits however
    many sentences are looked at together.
    """
    total = np.zeros(len(found))
    for column in found.cosines.T:
        total += column
    return total / found.k


def score_candidates(
    found: Neighbours, own_means: Doubles, other_means: Doubles, margin: Margin
) -> Doubles:
    """Score the candidates of some sentences of one side.

    Parameters
    ----------
    found : Neighbours
        Lists of n sentences.
    own_means : ndarray of float64, shape (n,)
        The means of these sentences.
    other_means : ndarray of float64
        The means of all sentences of the other side, by number.
    margin : str
        "ratio": cosine / mean of both neighbourhoods; 1.0 means no closer than
        they are. "distance": cosine - that mean. "absolute": the cosine alone.

    Returns
    -------
    ndarray of float64, shape (n, k)
        -inf where undefined: the cosine is exactly 0, as with a vector that could not be
        used, or, for a ratio, the mean is below `LEAST_MEAN`. Such a candidate is never selected.
        In float64, since the two directions must agree on a pair to the last bit: they do,
        as a sum of two has no order.
    """
    around = other_means[found.numbers]
    around += own_means[:, None]
    around /= 2
    return _score(found.cosines.astype(np.float64), around, margin)


def count_undefined(scores: Doubles) -> int:
    """Count the candidates whose margin is undefined."""
    return int(np.isneginf(scores).sum())


def _score(cosines: Doubles, around: Doubles, margin: Margin) -> Doubles:
    """Apply one of the three margins to cosines and the means around them."""
    defined = cosines != 0
    match margin:
        case "absolute":
            scores = cosines
        case "distance":
            scores = cosines - around
        case "ratio":
            defined &= around >= LEAST_MEAN
            scores = cosines / np.where(defined, around, 1.0)
        case _:
            assert_never(margin)
    return np.where(defined, scores, -np.inf)
