"""Tatoeba's languages, and averages over those that are complete."""

from pathlib import Path

import pytest

from bitextmine.config import EncodeConfig
from bitextmine.errors import InputError, UsageError
from bitextmine.evaluation.report import Report
from bitextmine.evaluation.tatoeba import TATOEBA_14
from bitextmine.evaluation.tatoeba_report import (
    chosen_languages,
    evaluate_tatoeba_models,
    read_test_sets,
)
from bitextmine.evaluation.trials import resolve_models
from bitextmine.runcard import RunCard

EQUAL = "the bridge is closed\nyes\nno rain today\n"


def write(folder: Path, language: str, text: str = EQUAL, english: str = EQUAL) -> None:
    folder.mkdir(exist_ok=True)
    (folder / f"tatoeba.{language}-eng.{language}").write_text(text, "utf-8")
    (folder / f"tatoeba.{language}-eng.eng").write_text(english, "utf-8")


def evaluated(folder: Path, languages: tuple[str, ...]) -> Report:
    card = RunCard()
    models = resolve_models(["toy"], EncodeConfig(), card)
    return evaluate_tatoeba_models(models, read_test_sets(folder, languages), card)


@pytest.mark.usefixtures("toy")
def test_accuracy_both_ways_and_the_margin_error_beside(tmp_path: Path) -> None:
    write(tmp_path, "deu")
    write(tmp_path, "fra", "no rain today\nyes\nthe bridge is closed\n")
    report = evaluated(tmp_path, ("deu", "fra"))
    figures = [(r["language"], r["pairs"], r["mean"], r["margin_error"]) for r in report.records]
    third = pytest.approx(100 / 3, abs=1e-3)
    assert figures[:2] == [("deu", 3, 100, 0), ("fra", 3, third, pytest.approx(200 / 3, abs=1e-3))]
    assert figures[2][:3] == ("mean of all run", 6, pytest.approx(200 / 3, abs=1e-3))
    assert len(figures) == 3


@pytest.mark.usefixtures("toy")
def test_an_average_is_given_only_if_all_its_languages_were_run(tmp_path: Path) -> None:
    for language in TATOEBA_14:
        write(tmp_path, language)
    report = evaluated(tmp_path, TATOEBA_14)
    assert [r["language"] for r in report.records[14:]] == ["mean of all run", "mean of the 14"]
    assert "no average over the 36: 22 of them were not run" in report.notes
    assert not any("over the 14" in note for note in report.notes)


@pytest.mark.usefixtures("toy")
def test_languages_that_a_model_does_not_know_are_named(tmp_path: Path) -> None:
    for language in ("deu", "tam"):
        write(tmp_path, language)
    assert "toy was not trained on tam" in evaluated(tmp_path, ("deu", "tam")).notes


def test_languages_are_lists_or_codes(tmp_path: Path) -> None:
    for language in ("deu", "fra"):
        write(tmp_path, language)
    assert chosen_languages("fra, deu,fra", tmp_path) == ("fra", "deu")
    assert chosen_languages("all", tmp_path) == ("deu", "fra")


def test_a_language_without_files_is_named(tmp_path: Path) -> None:
    write(tmp_path, "deu")
    with pytest.raises(InputError, match="no files of fra, xyz"):
        chosen_languages("deu,fra,xyz", tmp_path)
    with pytest.raises(InputError, match="no files of ara, bul"):
        chosen_languages("14", tmp_path)
    with pytest.raises(InputError, match="has files of 1 languages"):
        chosen_languages("112", tmp_path)
    with pytest.raises(UsageError, match="names no language"):
        chosen_languages(" , ", tmp_path)


def test_a_missing_folder_is_explained_by_the_layout(tmp_path: Path) -> None:
    with pytest.raises(InputError) as caught:
        chosen_languages("14", tmp_path / "missing")
    assert "tatoeba.deu-eng.deu" in caught.value.hint
    assert "data/tatoeba/v1" in caught.value.hint


def test_empty_files_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "deu", "", "")
    with pytest.raises(InputError, match="deu is empty"):
        read_test_sets(tmp_path, ("deu",))
