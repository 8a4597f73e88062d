"""Tables: every cell comes back, whatever was in it, and line n is pair n."""

import gzip
from pathlib import Path

import pytest
from hostile_pairs import HOSTILE_ON_ONE_LINE, PAIRS, hostile_pairs, written
from hypothesis import given
from hypothesis import strategies as st

from bitextmine.config import COLUMNS, FieldName
from bitextmine.write.destination import save_pairs
from bitextmine.write.options import OutputOptions
from bitextmine.write.records import Pair, one_line


def test_laser_lines_are_score_src_tgt() -> None:
    assert written(OutputOptions()).split("\n") == [
        "1.250000\tGuten Tag.\tGood day.",
        f"1.125000\t{HOSTILE_ON_ONE_LINE}\tx",
        "0.000000\tGröße\tsize",
        "",
    ]


def test_tsv_has_the_columns_asked_for_under_a_header() -> None:
    table = written(OutputOptions(format="tsv", columns=COLUMNS))
    header, first, second, _ = (line.split("\t") for line in table.splitlines())
    assert tuple(header) == COLUMNS
    assert dict(zip(header, first, strict=True)) == {
        "score": "1.250000", "src": "Guten Tag.", "tgt": "Good day.",
        "src_id": "a b/de.txt:3", "tgt_id": "en.txt:9", "cosine": "0.750000",
        "src_file": "a b/de.txt", "src_line": "3", "tgt_file": "en.txt", "tgt_line": "9",
    }  # fmt: skip
    cells = dict(zip(header, second, strict=True))
    assert (cells["src_id"], cells["tgt_id"]) == ("de-4", "en 1")
    assert cells["src_file"] == "de \\udcff.txt"


def test_tsv_columns_are_score_src_tgt_unless_chosen() -> None:
    assert written(OutputOptions(format="tsv")).startswith("score\tsrc\ttgt\n1.250000\tGuten Tag.")


def test_moses_files_are_line_aligned(folder: Path) -> None:
    options = OutputOptions(format="moses", src_lang="de", tgt_lang="en")
    assert save_pairs(PAIRS, folder / "news.v1.gz", options) == 3
    names = ["news.v1.de.gz", "news.v1.en.gz", "news.v1.tsv.gz"]
    assert sorted(path.name for path in folder.iterdir()) == names
    src, tgt, scores = (gzip.decompress((folder / name).read_bytes()).decode() for name in names)
    assert src.split("\n") == ["Guten Tag.", HOSTILE_ON_ONE_LINE, "Größe", ""]
    assert tgt.split("\n") == ["Good day.", "x", "size", ""]
    assert scores.splitlines()[0].split("\t") == [
        "1.250000", "0.750000", "a b/de.txt:3", "en.txt:9", "a b/de.txt", "3", "en.txt", "9",
    ]  # fmt: skip
    assert len(scores.splitlines()) == 3


def test_moses_files_of_unknown_languages_end_in_src_and_tgt(folder: Path) -> None:
    save_pairs(PAIRS, folder / "news", OutputOptions(format="moses"))
    assert sorted(path.name for path in folder.iterdir()) == ["news.src", "news.tgt", "news.tsv"]


def as_read(text: str) -> str:
    """A text as a reader of UTF-8 finds it in a cell: bytes that are no UTF-8 come escaped."""
    return one_line(text).encode("utf-8", "backslashreplace").decode()


@given(pairs=st.lists(hostile_pairs, max_size=3), columns=st.permutations(COLUMNS))
def test_tsv_cells_come_back(pairs: list[Pair], columns: list[FieldName]) -> None:
    options = OutputOptions(format="tsv", columns=tuple(columns))
    header, *rows = written(options, tuple(pairs)).splitlines()
    assert header.split("\t") == columns
    assert len(rows) == len(pairs)
    for row, pair in zip(rows, pairs, strict=True):
        cells = dict(zip(columns, row.split("\t"), strict=True))
        assert cells["src"] == as_read(pair.src)
        assert cells["tgt"] == as_read(pair.tgt)
        assert cells["src_id"] == as_read(pair.src_origin.id)
        assert cells["tgt_id"] == as_read(pair.tgt_origin.id)
        assert cells["src_file"] == as_read(pair.src_origin.file)
        assert cells["tgt_file"] == as_read(pair.tgt_origin.file)
        assert int(cells["src_line"]) == pair.src_origin.line
        assert int(cells["tgt_line"]) == pair.tgt_origin.line
        assert float(cells["score"]) == pytest.approx(pair.score, abs=5.1e-7)
        assert float(cells["cosine"]) == pytest.approx(pair.cosine, abs=5.1e-7)
