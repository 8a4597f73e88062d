"""The course of a training as tables, and as a picture where it can be drawn."""

import sys
from pathlib import Path
from typing import Any

import pytest

from bitextmine.training.course import COURSE_FILES, write_course

LOSSES: list[dict[str, Any]] = [
    {"step": 10, "loss": 2.5, "learning_rate": 0.01, "grad_norm": 1.5, "epoch": 0.1},
    {"step": 20, "loss": 1.25, "learning_rate": 0.005},
]
SCORES: list[dict[str, Any]] = [{"step": 20, "eval_sts": 71.5, "eval_tatoeba": 90.0, "epoch": 0.2}]


def test_the_loss_has_a_row_for_each_time_it_was_logged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)  # as if not installed
    assert write_course(tmp_path, LOSSES) == ["loss.csv"]
    table = "step,loss,learning_rate,grad_norm\n10,2.5,0.01,1.5\n20,1.25,0.005,\n"
    assert (tmp_path / "loss.csv").read_text("utf-8") == table


def test_scores_have_a_table_of_their_own(tmp_path: Path) -> None:
    written = write_course(tmp_path, [*LOSSES, *SCORES])
    assert written[:2] == ["loss.csv", "scores.csv"]
    assert (tmp_path / "scores.csv").read_text("utf-8") == "step,sts,tatoeba\n20,71.5,90.0\n"


def test_the_course_is_drawn_where_matplotlib_is(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    folder = tmp_path / "it's « drawn »"
    folder.mkdir()
    assert write_course(folder, [*LOSSES, *SCORES]) == list(COURSE_FILES)
    assert (folder / "curves.png").read_bytes().startswith(b"\x89PNG")


def test_without_a_loss_nothing_is_drawn(tmp_path: Path) -> None:
    assert write_course(tmp_path, SCORES) == ["loss.csv", "scores.csv"]
