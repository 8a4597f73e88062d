"""What becomes of every sentence of a side: a byte each, on disk where memory is short."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bitextmine.arrays import Bools, Ids
from bitextmine.files import Scratch

TAKEN = 2  # marks a sentence that is in a pair


class Marks(Protocol):
    """A small number for every sentence of a side: a bytearray, or a file in memory's place."""

    def __getitem__(self, number: int, /) -> int:
        """Return the mark of a sentence."""
        ...

    def __setitem__(self, number: int, mark: int, /) -> None:
        """Mark a sentence."""
        ...


def take_free(src: Ids, tgt: Ids, src_marks: Marks, tgt_marks: Marks) -> Bools:
    """Go down some pairs, take each whose sentences are both marked less than `TAKEN`, and mark."""
    taken = np.zeros(len(src), dtype=bool)
    for row, (s, t) in enumerate(zip(src.tolist(), tgt.tolist(), strict=True)):
        if src_marks[s] < TAKEN and tgt_marks[t] < TAKEN:
            src_marks[s] = tgt_marks[t] = TAKEN
            taken[row] = True
    return taken


# In this order a fate only ever gets better; from TAKEN on, a sentence is in a good pair.
BELOW_THRESHOLD, PARTNER_TAKEN, BEYOND_TOP, PAIRED = 0, 1, TAKEN, TAKEN + 1

NAMES = {
    PAIRED: "paired",
    BEYOND_TOP: "unpaired_beyond_top",
    BELOW_THRESHOLD: "unpaired_below_threshold",
    PARTNER_TAKEN: "unpaired_partner_taken",
}

COUNTED = 1 << 20  # sentences counted at a time


class Fates:
    """The fates of the n sentences of a side, by number; at first all are below the threshold."""

    def __init__(self, scratch: Scratch, n: int) -> None:
        self.marks = scratch.map(n)
        self._fates: NDArray[np.uint8] = np.frombuffer(self.marks, np.uint8, n)

    def reach_threshold(self, numbers: Ids) -> None:
        """Note sentences whose best candidate reaches the threshold; before any good pair."""
        self._fates[numbers] = PARTNER_TAKEN

    def match(self, numbers: Ids, fate: int) -> None:
        """Note sentences of good pairs, unless they have a better fate already."""
        self._fates[numbers] = np.maximum(self._fates[numbers], np.uint8(fate))

    def taken(self, numbers: Ids) -> Bools:
        """Tell which sentences are in a good pair."""
        return self._fates[numbers] >= TAKEN

    def counts(self) -> dict[str, int]:
        """Count each fate; the counts add up to all sentences."""
        totals = np.zeros(len(NAMES), dtype=np.int64)
        for start in range(0, len(self._fates), COUNTED):
            totals += np.bincount(self._fates[start : start + COUNTED], minlength=len(NAMES))
        return {name: int(totals[fate]) for fate, name in NAMES.items()}


def take_one_to_one(src: Ids, tgt: Ids, src_fates: Fates, tgt_fates: Fates) -> Bools:
    """Mark the pairs that greedy one-to-one matching takes from the next ones of a sorted list."""
    taken = np.zeros(len(src), dtype=bool)
    free = np.flatnonzero(~(src_fates.taken(src) | tgt_fates.taken(tgt)))
    taken[free] = take_free(src[free], tgt[free], src_fates.marks, tgt_fates.marks)
    return taken
