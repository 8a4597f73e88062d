"""Files of several languages are aligned row by row, or refused."""

from pathlib import Path

import numpy as np
import pytest
from nli_corpus import LANGUAGES, corpus, read

from bitextmine.errors import InputError
from bitextmine.training.aligned import (
    FileFacts,
    LanguageRows,
    PremiseNumbers,
    aligned_labels,
    read_rows_by_language,
)
from bitextmine.training.nli_files import CONTRADICTION, ENTAILMENT, NEUTRAL, UNUSED, layout_of


def by_language(
    paths: list[str], folder: Path, *wanted: str
) -> tuple[dict[str, LanguageRows], list[FileFacts]]:
    """Read files, and what is noted of each."""
    files: list[FileFacts] = []
    layouts = {path: layout_of(path) for path in paths}
    return read_rows_by_language(paths, layouts, folder, set(wanted), files), files


def test_rows_are_gathered_by_language_and_files_are_noted(tmp_path: Path) -> None:
    paths = corpus(tmp_path)
    rows, files = by_language(paths, tmp_path)
    assert tuple(rows) == LANGUAGES
    assert [(file.path, file.rows) for file in files] == [(path, 20) for path in paths]
    assert [rows[language].files for language in LANGUAGES] == [[path] for path in paths]
    labels = [NEUTRAL, CONTRADICTION, ENTAILMENT, CONTRADICTION, ENTAILMENT]
    assert aligned_labels(rows).tolist() == labels * 4


def test_a_row_that_one_language_lacks_is_unused_in_all(tmp_path: Path) -> None:
    paths = corpus(tmp_path)
    second = Path(paths[1])
    lines = second.read_text("utf-8").split("\n")
    lines[2] = "entailment\tde premise 0.\t "
    second.write_text("\n".join(lines), "utf-8")
    rows, _ = by_language(paths, tmp_path)
    assert np.flatnonzero(aligned_labels(rows) == UNUSED).tolist() == [2]


def test_a_language_that_no_file_has_is_named(tmp_path: Path) -> None:
    path = tmp_path / "xnli.dev.tsv"
    path.write_text("language\tgold_label\tsentence1\tsentence2\nde\tneutral\ta\tb\n", "utf-8")
    with pytest.raises(InputError, match="no rows of language 'sw'") as raised:
        by_language([str(path)], tmp_path, "de", "sw")
    assert "the data has de" in raised.value.hint


def test_premises_are_equal_but_for_case_and_punctuation() -> None:
    numbers = PremiseNumbers()
    texts = ("A cat.", "a dog", "a CAT", "A cat!", "…", "?")
    assert [numbers.of(text) for text in texts] == [0, 1, 0, 0, 2, 3]


def test_line_counts_that_differ_are_refused(tmp_path: Path) -> None:
    paths = corpus(tmp_path)
    with Path(paths[2]).open("a", encoding="utf-8") as file:
        file.write("neutral\ta\tb\n")
    with pytest.raises(InputError, match=r"'en' .* has 20 rows, 'sw' .* has 21"):
        read(paths, tmp_path)


def test_labels_that_differ_are_refused(tmp_path: Path) -> None:
    paths = corpus(tmp_path)
    text = Path(paths[1]).read_text("utf-8")
    Path(paths[1]).write_text(text.replace("neutral", "entailment", 1), "utf-8")
    with pytest.raises(InputError, match="row 1 has one label"):
        read(paths, tmp_path)


def test_files_of_unknown_language_are_not_mixed_up(tmp_path: Path) -> None:
    paths = corpus(tmp_path)
    nameless = Path(paths[0]).rename(tmp_path / "train.tsv")
    with pytest.raises(InputError, match="does not tell its language"):
        read([str(nameless), paths[1]], tmp_path)
