"""Test files are read strictly: every damaged line is named."""

from pathlib import Path

import pytest
import zstandard

from bitextmine.errors import InputError
from bitextmine.evaluation.gold_files import (
    distinct_names,
    find_file,
    read_score,
    read_sentences,
    read_text_lines,
    require_folder,
)


def test_a_folder_that_is_missing_is_explained_by_its_layout(tmp_path: Path) -> None:
    require_folder(tmp_path, "unused")
    with pytest.raises(InputError, match="is no folder") as raised:
        require_folder(tmp_path / "missing", "it needs a.txt")
    assert raised.value.hint == "it needs a.txt"


@pytest.mark.parametrize("ending", ["", ".zst", ".gz", ".xz", ".bz2"])
def test_a_file_is_found_plain_or_compressed(tmp_path: Path, ending: str) -> None:
    assert find_file(tmp_path, "it's.txt") is None
    path = tmp_path / f"it's.txt{ending}"
    path.touch()
    assert find_file(tmp_path, "it's.txt") == path


def test_names_have_their_folders_only_where_two_are_the_same() -> None:
    paths = [Path("a/x"), Path("b/x"), Path("b/y")]
    assert distinct_names(paths) == ["a/x", "b/x", "y"]


def test_lines_lose_their_ends_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "f.zst"
    path.write_bytes(zstandard.compress(" a\u2028b \r\n\nc".encode()))
    assert read_text_lines(path) == [" a\u2028b ", "", "c"]


def test_sentences_are_trimmed_and_never_blank(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b" one \ntwo\n")
    assert read_sentences(path) == ["one", "two"]
    path.write_bytes(b"one\n \t\ntwo\n")
    with pytest.raises(InputError, match="line 2 is blank"):
        read_sentences(path)


@pytest.mark.parametrize(
    ("content", "problem"), [(b"", "is empty"), (b"a\n\xff\n", "line 2: not valid UTF-8")]
)
def test_text_that_cannot_be_read_is_refused(tmp_path: Path, content: bytes, problem: str) -> None:
    (tmp_path / "f").write_bytes(content)
    with pytest.raises(InputError, match=problem):
        read_text_lines(tmp_path / "f")


def test_a_score_is_a_finite_number() -> None:
    assert read_score("3.4", "f, line 1") == 3.4
    for text in ("much", "nan", "inf", ""):
        with pytest.raises(InputError, match="f, line 1: the score is"):
            read_score(text, "f, line 1")
