"""Accuracy of nearest-neighbour search, counted by hand."""

from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st

from bitextmine.arrays import Floats
from bitextmine.errors import InputError
from bitextmine.evaluation.tatoeba import (
    TATOEBA_14,
    TATOEBA_36,
    Accuracy,
    read_pairs,
    retrieval_accuracy,
)


def rows(*values: tuple[float, ...]) -> Floats:
    """Make vectors."""
    return np.array(values, dtype=np.float32)


SRC = rows((1, 0), (0, 1), (0.6, 0.8))
ENG = rows((1, 0), (0.6, 0.8), (0, 1))


def test_a_sentence_is_right_if_its_own_line_is_nearest() -> None:
    # Cosines of src (rows) and eng (columns): [1, 0.6, 0], [0, 0.8, 1], [0.6, 1, 0.8].
    # Only the first row, and only the first column, has its highest on the diagonal.
    accuracy = retrieval_accuracy(SRC, ENG)
    assert (accuracy.to_eng, accuracy.from_eng) == pytest.approx((100 / 3, 100 / 3))


def test_directions_can_differ() -> None:
    # Cosines [1, 0.90], [0, 0.43]: each row has its highest on the diagonal, not each column.
    accuracy = retrieval_accuracy(rows((1, 0), (0, 1)), rows((1, 0), (0.9, 0.43)))
    assert accuracy == Accuracy(to_eng=100, from_eng=50)
    assert accuracy.mean == 75


def test_lengths_of_vectors_do_not_matter() -> None:
    scaled = SRC * rows((9,), (0.1,), (3,))
    assert retrieval_accuracy(scaled, ENG) == retrieval_accuracy(SRC, ENG)


def test_a_zero_vector_is_nobodys_translation_but_the_first() -> None:
    assert retrieval_accuracy(rows((1, 0), (0, 0)), rows((1, 0), (0, 1))).to_eng == 50


@settings(deadline=None)
@given(st.permutations(range(6)))
def test_a_permutation_is_right_where_it_stays(order: list[int]) -> None:
    units = np.eye(6, dtype=np.float32)
    stays = 100 * sum(place == i for i, place in enumerate(order)) / 6
    accuracy = retrieval_accuracy(units, units[order])
    assert (accuracy.to_eng, accuracy.from_eng) == pytest.approx((stays, stays))


def test_vectors_that_are_not_aligned_are_refused() -> None:
    with pytest.raises(ValueError, match=r"\(3, 2\) and \(2, 2\)"):
        retrieval_accuracy(SRC, ENG[:2])


def test_the_lists_of_languages_are_those_of_xnli_and_xtreme() -> None:
    assert (len(TATOEBA_14), len(set(TATOEBA_36))) == (14, 36)
    assert set(TATOEBA_14) < set(TATOEBA_36)


def test_a_test_set_is_read_compressed_or_not(tmp_path: Path) -> None:
    folder = tmp_path / "Tatoeba 'v1' größer"
    folder.mkdir()
    compressed = zstandard.compress("Ja. \nWo ist\u2028er?\n".encode())
    (folder / "tatoeba.deu-eng.deu.zst").write_bytes(compressed)
    (folder / "tatoeba.deu-eng.eng").write_text("Yes.\nWhere is he?\n", "utf-8")
    german, english = read_pairs(folder, "deu")
    assert (german, english) == (["Ja.", "Wo ist\u2028er?"], ["Yes.", "Where is he?"])


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"tatoeba\.deu-eng\.deu"):
        read_pairs(tmp_path, "deu")


def test_sides_of_different_length_are_refused(tmp_path: Path) -> None:
    (tmp_path / "tatoeba.deu-eng.deu").write_text("Ja.\nNein.\n", "utf-8")
    (tmp_path / "tatoeba.deu-eng.eng").write_text("Yes.\n", "utf-8")
    with pytest.raises(InputError, match="2 sentences, but 1"):
        read_pairs(tmp_path, "deu")


def test_a_blank_or_broken_line_is_named(tmp_path: Path) -> None:
    (tmp_path / "tatoeba.deu-eng.deu").write_bytes(b"eins\n\ndrei\n")
    (tmp_path / "tatoeba.deu-eng.eng").write_bytes(b"one\ntwo\nthree\n")
    with pytest.raises(InputError, match="line 2 is blank"):
        read_pairs(tmp_path, "deu")
    (tmp_path / "tatoeba.deu-eng.deu").write_bytes(b"eins\nzw\xff\ndrei\n")
    with pytest.raises(InputError, match="line 2"):
        read_pairs(tmp_path, "deu")
