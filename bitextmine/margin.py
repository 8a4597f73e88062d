"""How much closer a pair is than its neighbourhoods: the scores of margin-based mining.

Raw cosines cannot be compared between sentences: some sentences ("Thank you.")
are close to everything. A margin sets the cosine of a candidate against the mean
cosine of the k nearest neighbours of both its sentences (Artetxe and Schwenk
2019, https://aclanthology.org/P19-1309). The means are LASER's: over all k
neighbours in the sentence's own direction, the candidate included.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitextmine.config import Margin
from bitextmine.search.neighbours import Neighbours

Doubles = NDArray[np.float64]

LEAST_MEAN = 1e-3  # below it a ratio says nothing: 0.05 / 0.01 would score 5


@dataclass(frozen=True)
class Margins:
    """The margin of every candidate.

    Attributes
    ----------
    fwd : ndarray of float64, shape (n_src, k)
        Margin of each src sentence with each of its neighbours.
    bwd : ndarray of float64, shape (n_tgt, k)
        Margin of each tgt sentence with each of its neighbours.
    undefined : int
        Candidates whose margin is undefined: the mean of their neighbourhoods is not
        positive, or the cosine is exactly 0, as with a vector that could not be used.
        They score -inf, and are never selected.
    """

    fwd: Doubles
    bwd: Doubles
    undefined: int


def compute_margins(fwd: Neighbours, bwd: Neighbours, margin: Margin) -> Margins:
    """Score all candidates of both directions.

    Parameters
    ----------
    fwd, bwd : Neighbours
        src to tgt (n_src, k) and tgt to src (n_tgt, k); ids are row numbers.
    margin : str
        "ratio": cosine / mean of both neighbourhoods; 1.0 means no closer than
        they are. "distance": cosine - that mean. "absolute": the cosine alone.

    Returns
    -------
    Margins
        In float64, since the two directions must agree on a pair to the last bit.
    """
    fwd_means = fwd.cosines.mean(axis=1, dtype=np.float64)
    bwd_means = bwd.cosines.mean(axis=1, dtype=np.float64)
    # Both directions add the src mean first, so that a pair has one score, not two.
    fwd_around = (fwd_means[:, None] + bwd_means[fwd.ids]) / 2
    bwd_around = (fwd_means[bwd.ids] + bwd_means[:, None]) / 2
    fwd_scores = _score(fwd.cosines.astype(np.float64), fwd_around, margin)
    bwd_scores = _score(bwd.cosines.astype(np.float64), bwd_around, margin)
    undefined = int(np.isneginf(fwd_scores).sum() + np.isneginf(bwd_scores).sum())
    return Margins(fwd_scores, bwd_scores, undefined)


def _score(cosines: Doubles, around: Doubles, margin: Margin) -> Doubles:
    """Apply one of the three margins to cosines and the means around them."""
    defined = cosines != 0
    if margin == "absolute":
        return np.where(defined, cosines, -np.inf)
    if margin == "distance":
        return np.where(defined, cosines - around, -np.inf)
    defined &= around >= LEAST_MEAN
    return np.where(defined, cosines / np.where(defined, around, 1.0), -np.inf)
