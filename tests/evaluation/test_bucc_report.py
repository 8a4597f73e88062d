"""Ways to a threshold side by side, each with what it gives."""

from pathlib import Path

import pytest
from bucc_tasks import half_translated, read, toy_model, write_task
from toy import src_line, tgt_line

from bitextmine.evaluation.bucc_mining import mine_task
from bitextmine.evaluation.bucc_report import GIVEN, OWN, TUNED_HERE, evaluate_bucc
from bitextmine.runcard import RunCard


@pytest.mark.usefixtures("toy")
def test_a_threshold_is_tuned_on_one_gold_and_applied_to_another(
    tmp_path: Path,
) -> None:
    task = half_translated(tmp_path)
    src, tgt = [src_line(n) for n in range(100, 120)], [tgt_line(n) for n in range(110, 130)]
    other = write_task(tmp_path / "other", src, tgt, [(n, n - 10) for n in range(10, 20)])
    card = RunCard()
    model = toy_model(card)
    report, scored = evaluate_bucc([model], task, "laser", card, tune=read(other))
    rows = {record["threshold_from"]: record for record in report.records}
    assert list(rows) == [OWN, TUNED_HERE, "tuned on the other gold"]
    tuned = mine_task(model, read(other), "laser", card).scored.best().threshold
    assert rows["tuned on the other gold"]["threshold"] == pytest.approx(tuned, abs=1e-6)
    assert rows[TUNED_HERE]["f1"] >= rows["tuned on the other gold"]["f1"]
    assert scored["toy"].best().figures()["f1"] == rows[TUNED_HERE]["f1"]


@pytest.mark.usefixtures("toy")
def test_a_threshold_that_is_given_takes_the_place_of_the_models_own(tmp_path: Path) -> None:
    card = RunCard()
    task, model = half_translated(tmp_path), toy_model(card)
    report, scored = evaluate_bucc([model], task, "laser", card, threshold=1.1)
    rows = {record["threshold_from"]: record for record in report.records}
    assert list(rows) == [GIVEN, TUNED_HERE]
    figures = scored["toy"].at(1.1).figures()
    assert rows[GIVEN] == {"model": "toy", "threshold_from": GIVEN, **figures}
    assert "gold: 20 gold pairs" in report.notes
    assert card.facts["counts"]["toy"]["src"]["searched"] == 40
