"""One report in three forms, and its run card."""

import csv
import io
import json
from pathlib import Path

import pytest
import zstandard

from bitextmine.errors import OutputError
from bitextmine.evaluation.report import Report, save_report
from bitextmine.runcard import RunCard, card_path

REPORT = Report(
    evaluation="toys",
    keys={"name": "name", "pairs": "pairs"},
    metrics={"score": "score %", "threshold": "threshold"},
    records=(
        {"model": "a", "name": "deu", "pairs": 1000, "score": 97.5, "threshold": 1.25},
        {"model": "a", "name": "橋", "pairs": 7, "score": 8.0, "threshold": None},
        {"model": "a very long name of a model", "name": "deu", "pairs": 1000, "score": 1.0},
    ),
    notes=("in percent",),
    details={"more": [1]},
    appendix=("worst: none",),
)

TABLE = """\
             a                   a very long name of a model
name  pairs  score %  threshold  score %           threshold
----  -----  -------  ---------  -------  ------------------
deu   1,000    97.50     1.2500     1.00                   –
橋        7     8.00          –        –                   –

in percent.

worst: none
"""


def test_models_stand_side_by_side_in_a_table() -> None:
    assert REPORT.rendered("table", RunCard()) == TABLE


def test_csv_has_a_row_a_record() -> None:
    rows = list(csv.DictReader(io.StringIO(REPORT.rendered("csv", RunCard()))))
    assert [row["model"] for row in rows] == ["a", "a", "a very long name of a model"]
    assert (rows[0]["score"], rows[1]["threshold"], rows[2]["threshold"]) == ("97.5", "", "")


def test_json_has_everything() -> None:
    card = RunCard()
    card.facts |= {"settings": {"k": 4}, "models": [{"label": "a"}]}
    content = json.loads(REPORT.rendered("json", card))
    assert content["records"] == list(REPORT.records)
    assert (content["more"], content["settings"], content["models"]) == (
        [1],
        {"k": 4},
        [{"label": "a"}],
    )


def test_a_report_is_saved_with_its_run_card(tmp_path: Path) -> None:
    out = tmp_path / "résultat 'x'.csv.zst"
    save_report(REPORT, "csv", out, RunCard())
    text = zstandard.ZstdDecompressor().decompressobj().decompress(out.read_bytes()).decode()
    assert text == REPORT.rendered("csv", RunCard())
    card = json.loads(card_path(out).read_bytes())
    assert card["records"] == list(REPORT.records)
    assert card["evaluation"] == "toys"
    assert card["machine"]["cores"] > 0


def test_a_report_that_cannot_be_written_is_explained(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        save_report(REPORT, "csv", tmp_path / "no such folder" / "x", RunCard())
