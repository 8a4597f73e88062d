"""Choosing pairs among the neighbours of both sides, in memory that does not grow with them.

First every sentence votes for its best candidate (`candidates`, which scores them with `margin`);
then the votes that the retrieval keeps are sorted (`sorting`); then, from the best down, they are
taken or not, and what becomes of every sentence is noted (`outcomes`).
"""

from dataclasses import dataclass

import numpy as np

from bitextmine.config import SelectConfig
from bitextmine.files import Scratch
from bitextmine.search.neighbours import NeighbourLists
from bitextmine.select.candidates import Candidates, CandidateSide
from bitextmine.select.outcomes import Outcome, take_one_to_one
from bitextmine.select.pairs import Pairs, StoredPairs
from bitextmine.select.sorting import PairSorter

LOWEST = float(np.finfo(np.float64).min)  # An undefined margin is below any threshold.


@dataclass(frozen=True)
class Selection:
    """The pairs, and what became of every sentence and candidate.

    Attributes
    ----------
    pairs : StoredPairs
        What was selected, best first; as long as the scratch is open.
    counts : dict
        For each side: paired, and unpaired by reason; they add up to its
        sentences. ``candidates`` and ``undefined_margins`` as computed.
    """

    pairs: StoredPairs
    counts: dict[str, dict[str, int] | int]


def choose_pairs(
    scratch: Scratch,
    fwd: NeighbourLists,
    bwd: NeighbourLists,
    config: SelectConfig,
    threshold: float,
    memory: int,
) -> Selection:
    """Choose the pairs among the neighbours of both sides.

    Retrievals, in LASER's words: each sentence votes for its candidate of best margin;
    "fwd" takes the src votes, "bwd" the tgt votes, "union" both, "intersect" those that
    are mutual, and "max" goes through both from the best score down and takes every pair
    whose two sentences are still free.

    Parameters
    ----------
    scratch : Scratch
        Takes 13 bytes a sentence and up to 48 bytes a pair.
    fwd, bwd : NeighbourLists
        src to tgt and tgt to src, by sentence numbers of the other side.
    config : SelectConfig
        Margin, retrieval, and the number of pairs wanted at most.
    threshold : float
        Pairs that score less are dropped, whatever the retrieval; -inf keeps all.
    memory : int
        Bytes to work in, about. Files that are mapped come on top as far as the system
        has memory to spare. The pairs do not depend on it.

    Returns
    -------
    Selection
        The same to the last bit, whatever the memory and the order of the lists.

    Raises
    ------
    OutputError
        The disk has no room for the scratch.
    WorkdirError
        A file of neighbours is missing or holds something else.
    """
    src = CandidateSide.of(fwd, scratch, memory // 4)
    tgt = CandidateSide.of(bwd, scratch, memory // 4)
    candidates = Candidates(src, tgt, config.margin, max(threshold, LOWEST))
    sorter = PairSorter(scratch, memory - memory // 4, most=len(fwd) + len(bwd))
    for votes in candidates.vote(config.retrieval):
        sorter.add(votes)
    chosen = StoredPairs(scratch)
    for pairs in sorter.sorted():
        if config.retrieval == "max":
            taken = take_one_to_one(pairs, src.outcomes, tgt.outcomes)
            _keep(pairs[taken], chosen, candidates, config.top)
        else:
            _keep(pairs, chosen, candidates, config.top)
    counts: dict[str, dict[str, int] | int] = {
        "candidates": len(fwd) * fwd.k + len(bwd) * bwd.k,
        "undefined_margins": candidates.undefined,
        "src": src.outcomes.counts(),
        "tgt": tgt.outcomes.counts(),
    }
    return Selection(chosen, counts)


def _keep(pairs: Pairs, chosen: StoredPairs, candidates: Candidates, top: int | None) -> None:
    """Store the next pairs as far as they are among the top, and note their sentences."""
    room = len(pairs) if top is None else max(top - len(chosen), 0)
    chosen.append(pairs[:room])
    for outcome, some in ((Outcome.PAIRED, pairs[:room]), (Outcome.BEYOND_TOP, pairs[room:])):
        candidates.src.outcomes.improve(some["src"], outcome)
        candidates.tgt.outcomes.improve(some["tgt"], outcome)
