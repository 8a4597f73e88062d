"""Precision, recall and F1 of mined pairs against gold pairs, at every possible threshold."""

from collections.abc import Collection, Sequence
from typing import NamedTuple


class Accuracy(NamedTuple):
    """How well the pairs of this score or better do.

    Attributes
    ----------
    threshold : float
        Score of the last pair counted.
    precision, recall : float
        Shares of the pairs that are gold, and of the gold that is among the pairs.
    """

    threshold: float
    precision: float
    recall: float

    @property
    def f1(self) -> float:
        """Harmonic mean of precision and recall."""
        total = self.precision + self.recall
        return 2 * self.precision * self.recall / total if total else 0.0


def precision_recall(
    pairs: Sequence[tuple[float, int, int]], gold: Collection[tuple[int, int]]
) -> list[Accuracy]:
    """Follow precision and recall as the threshold falls.

    Parameters
    ----------
    pairs : sequence of (float, int, int)
        Score, src and tgt, by descending score.
    gold : collection of (int, int)
        All true pairs, not empty.

    Returns
    -------
    list of Accuracy
        One a score; pairs of equal score pass a threshold together, so they are counted together.
    """
    true_pairs = frozenset(gold)
    curve = []
    n_true = 0
    for n_pairs, (score, src, tgt) in enumerate(pairs, start=1):
        n_true += (src, tgt) in true_pairs
        if n_pairs == len(pairs) or pairs[n_pairs][0] != score:
            curve.append(Accuracy(score, n_true / n_pairs, n_true / len(true_pairs)))
    return curve


def best_f1(pairs: Sequence[tuple[float, int, int]], gold: Collection[tuple[int, int]]) -> Accuracy:
    """Return the best point of the curve; choosing it on the test gold flatters, as in BUCC."""
    return max(precision_recall(pairs, gold), key=lambda accuracy: accuracy.f1)
