"""What becomes of every sentence of a side: a byte each, on disk where memory is short."""

from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

from bitextmine.arrays import Bools, Ids
from bitextmine.files import Scratch
from bitextmine.select.pairs import Pairs


class Outcome(IntEnum):
    """What became of a sentence; in this order it only ever gets better."""

    BELOW_THRESHOLD = 0  # also where no margin of its candidates is defined
    PARTNER_TAKEN = 1
    BEYOND_TOP = 2
    PAIRED = 3


TAKEN = int(Outcome.BEYOND_TOP)  # from here on, a sentence is in a pair that was retrieved

COUNTED_AS = {
    Outcome.PAIRED: "paired",
    Outcome.BEYOND_TOP: "unpaired_beyond_top",
    Outcome.BELOW_THRESHOLD: "unpaired_below_threshold",
    Outcome.PARTNER_TAKEN: "unpaired_partner_taken",
}

COUNTED_ROWS = 1 << 20


class Outcomes:
    """The outcomes of the n sentences of a side, by number; at first all are below the threshold.

    Attributes
    ----------
    marks : mmap
        The same bytes as plain integers, which a loop reads faster than an array.
    """

    def __init__(self, scratch: Scratch, n: int) -> None:
        self.marks = scratch.map(n)
        self._outcomes: NDArray[np.uint8] = np.frombuffer(self.marks, np.uint8, n)

    def reach_threshold(self, numbers: Ids) -> None:
        """Note sentences whose best candidate reaches the threshold; before any is taken."""
        self._outcomes[numbers] = Outcome.PARTNER_TAKEN

    def improve(self, numbers: Ids, outcome: Outcome) -> None:
        """Note an outcome of sentences, unless they have a better one already."""
        self._outcomes[numbers] = np.maximum(self._outcomes[numbers], np.uint8(outcome))

    def taken(self, numbers: Ids) -> Bools:
        """Tell which sentences are in a pair that was retrieved."""
        return self._outcomes[numbers] >= TAKEN

    def counts(self) -> dict[str, int]:
        """Count each outcome; the counts add up to all sentences."""
        totals = np.zeros(len(Outcome), dtype=np.int64)
        for start in range(0, len(self._outcomes), COUNTED_ROWS):
            some = self._outcomes[start : start + COUNTED_ROWS]
            totals += np.bincount(some, minlength=len(Outcome))
        return {name: int(totals[outcome]) for outcome, name in COUNTED_AS.items()}


def take_one_to_one(pairs: Pairs, src: Outcomes, tgt: Outcomes) -> Bools:
    """Mark the pairs that greedy one-to-one matching takes from the next ones of a sorted list.

    It goes down the list and takes each pair whose two sentences are still free.
    It is the one loop over pairs in the program: it is sequential by nature, is
    linear in any case, and takes 0.3 s per million pairs, no more than sorting them.

    Parameters
    ----------
    pairs : Pairs
        Best first, and none better than those of an earlier call.
    src, tgt : Outcomes
        Of the sentences of both sides; those of pairs that are taken become so.

    Returns
    -------
    ndarray of bool
        The pairs taken.
    """
    taken = np.zeros(len(pairs), dtype=bool)
    free = np.flatnonzero(~(src.taken(pairs["src"]) | tgt.taken(pairs["tgt"])))
    sentences = (pairs[side][free].tolist() for side in ("src", "tgt"))
    src_marks, tgt_marks = src.marks, tgt.marks
    for row, s, t in zip(free.tolist(), *sentences, strict=True):
        if src_marks[s] < TAKEN and tgt_marks[t] < TAKEN:
            src_marks[s] = tgt_marks[t] = TAKEN
            taken[row] = True
    return taken
