"""Margin errors of aligned lists, by hand and against a plain version of LASER's loop."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitextmine.arrays import Floats
from bitextmine.errors import InputError
from bitextmine.evaluation.xsim import METRICS, AlignedSearch, Confusion, read_aligned


def unit(rows: Any) -> Floats:
    vectors: Floats = np.array(rows, dtype=np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    return vectors


def floats(rows: Any) -> Floats:
    """As they are, of any length."""
    return np.array(rows, dtype=np.float32)


def laser_error(src: Floats, tgt: Floats, k: int) -> float:
    """As LASER's xsim.py: the best margin among k neighbours must be the own line."""
    cosines = src.astype(np.float64) @ tgt.T.astype(np.float64)
    fwd, bwd = np.sort(-cosines, axis=1)[:, :k], np.sort(-cosines, axis=0)[:k]
    fwd_means, bwd_means = -fwd.mean(axis=1), -bwd.mean(axis=0)
    errors = 0
    for i, row in enumerate(cosines):
        nearest = np.argsort(-row, kind="stable")[:k]
        scores = [row[j] / ((fwd_means[i] + bwd_means[j]) / 2) for j in nearest]
        errors += int(nearest[int(np.argmax(scores))]) != i
    return 100 * errors / len(src)


@pytest.mark.parametrize("seed", range(5))
def test_errors_are_those_of_a_plain_loop(seed: int) -> None:
    random = np.random.default_rng(seed)
    drawn = random.standard_normal((60, 12)) + 0.5
    noisy = drawn + 0.6 * random.standard_normal((60, 12))
    # What the search sees, rounded as vectors are on disk.
    src, tgt = (unit(unit(side).astype(np.float16)) for side in (drawn, noisy))
    figures = AlignedSearch(src, tgt).figures()
    assert figures["margin_error_fwd"] == pytest.approx(laser_error(src, tgt, k=4), abs=1e-4)
    assert figures["margin_error_bwd"] == pytest.approx(laser_error(tgt, src, k=4), abs=1e-4)
    nearest = (src @ tgt.T).argmax(axis=1)
    errors = 100 * (nearest != np.arange(60)).mean()
    assert figures["cosine_error_fwd"] == pytest.approx(errors, abs=1e-4)
    assert 0 < figures["margin_error_fwd"] < 100


def test_equal_sides_have_no_errors() -> None:
    rows = unit(np.random.default_rng(1).standard_normal((20, 8)))
    assert AlignedSearch(rows, rows).figures() == dict.fromkeys(METRICS, 0.0)


def test_fewer_lines_than_neighbours_are_searched_all_the_same() -> None:
    rows = floats([[1, 0], [0, 1]])
    assert AlignedSearch(rows, rows[::-1].copy()).figures() == dict.fromkeys(METRICS, 100.0)


def test_the_worst_confusion_comes_first_with_both_scores() -> None:
    # Cosines: src 0 = [0.6, 0.8], src 1 = [1, 0]; means: src 0.7, 0.5; tgt 0.8, 0.4.
    # Margins: (0, 0) 0.6/0.75, (0, 1) 0.8/0.55, (1, 0) 1/0.65, (1, 1) 0/0.45.
    search = AlignedSearch(floats([[0.6, 0.8], [1, 0]]), floats([[1, 0], [0, 1]]))
    first, second = search.worst(0, 5)
    assert (first.line, first.got, second.line, second.got) == (1, 0, 0, 1)
    assert first.got_score == pytest.approx(1 / 0.65, abs=1e-3)
    assert first.expected_score == pytest.approx(0, abs=1e-3)
    assert second.got_score == pytest.approx(0.8 / 0.55, abs=1e-3)
    assert second.expected_score == pytest.approx(0.6 / 0.75, abs=1e-3)
    assert search.worst(0, 1) == [first]


def test_a_zero_vector_finds_nothing() -> None:
    rows = floats([[0, 0], [0, 1], [1, 0]])
    search = AlignedSearch(rows, floats([[0.6, 0.8], [0, 1], [1, 0]]))
    assert search.figures()["margin_error_fwd"] == pytest.approx(100 / 3, abs=1e-3)
    assert search.worst(0, 9) == [Confusion(0, -1, 0.0, -np.inf)]


def test_vectors_that_are_not_aligned_are_refused() -> None:
    with pytest.raises(ValueError, match="not aligned"):
        AlignedSearch(np.ones((2, 3), np.float32), np.ones((3, 3), np.float32))


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    return path


def test_files_are_aligned_line_by_line(tmp_path: Path) -> None:
    tgt = write(tmp_path / "en", "Yes.\nWhere\u2028now?\n")
    files = [write(tmp_path / "é 'x'" / "a", "Ja.\r\nWo?\n"), write(tmp_path / "b", "Oui.\nOù?")]
    aligned = read_aligned(files, tgt)
    assert [(file.name, file.src) for file in aligned] == [
        ("a", ["Ja.", "Wo?"]),
        ("b", ["Oui.", "Où?"]),
    ]
    assert all(file.tgt == ["Yes.", "Where\u2028now?"] for file in aligned)


def test_files_of_one_name_are_told_apart(tmp_path: Path) -> None:
    tgt = write(tmp_path / "en", "Yes.\n")
    files = [write(tmp_path / folder / "dev", "Ja.\n") for folder in ("a", "b")]
    assert [file.name for file in read_aligned(files, tgt)] == [str(path) for path in files]


@pytest.mark.parametrize(
    ("src", "told"),
    [
        ("Ja.\n", "has 1 lines, .* has 2"),
        ("Ja.\n\n", "line 2 is blank"),
        ("", "is empty"),
        (None, "no such file"),
    ],
)
def test_what_is_not_aligned_is_refused(tmp_path: Path, src: str | None, told: str) -> None:
    tgt = write(tmp_path / "en", "Yes.\nNo.\n")
    path = tmp_path / "de"
    if src is not None:
        write(path, src)
    with pytest.raises(InputError, match=told):
        read_aligned([path], tgt)
