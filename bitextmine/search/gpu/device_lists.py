"""The best candidates of a block of rows, kept on a device until their exact cosines rank them.

`pack`, `similarities` and `positions` are those of `exact.shortlists` in torch: the same bits.
Both exist since each library is the fast one where its arrays are; keys cross between them.
"""

import torch
from torch import Tensor

from bitextmine.search.exact.shortlists import EMPTY, Keys
from bitextmine.search.gpu.device_rows import CosineScorer

# Similarities are at least -1, and cosines too: no tile of real similarities is below this.
_BELOW_ALL = -2.0
# So many candidates are added to a row at once, or more where few rows have any; the others wait
# for a higher threshold.
_PENDING_A_ROW = 64
_PENDING_IN_ALL = 1 << 22
_LOW_WORD = 0xFFFFFFFF


def pack(values: Tensor, positions: Tensor) -> Tensor:
    """Pack float32 similarities and int64 positions."""
    bits = values.view(torch.int32)
    ordered = (bits ^ ((bits >> 31) & 0x7FFFFFFF)).long()
    return (-1 - ordered) << 32 | positions


def similarities(keys: Tensor) -> Tensor:
    """Unpack the similarities; an empty slot gives -inf."""
    ordered = (-1 - (keys >> 32)).int()
    return (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).view(torch.float32)


def positions(keys: Tensor) -> Tensor:
    """Unpack the positions."""
    return keys & _LOW_WORD


class DeviceLists:
    """Candidates of a block of rows, and below what similarity one is no candidate.

    A list holds all that was added and may be among the k nearest: similarities lie within
    `error` of cosines, so it is what lies within twice the error of the k-th similarity, and
    the rest is surely lower. A list that grows too long is ranked by exact cosines at once,
    which cuts it to k. Exact cosines stand in a list among similarities, and none the worse.

    Parameters
    ----------
    scales : Tensor of float32, shape (n,)
        One a row; a row whose scale is not positive gets no candidates.
    k : int
        At least 1.
    error : float
        Bound of |similarity - cosine|, rounding to float32 included.
    keys : Tensor of int64, shape (at most n, k), optional
        Exact cosines and positions found before, packed; `EMPTY` where fewer were.

    Attributes
    ----------
    keys : Tensor of int64, shape (n, keep)
        Packed similarities and positions, best first, then `EMPTY`.
    thresholds : Tensor of float32, shape (n,)
        Whatever has a lower similarity is none of the k nearest.
    fresh : bool
        Nothing has been added yet, and not all lists are full: thresholds are low.
    """

    def __init__(self, scales: Tensor, k: int, error: float, keys: Tensor | None = None) -> None:
        self.k = k
        self.fresh = keys is None or bool((keys[:, k - 1] == EMPTY).any())
        self._error = error
        self.keys = torch.full(
            (len(scales), k + max(8, k)), EMPTY, dtype=torch.int64, device=scales.device
        )
        self.thresholds = torch.where(scales > 0, _BELOW_ALL, torch.inf)
        if keys is not None:
            self.keys[: len(keys), : keys.shape[1]] = keys
            self._raise(slice(None), similarities(self.keys[:, k - 1]) - error)

    def raise_thresholds(self, kth: Tensor) -> None:
        """Note that k candidates at least as similar as this will be added to every row."""
        self._raise(slice(None), kth - 2 * self._error)

    def _raise(self, rows: Tensor | slice, limits: Tensor) -> None:
        self.thresholds[rows] = torch.maximum(self.thresholds[rows], limits)

    def add(self, rows: Tensor, candidates: Tensor, values: Tensor, scorer: CosineScorer) -> None:
        """Add candidates; rows ascend, and come with float32 similarities."""
        self.fresh = False
        keep = self.keys.shape[1]
        while len(rows):
            own, owner, counts = torch.unique_consecutive(
                rows, return_inverse=True, return_counts=True
            )
            slots = torch.arange(len(rows), device=rows.device)
            slots -= (counts.cumsum(0) - counts)[owner]
            most = int(counts.max())
            width = min(most, max(_PENDING_A_ROW, _PENDING_IN_ALL // len(own)))
            fits = slots < width if most > width else slice(None)
            merged = self.keys.new_full((len(own), keep + width), EMPTY)
            merged[:, :keep] = self.keys[own]
            merged[owner[fits], keep + slots[fits]] = pack(values[fits], candidates[fits])
            self._replace(own, merged.sort(dim=1).values, scorer)
            if most <= width:
                return
            waiting = (slots >= width) & (values >= self.thresholds[rows])
            rows, candidates, values = rows[waiting], candidates[waiting], values[waiting]

    def _replace(self, own: Tensor, merged: Tensor, scorer: CosineScorer) -> None:
        """Put longer, sorted lists in place of those of some rows."""
        keep = self.keys.shape[1]
        contenders = self._contenders(merged)
        self._raise(own, similarities(merged[:, self.k - 1]) - 2 * self._error)
        self.keys[own] = merged[:, :keep]
        crowded = contenders[:, keep].nonzero()[:, 0]
        if len(crowded):
            self._rank_lists(own[crowded], merged[crowded], contenders[crowded], scorer)

    def _contenders(self, keys: Tensor) -> Tensor:
        """Tell which entries of sorted lists may be among the k nearest."""
        limits = similarities(keys[:, self.k - 1]) - 2 * self._error
        return (similarities(keys) >= limits[:, None]) & (keys != EMPTY)

    def rank(self, scorer: CosineScorer) -> None:
        """Rank by exact cosines what the scorer has on the device, and keep the k best of all."""
        contenders = self._contenders(self.keys)
        rows = (contenders & (positions(self.keys) >= scorer.start)).any(1).nonzero()[:, 0]
        if len(rows):
            self._rank_lists(rows, self.keys[rows], contenders[rows], scorer)

    def best(self, n: int) -> Keys:
        """Copy the k best of the first n rows to the host."""
        keys: Keys = self.keys[:n, : self.k].cpu().numpy()
        return keys

    def _rank_lists(
        self, own: Tensor, keys: Tensor, contenders: Tensor, scorer: CosineScorer
    ) -> None:
        """Replace lists by the k best of these contenders; older ones have exact cosines."""
        ranked = keys.masked_fill(~contenders, EMPTY)
        candidates = positions(keys)
        lists, slots = (contenders & (candidates >= scorer.start)).nonzero(as_tuple=True)
        unranked = candidates[lists, slots]
        ranked[lists, slots] = pack(scorer.cosines(own[lists], unranked), unranked)
        ranked = ranked.sort(dim=1).values[:, : self.k]
        self.keys[own, : self.k] = ranked
        self.keys[own, self.k :] = EMPTY
        self._raise(own, similarities(ranked[:, -1]) - self._error)
