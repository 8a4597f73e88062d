"""Reading lines: formats, and what each line is counted as."""

import gzip
import io
import json
import sys
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bitextmine import compression
from bitextmine.config import ShardConfig
from bitextmine.errors import InputError
from bitextmine.shard.corpus import Line, expand_inputs, normalise, read_lines

TEXT = "Guten Tag.\nZweite Zeile – mit Strich.\n".encode()
SENTENCES = ["Guten Tag.", "Zweite Zeile – mit Strich."]


def lines_of(path: Path, side: str = "src", **settings: Any) -> list[Line]:
    config = ShardConfig(src=(str(path),), tgt=(str(path),), **settings)
    return list(read_lines(str(path), side, config))


def texts_of(path: Path, **settings: Any) -> list[str]:
    return [line.text for line in lines_of(path, **settings) if not line.reject]


def rejects_of(path: Path, **settings: Any) -> dict[int, str]:
    return {line.number + 1: line.reject for line in lines_of(path, **settings) if line.reject}


@pytest.mark.parametrize(
    "content",
    [
        b"a\nb\n",
        b"a\nb",
        b"a\r\nb\r\n",
        b"\xef\xbb\xbfa\nb\n",
        b" a \n\tb\t\n",
    ],
)
def test_line_ends_marks_and_margins_do_not_matter(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    assert texts_of(path) == ["a", "b"]


@pytest.mark.parametrize("chunk", [1, 2, 3, 7])
def test_chunk_borders_do_not_matter(
    tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "CHUNK_BYTES", chunk)
    path = tmp_path / "f"
    path.write_bytes(b"\xef\xbb\xbf" + TEXT + b"\n\nlast")
    assert texts_of(path) == [*SENTENCES, "last"]
    assert rejects_of(path) == {3: "blank", 4: "blank"}


def test_every_reason_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"good one\n\n   \nab\n" + b"x" * 30 + b"\nbad \xff\xfe byte\n")
    reasons = {2: "blank", 3: "blank", 4: "too_short", 5: "too_long", 6: "invalid_utf8"}
    assert rejects_of(path, min_chars=3, max_chars=20) == reasons


def test_invalid_utf8_is_replaced_or_refused_by_policy(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one\ncaf\xe9\n")
    replaced = lines_of(path, on_invalid="replace")[1]
    assert (replaced.text, replaced.reject, replaced.mended) == ("caf�", "", "invalid_utf8")
    with pytest.raises(InputError, match="line 2: not valid UTF-8"):
        lines_of(path, on_invalid="fail")


def test_control_characters_go_and_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"nul\0byte\nbell\x07 and\ttab\nplain\n")
    found = [(line.text, line.mended) for line in lines_of(path)]
    assert found == [
        ("nulbyte", "control_characters"),
        ("bell and tab", "control_characters"),
        ("plain", ""),
    ]
    path.write_bytes(b"a tab\there\r\n")
    assert [(line.text, line.mended) for line in lines_of(path)] == [("a tab here", "")]


@pytest.mark.parametrize("pack", [bytes, zstandard.compress], ids=["plain", "zstd"])
def test_an_oversized_line_is_rejected_without_being_held(
    tmp_path: Path, pack: Callable[[bytes], bytes]
) -> None:
    path = tmp_path / "f"
    path.write_bytes(pack(b"first\n" + b"x" * 50_000_000 + b"\nlast\n"))
    lines = lines_of(path)
    assert [line.reject for line in lines] == ["", "too_long", ""]
    assert lines[1].text == ""
    assert [line.number for line in lines] == [0, 1, 2]


def test_ids_are_split_off(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"de-1\tEin Satz.\nohne\nde-3\tmit\ttab\n\n")
    lines = lines_of(path, input_format="ids")
    assert [(line.key, line.text) for line in lines if not line.reject] == [
        ("de-1", "Ein Satz."),
        ("de-3", "mit tab"),
    ]
    assert rejects_of(path, input_format="ids") == {2: "missing_field", 4: "blank"}


