"""BUCC: precision, recall and F1 of mined pairs, at a threshold and over all of them.

The arithmetic of the BUCC shared task as LASER's ``tasks/bucc/bucc.py`` and mSimCSE's
``eval/utils_retrieve.py`` compute it: recall is of all gold pairs, and the best threshold lies
midway between the last pair that is taken and the first that is not. Both index one item past the
end when the last pair is the best place to stop; here the threshold is that pair's own score.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitextmine.arrays import Bools, Doubles
from bitextmine.evaluation.report import percent


@dataclass(frozen=True)
class PrecisionRecall:
    """How good the pairs at or above a threshold are.

    Attributes
    ----------
    threshold : float
        Least score of a pair that counts.
    n_pairs, n_true : int
        Pairs that count, and those of them that are gold.
    n_gold : int
        Gold pairs, whether mined or not.
    """

    threshold: float
    n_pairs: int
    n_true: int
    n_gold: int

    @property
    def precision(self) -> float:
        """Share of the pairs that is gold; 0 of none."""
        return self.n_true / self.n_pairs if self.n_pairs else 0.0

    @property
    def recall(self) -> float:
        """Share of the gold that is among the pairs."""
        return self.n_true / self.n_gold

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0

    def figures(self) -> dict[str, Any]:
        """Return plain values by name, shares in percent."""
        return {
            "threshold": round(self.threshold, 6),
            "mined": self.n_pairs,
            "precision": percent(self.precision),
            "recall": percent(self.recall),
            "f1": percent(self.f1),
        }


@dataclass(frozen=True)
class Scored:
    """All mined pairs, each known to be right or wrong.

    Attributes
    ----------
    scores : ndarray of float64, shape (n,)
        Margins, descending.
    true : ndarray of bool, shape (n,)
        Whether the pair is gold.
    n_gold : int
        Gold pairs in all, at least 1.
    """

    scores: Doubles
    true: Bools
    n_gold: int

    def __post_init__(self) -> None:
        if self.scores.shape != self.true.shape or self.n_gold < 1:
            raise ValueError(f"{self.scores.shape}, {self.true.shape}, {self.n_gold} gold pairs")
        if (np.diff(self.scores) > 0).any():
            raise ValueError("scores must descend")

    def at(self, threshold: float) -> PrecisionRecall:
        """Return how good the pairs of this score or better are."""
        n_pairs = int((self.scores >= threshold).sum())
        return PrecisionRecall(threshold, n_pairs, int(self.true[:n_pairs].sum()), self.n_gold)

    def curve(self) -> Iterator[PrecisionRecall]:
        """Follow the threshold down; pairs of equal score pass it together.

        The originals stop between pairs of equal score too, at an F1 that no threshold gives.
        """
        n_true = np.cumsum(self.true)
        for row in self._lasts().tolist():
            yield PrecisionRecall(float(self.scores[row]), row + 1, int(n_true[row]), self.n_gold)

    def best(self) -> PrecisionRecall:
        """Return the best F1 over all thresholds, the highest threshold among equals.

        It is tuned on the gold that it is measured on, so it flatters. Without a single true pair
        the threshold is 0, as in the originals.
        """
        lasts = self._lasts()
        taken = lasts + 1
        n_true = np.cumsum(self.true)[lasts]
        if not n_true.any():
            return self.at(0.0)
        f1 = 2 * n_true / (taken + self.n_gold)  # It is the same as 2PR / (P + R).
        return self.at(self._threshold_after(int(lasts[f1.argmax()])))

    def _lasts(self) -> "np.ndarray[tuple[int], np.dtype[np.intp]]":
        """Rows after which the score changes, the last row included."""
        ends = np.ones(len(self.scores), dtype=bool)
        ends[:-1] = self.scores[1:] != self.scores[:-1]
        return np.flatnonzero(ends)

    def _threshold_after(self, row: int) -> float:
        """Midway between this pair's score and the next; its own if there is no next."""
        own = float(self.scores[row])
        if row + 1 == len(self.scores):
            return own
        middle = (own + float(self.scores[row + 1])) / 2
        return (
            middle if middle > self.scores[row + 1] else own
        )  # Neighbouring floats have no middle.
