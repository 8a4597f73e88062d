"""The stage `select`: neighbours -> pairs, best first, and what became of every sentence."""

from dataclasses import dataclass
from typing import Any

from bitextmine.config import SelectConfig, settings_of
from bitextmine.encode.choice import ModelChoice
from bitextmine.runcard import Run
from bitextmine.search.neighbours import StoredNeighbours
from bitextmine.select.choose import choose_pairs
from bitextmine.select.pairs import StoredPairs
from bitextmine.select.threshold import default_threshold


@dataclass(frozen=True)
class Selected:
    """The pairs of a run, and how they were selected.

    Attributes
    ----------
    pairs : StoredPairs
        Sentence numbers and scores, best first; as long as the run is open.
    counts : dict
        What became of every sentence and candidate, by side.
    facts : dict
        The run card's part: settings, threshold, neighbours.
    """

    pairs: StoredPairs
    counts: dict[str, Any]
    facts: dict[str, Any]


def select(
    run: Run, config: SelectConfig, fwd: StoredNeighbours, bwd: StoredNeighbours
) -> Selected:
    """Choose the pairs among the neighbours of both sides.

    Parameters
    ----------
    run : Run
        Searched.
    config : SelectConfig
        What was asked for.
    fwd, bwd : StoredNeighbours
        src to tgt and tgt to src.

    Returns
    -------
    Selected
        The pairs, best first.

    Raises
    ------
    BitextmineError
        A list is damaged, or the disk is full.
    """
    asked_k = run.workdir.stage_settings("search")["k"]
    with run.card.timed("select"):
        info = ModelChoice.of(run.workdir).info
        threshold = default_threshold(info, config, asked_k, run.card)
        memory = run.engine.resources("cpu").memory
        selection = choose_pairs(run.scratch, fwd, bwd, config, threshold.value, memory)
    if min(fwd.k, bwd.k) < asked_k:
        run.card.show(f"a side has fewer than {asked_k} sentences: margins say little")
    facts = {
        "select": settings_of(config, SelectConfig),
        "threshold": threshold.as_fact(),
        "k": {"asked": asked_k, "src": fwd.k, "tgt": bwd.k},
    }
    return Selected(selection.pairs, selection.counts, facts)
