"""Licence and languages are read from the YAML at the head of a model card, if it is any."""

from pathlib import Path

import pytest
from model_files import write

from bitextmine.checkpoints.model_card import read_languages, read_licence


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "Modèle 'von' \"A\" 日本"


@pytest.mark.parametrize(
    ("card", "licence", "languages"),
    [
        ("---\nlicense: mit\nlanguage: en\n---\n# Model\n", "mit", {"en"}),
        ("---\nlanguage:\n- multilingual\n- no\n- zh-Hant\n- deu\n---\n", "", {"no", "zh", "de"}),
        ("---\r\nlicense: cc-by-nc-4.0\r\nlanguage: [ja]\r\n---\r\n", "cc-by-nc-4.0", {"ja"}),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0", set()),
        ("---\nlicense: {a: 1}\nlanguage: {a: 1}\n---\n", "", set()),
        ("---\nlicense: [mit\n---\n", "", set()),
        ("---\nlicense: mit\n", "", set()),
        ("---\n- mit\n---\n", "", set()),
        ("# Model\n---\nlicense: mit\n---\n", "", set()),
        ("", "", set()),
    ],
)
def test_licence_and_languages_come_from_the_model_card(
    folder: Path, card: str, licence: str, languages: set[str]
) -> None:
    write(folder, {"README.md": card})
    assert read_licence(folder) == licence
    assert read_languages(folder) == languages


def test_a_folder_without_model_card_names_neither(folder: Path) -> None:
    assert (read_licence(folder), read_languages(folder)) == ("", frozenset())
