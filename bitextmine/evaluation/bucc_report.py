"""BUCC for several models: how good is what they mine, and where did the threshold come from?"""

from collections.abc import Iterator, Sequence
from typing import Any

from bitextmine.evaluation.bucc import Scored
from bitextmine.evaluation.bucc_mining import BuccProtocol, MinedTask, mine_task
from bitextmine.evaluation.bucc_task import BuccTask
from bitextmine.evaluation.report import Report
from bitextmine.evaluation.trials import NamedModel
from bitextmine.runcard import RunCard

METRICS = {
    "threshold": "threshold",
    "mined": "mined",
    "precision": "precision",
    "recall": "recall",
    "f1": "F1",
}
GIVEN = "given (--threshold)"
OWN = "the model's own"
TUNED_HERE = "best F1: tuned on this gold"
_NOTES = {
    "laser": "protocol laser: equal sentences are one, those under several ids are dropped",
    "msimcse": "protocol msimcse: nothing is unified; mSimCSE itself tunes the threshold on the"
    " gold that it reports, which is the row tuned on this gold",
}


def evaluate_bucc(
    models: Sequence[NamedModel],
    task: BuccTask,
    protocol: BuccProtocol,
    card: RunCard,
    *,
    threshold: float | None = None,
    tune: BuccTask | None = None,
) -> tuple[Report, dict[str, Scored]]:
    """Mine a task with every model, and score what is mined.

    Parameters
    ----------
    models : sequence of NamedModel
    task : BuccTask
        What to report on.
    protocol : str
        "laser" or "msimcse"; the same for both tasks.
    card : RunCard
        Takes times, counts and warnings.
    threshold : float, optional
        Ratio margin; default: each model's own.
    tune : BuccTask, optional
        Another task, whose best threshold is applied to this one.

    Returns
    -------
    report : Report
    scored : dict of str to Scored
        What each model mined, for the curve.

    Raises
    ------
    BitextmineError
        As for `bitextmine.mine`.
    """
    records: list[dict[str, Any]] = []
    scored = {}
    counts = card.facts.setdefault("counts", {})
    for model in models:
        with card.timed(model.label):
            mined = mine_task(model, task, protocol, card)
            tuned = mine_task(model, tune, protocol, card) if tune is not None else None
        counts[model.label] = mined.counts
        if threshold is None and model.spec.info.threshold is None:
            card.show(f"no threshold was ever measured for {model.label}: give one as --threshold")
        scored[model.label] = mined.scored
        records += _rows(model, mined, threshold, tuned)
    split = f"{task.gold.name}: {len(task.gold_pairs):,} gold pairs"
    report = Report(
        evaluation="bucc",
        keys={"threshold_from": "threshold from"},
        metrics=METRICS,
        records=tuple(records),
        notes=(split, _NOTES[protocol], *_tuned_note(tune)),
    )
    return report, scored


def _rows(
    model: NamedModel, mined: MinedTask, threshold: float | None, tuned: MinedTask | None
) -> Iterator[dict[str, Any]]:
    """One row for every way to come to a threshold."""
    chosen: dict[str, float] = {}
    own = model.spec.info.threshold
    if threshold is not None:
        chosen[GIVEN] = threshold
    elif own is not None:
        chosen[OWN] = own
    chosen[TUNED_HERE] = mined.scored.best().threshold
    if tuned is not None:
        chosen["tuned on the other gold"] = tuned.scored.best().threshold
    for where, value in chosen.items():
        yield {"model": model.label, "threshold_from": where, **mined.scored.at(value).figures()}


def _tuned_note(tune: BuccTask | None) -> tuple[str, ...]:
    if tune is None:
        return ()
    return (f"the other gold is {tune.gold.name}: {len(tune.gold_pairs):,} gold pairs",)
