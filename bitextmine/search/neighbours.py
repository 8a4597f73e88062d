"""The k nearest sentences of every sentence, and the array types the stages share."""

from dataclasses import dataclass

from bitextmine.arrays import Floats, Ids


@dataclass(frozen=True)
class Neighbours:
    """The nearest sentences of the other side for n sentences, best first.

    Attributes
    ----------
    cosines : ndarray of float32, shape (n, k)
        Descending in every row; equal cosines are in ascending order of id.
    ids : ndarray of int64, shape (n, k)
        Which sentence of the other side each cosine belongs to.
    """

    cosines: Floats
    ids: Ids

    def __post_init__(self) -> None:
        if self.cosines.shape != self.ids.shape or self.cosines.ndim != 2:
            raise ValueError(
                f"cosines {self.cosines.shape} and ids {self.ids.shape} must be (n, k)"
            )

    @property
    def k(self) -> int:
        """Neighbours a sentence has: the k asked for, or all there are."""
        return int(self.ids.shape[1])

    def __len__(self) -> int:
        return len(self.ids)
