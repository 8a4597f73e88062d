"""Precision, recall and F1 by threshold, as CSV and as a picture."""

import csv
import sys
from pathlib import Path

import numpy as np
import pytest

from bitextmine.errors import OutputError, UsageError
from bitextmine.evaluation.bucc import Scored
from bitextmine.evaluation.threshold_curve import check_curve, save_curve

SCORED = Scored(np.array([1.5, 1.2, 1.2, 1.0]), np.array([True, True, False, False]), 2)


def test_a_curve_has_a_row_a_score(tmp_path: Path) -> None:
    path = tmp_path / "Kurve 'x'.csv"
    save_curve({"a": SCORED, "b": SCORED}, path)
    rows = list(csv.DictReader(path.read_text("utf-8").splitlines()))
    assert [(row["model"], row["threshold"]) for row in rows] == [
        (model, score) for model in "ab" for score in ("1.5", "1.2", "1.0")
    ]
    assert [float(rows[1][name]) for name in ("mined", "precision", "recall", "f1")] == [
        3, pytest.approx(66.6667), 100, 80,
    ]  # fmt: skip


def test_a_curve_may_be_a_picture(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    first, second = tmp_path / "a.png", tmp_path / "b.png"
    for path in (first, second):
        check_curve(path, [])
        save_curve({"a": SCORED, "b": SCORED}, path)
    assert first.read_bytes().startswith(b"\x89PNG")
    assert first.read_bytes() == second.read_bytes()


def test_without_matplotlib_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("matplotlib", "matplotlib.figure"):
        monkeypatch.setitem(sys.modules, name, None)  # as if not installed
    with pytest.raises(OutputError) as caught:
        check_curve(tmp_path / "a.png", [])
    assert "matplotlib" in str(caught.value)
    assert "bitextmine[report]" in caught.value.hint


def test_other_endings_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"no \.csv or \.png"):
        check_curve(tmp_path / "a.pdf", [])


def test_an_input_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "gold.csv"
    with pytest.raises(UsageError, match="would overwrite"):
        check_curve(path, [str(tmp_path / "." / "gold.csv")])


def test_a_folder_that_is_not_there_is_refused_early(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        check_curve(tmp_path / "missing" / "a.csv", [])