def test_a_column_of_a_tsv(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"k1\tone\tun\nk2\ttwo\n")
    settings = {"input_format": "tsv", "src_field": "2", "tgt_field": "3", "id_field": "1"}
    assert [(line.key, line.text) for line in lines_of(path, **settings)] == [
        ("k1", "one"),
        ("k2", "two"),
    ]
    assert [line.reject for line in lines_of(path, "tgt", **settings)] == ["", "missing_field"]


def test_a_key_of_jsonl(tmp_path: Path) -> None:
    path = tmp_path / "f"
    rows = ['{"text": "eins", "id": 7}', "{", '{"other": 1}', '{"text": "\\ud800x"}', "[1]"]
    path.write_text("\n".join(rows), "utf-8")
    lines = lines_of(path, input_format="jsonl")
    reasons = ["", "invalid_json", "missing_field", "", "missing_field"]
    assert [line.reject for line in lines] == reasons
    assert lines[3].text == "?x"  # a lone surrogate has no UTF-8 form
    assert lines_of(path, input_format="jsonl", id_field="id")[0].key == "7"
    path.write_text('{"text": "a", "id": null}\n{"text": "b", "id": "\\ud800"}\n' + "[" * 200_000)
    lines = lines_of(path, input_format="jsonl", id_field="id")
    assert [line.reject for line in lines] == ["missing_field", "", "invalid_json"]
    assert lines[1].key == "?"


def test_a_column_of_parquet(tmp_path: Path) -> None:
    arrow = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "f.parquet"
    table = arrow.table({"de": ["eins", None, "drei"], "n": [1, 2, 3]})
    parquet.write_table(table, path)
    settings = {"input_format": "parquet", "src_field": "de", "id_field": "n"}
    lines = lines_of(path, **settings)
    assert [(line.key, line.text) for line in lines if not line.reject] == [
        ("1", "eins"),
        ("3", "drei"),
    ]
    with pytest.raises(InputError, match="no column 'fr'") as failure:
        lines_of(path, input_format="parquet", src_field="fr")
    assert "de, n" in failure.value.hint
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match="as Parquet"):
        lines_of(path, **settings)


def test_stdin_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    stdin = io.TextIOWrapper(io.BytesIO(gzip.compress(TEXT)))
    monkeypatch.setattr(sys, "stdin", stdin)
    config = ShardConfig(src=("-",), tgt=("f",))
    assert [line.text for line in read_lines("-", "src", config)] == SENTENCES


def test_globs_are_expanded_in_order(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.gz"):
        (tmp_path / name).write_bytes(b"x\n")
    pattern = str(tmp_path / "*.txt")
    assert expand_inputs([pattern, "-"]) == (
        str(tmp_path / "a.txt"),
        str(tmp_path / "b.txt"),
        "-",
    )


def test_a_missing_file_a_directory_and_an_empty_glob_are_errors(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no such file: .*nothing\.txt"):
        expand_inputs([str(tmp_path / "nothing.txt")])
    with pytest.raises(InputError, match="no such file"):
        expand_inputs([str(tmp_path / "*.zst")])
    with pytest.raises(InputError, match="is a directory"):
        expand_inputs([str(tmp_path)])
    with pytest.raises(InputError, match="name too long"):
        expand_inputs(["x" * 300])
    with pytest.raises(InputError, match="cannot read a"):
        expand_inputs(["a**b/"])


@given(st.text(max_size=60))
def test_normalised_text_fits_a_line_and_is_stable(text: str) -> None:
    clean = normalise(text)
    assert len(clean.splitlines()) <= 1
    assert "\t" not in clean
    assert clean == clean.strip()
    assert unicodedata.is_normalized("NFC", clean)
    assert normalise(clean) == clean


@given(st.lists(st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]))))
def test_every_line_is_accounted_for(texts: list[str]) -> None:
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "f"
        path.write_bytes("".join(f"{text}\n" for text in texts).encode())
        lines = lines_of(path)
        assert len(lines) == len(texts)
        assert all((line.text == "") == (line.reject == "blank") for line in lines)


def test_json_texts_survive(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text(json.dumps({"text": "Zürich\u2028sagt"}) + "\n", "utf-8")
    assert texts_of(path, input_format="jsonl") == ["Zürich sagt"]
