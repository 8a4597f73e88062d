"""Choosing pairs among neighbour lists on disk, in memory that does not grow with them."""

from dataclasses import dataclass

from bitextmine.config import Retrieval, SelectConfig
from bitextmine.files import Scratch
from bitextmine.search.neighbours import StoredNeighbours
from bitextmine.select.candidates import LOWEST, Election, Electorate
from bitextmine.select.outcomes import BEYOND_TOP, PAIRED, take_one_to_one
from bitextmine.select.pairs import Records, StoredPairs
from bitextmine.select.sorting import PairSorter


@dataclass(frozen=True)
class StoredSelection:
    """The pairs, and what became of every sentence and candidate.

    Attributes
    ----------
    pairs : StoredPairs
        What was selected, best first; as long as the scratch is open.
    counts : dict
        As those of `bitextmine.select.in_memory.Selection`.
    """

    pairs: StoredPairs
    counts: dict[str, dict[str, int] | int]


def select_from_disk(
    scratch: Scratch,
    fwd: StoredNeighbours,
    bwd: StoredNeighbours,
    config: SelectConfig,
    threshold: float,
    memory: int,
) -> StoredSelection:
    """Choose the pairs among the neighbours of both sides.

    Parameters
    ----------
    scratch : Scratch
        Takes 13 bytes a sentence and up to 48 bytes a pair.
    fwd, bwd : StoredNeighbours
        src to tgt and tgt to src; ids are sentence numbers of the other side.
    config : SelectConfig
        Margin, retrieval, and the number of pairs wanted at most.
    threshold : float
        Pairs that score less are dropped, whatever the retrieval; -inf keeps all.
    memory : int
        Bytes to work in, about. Files that are mapped come on top as far as the system
        has memory to spare. The pairs do not depend on it.

    Returns
    -------
    StoredSelection
        The same pairs, to the last bit, and the same counts as `select_pairs` gives.

    Raises
    ------
    OutputError
        The disk has no room for the scratch.
    WorkdirError
        A file of neighbours is missing or holds something else.
    """
    src = Electorate.of(fwd, scratch, memory // 4)
    tgt = Electorate.of(bwd, scratch, memory // 4)
    election = Election(src, tgt, config.margin, max(threshold, LOWEST))
    sorter = PairSorter(scratch, memory - memory // 4, most=len(fwd) + len(bwd))
    for records in election.candidates(config.retrieval):
        sorter.add(records)
    pairs = StoredPairs(scratch)
    for records in sorter.sorted():
        good = _good(records, config.retrieval, election)
        _keep(good, pairs, election, config.top)
    counts: dict[str, dict[str, int] | int] = {
        "candidates": len(fwd) * fwd.k + len(bwd) * bwd.k,
        "undefined_margins": election.undefined,
        "src": src.fates.counts(),
        "tgt": tgt.fates.counts(),
    }
    return StoredSelection(pairs, counts)


def _good(records: Records, retrieval: Retrieval, election: Election) -> Records:
    """Return the pairs that the retrieval takes from the next ones of the sorted list."""
    if retrieval != "max":
        return records
    src, tgt = election.src.fates, election.tgt.fates
    return records[take_one_to_one(records["src"], records["tgt"], src, tgt)]


def _keep(good: Records, pairs: StoredPairs, election: Election, top: int | None) -> None:
    """Store the next good pairs as far as they are among the top, and note their sentences."""
    room = len(good) if top is None else max(top - len(pairs), 0)
    pairs.append(good[:room])
    for fate, some in ((PAIRED, good[:room]), (BEYOND_TOP, good[room:])):
        election.src.fates.match(some["src"], fate)
        election.tgt.fates.match(some["tgt"], fate)
