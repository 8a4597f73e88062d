"""Output: every format can be read back, and files appear whole or not at all."""

import bz2
import gzip
import io
import json
import lzma
import os
import stat
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bitextmine.config import COLUMNS, OutputFormat
from bitextmine.errors import OutputError, UsageError
from bitextmine.shard.sentences import Origin
from bitextmine.write.destination import (
    check_destination,
    check_file,
    open_output,
    save_pairs,
    write_pairs,
)
from bitextmine.write.options import OutputOptions
from bitextmine.write.records import Pair

HOSTILE = (
    'tab\there "quotes" <b>&amp;</b> 🙂 \x07 CRLF\r\n NEL\x85 LS\u2028 PS\u2029 VT\v FF\f FS\x1c.'
)
HOSTILE_ON_ONE_LINE = (
    'tab here "quotes" <b>&amp;</b> 🙂 \x07 CRLF  NEL  LS  PS  VT  FF  FS .'  # a space each
)
PAIRS = (
    Pair(1.25, 0.75, "Guten Tag.", "Good day.", Origin("a b/de.txt", 3), Origin("en.txt", 9)),
    Pair(
        1.125, 0.5, HOSTILE, "x", Origin("de\t\udcff.txt", 4, "de-4"), Origin("en.txt", 1, "en\n1")
    ),
    Pair(-1e-9, -0.25, "Größe", "size", Origin("de.txt", 1), Origin("en.txt", 2)),
)
ONE_FILE_FORMATS: tuple[OutputFormat, ...] = ("laser", "tsv", "tmx", "jsonl")
XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name has a space, quotes and non-ASCII in it."""
    folder = tmp_path / "a 'hostile' \"Ordner\" ß"
    folder.mkdir()
    return folder


def written(options: OutputOptions, pairs: tuple[Pair, ...] = PAIRS) -> str:
    """What goes to stdout."""
    sink = io.BytesIO()
    assert write_pairs(pairs, sink, options) == len(pairs)
    return sink.getvalue().decode()


def failing(error: BaseException) -> Iterator[Pair]:
    """Pairs whose source breaks after the first."""
    yield PAIRS[0]
    raise error


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


def test_jsonl_keeps_the_text_as_it_was() -> None:
    lines = written(OutputOptions(format="jsonl")).splitlines()
    objects = [json.loads(line) for line in lines]
    assert [found["src"] for found in objects] == [pair.src for pair in PAIRS]
    assert objects[0] == {
        "score": 1.25, "cosine": 0.75, "src": "Guten Tag.", "tgt": "Good day.",
        "src_id": "a b/de.txt:3", "src_file": "a b/de.txt", "src_line": 3,
        "tgt_id": "en.txt:9", "tgt_file": "en.txt", "tgt_line": 9,
    }  # fmt: skip
    assert objects[1]["src_file"] == "de\t\udcff.txt"
    assert '"src": "Größe"' in lines[2]
    assert '"score": 0.0,' in lines[2]


def test_tmx_is_read_back_by_an_xml_parser() -> None:
    options = OutputOptions(format="tmx", src_lang="de", tgt_lang="eng_Latn")
    root = ElementTree.fromstring(written(options).encode())
    assert (root.tag, root.get("version")) == ("tmx", "1.4")
    header = root.find("header")
    assert header is not None
    assert header.get("srclang") == "de"
    units = root.findall("body/tu")
    assert [unit.findtext("prop[@type='x-score']") for unit in units] == [
        "1.250000", "1.125000", "0.000000",
    ]  # fmt: skip
    src, tgt = units[1].findall("tuv")
    assert (src.get(XML_LANG), tgt.get(XML_LANG)) == ("de", "eng-Latn")
    # XML 1.0 has no bell and no file separator, escaped or not.
    without_controls = HOSTILE.replace("\x07", "").replace("\x1c", " ").replace("\r\n", " ")
    assert src.findtext("seg") == without_controls.translate(
        {ord(c): " " for c in "\t\v\f\x85\u2028\u2029"}
    )
    assert src.findtext("prop[@type='x-file']") == "de .txt"
    assert src.findtext("prop[@type='x-line']") == "4"
    assert src.findtext("prop[@type='x-id']") == "de-4"
    assert units[0].find("tuv/prop[@type='x-id']") is None


def test_tmx_of_unknown_languages_says_und() -> None:
    root = ElementTree.fromstring(written(OutputOptions(format="tmx")))
    assert {variant.get(XML_LANG) for variant in root.iter("tuv")} == {"und"}


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


@pytest.mark.parametrize("output_format", ONE_FILE_FORMATS)
def test_a_file_has_the_same_bytes_as_stdout(folder: Path, output_format: OutputFormat) -> None:
    options = OutputOptions(format=output_format)
    out = folder / "pairs"
    assert save_pairs(PAIRS, out, options) == 3
    assert out.read_bytes().decode() == written(options)


@pytest.mark.parametrize("output_format", ONE_FILE_FORMATS)
def test_no_pairs_make_a_valid_file(output_format: OutputFormat) -> None:
    text = written(OutputOptions(format=output_format), ())
    assert text.count("\n") == {"laser": 0, "tsv": 1, "tmx": 6, "jsonl": 0}[output_format]


@pytest.mark.parametrize(
    ("suffix", "command"),
    [(".gz", "gzip"), (".zst", "zstd"), (".xz", "xz"), (".bz2", "bzip2")],
)
def test_the_command_of_a_compression_unpacks_it(folder: Path, suffix: str, command: str) -> None:
    out = folder / f"pairs.tsv{suffix}"
    save_pairs(PAIRS, out, OutputOptions())
    try:
        unpacked = subprocess.run([command, "-dc", str(out)], capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip(f"{command} is not installed")
    assert unpacked.stdout.decode() == written(OutputOptions())


def test_compressed_bytes_do_not_depend_on_name_or_time(folder: Path) -> None:
    unpackers: dict[str, Callable[[bytes], bytes]] = {
        ".gz": gzip.decompress,
        ".bz2": bz2.decompress,
        ".xz": lzma.decompress,
        ".zst": lambda content: zstandard.ZstdDecompressor().decompressobj().decompress(content),
    }
    for suffix, unpack in unpackers.items():
        first, second = folder / f"first{suffix}", folder / f"second{suffix}"
        save_pairs(PAIRS, first, OutputOptions())
        save_pairs(PAIRS, second, OutputOptions())
        assert first.read_bytes() == second.read_bytes()
        assert unpack(first.read_bytes()).decode() == written(OutputOptions())
    header = (folder / "first.gz").read_bytes()[:10]
    assert header[3:8] == bytes(5)  # no flags, so no file name; no time
    frame = zstandard.get_frame_parameters((folder / "first.zst").read_bytes())
    assert frame.has_checksum


@pytest.mark.parametrize("error", [ValueError("boom"), KeyboardInterrupt()])
@pytest.mark.parametrize("output_format", ["laser", "moses"])
def test_a_failure_leaves_the_folder_as_it_was(
    folder: Path, error: BaseException, output_format: OutputFormat
) -> None:
    old = folder / "pairs.zst"
    old.write_text("from an earlier run")
    with pytest.raises(type(error)):
        save_pairs(failing(error), old, OutputOptions(format=output_format))
    assert list(folder.iterdir()) == [old]
    assert old.read_text() == "from an earlier run"


def test_a_new_file_is_as_readable_as_any_other(folder: Path) -> None:
    out, other = folder / "pairs.tsv", folder / "other"
    save_pairs(PAIRS, out, OutputOptions())
    other.touch()
    assert stat.S_IMODE(out.stat().st_mode) == stat.S_IMODE(other.stat().st_mode)


def test_a_link_stays_a_link(folder: Path) -> None:
    link = folder / "latest"
    link.symlink_to("pairs.tsv")
    save_pairs(PAIRS, link, OutputOptions())
    assert link.is_symlink()
    assert (folder / "pairs.tsv").read_text() == written(OutputOptions())


def test_a_named_pipe_is_written_to_and_not_replaced(folder: Path) -> None:
    pipe = folder / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()), daemon=True)
    reader.start()
    check_destination(pipe, OutputOptions())
    save_pairs(PAIRS, pipe, OutputOptions())
    reader.join(timeout=10)
    assert read[0].decode() == written(OutputOptions())
    assert pipe.is_fifo()


@pytest.mark.parametrize("output_format", ["laser", "moses"])
def test_a_missing_folder_is_told_before_and_at_writing(
    folder: Path, output_format: OutputFormat
) -> None:
    out, options = folder / "none" / "pairs", OutputOptions(format=output_format)
    with pytest.raises(OutputError, match="no such file or directory") as caught:
        check_destination(out, options)
    assert "create the folder" in caught.value.hint
    with pytest.raises(OutputError, match="no such file or directory"):
        save_pairs(PAIRS, out, options)


def test_a_folder_is_not_a_file_to_write(folder: Path) -> None:
    with pytest.raises(OutputError, match="it is a folder"):
        check_destination(folder, OutputOptions())


def test_any_other_file_is_opened_the_same_way(folder: Path) -> None:
    out = folder / "rejects.tsv.gz"
    check_file(out)
    with open_output(out) as sink:
        sink.write(b"one\n")
        assert not out.exists()
    assert gzip.decompress(out.read_bytes()) == b"one\n"
    with pytest.raises(OutputError, match="no such file"), open_output(folder / "x" / "y"):
        pass


def test_checking_a_destination_leaves_nothing_behind(folder: Path) -> None:
    check_destination(folder / "pairs", OutputOptions(format="moses"))
    check_destination(None, OutputOptions())
    assert list(folder.iterdir()) == []


class Broken(io.BytesIO):
    """A stream that refuses."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self.error = error

    def write(self, content: object, /) -> int:
        raise self.error


def test_a_reader_that_has_gone_is_the_callers_business() -> None:
    with pytest.raises(BrokenPipeError):
        write_pairs(PAIRS, Broken(BrokenPipeError()), OutputOptions())


def test_a_full_disk_behind_stdout_is_explained() -> None:
    with pytest.raises(OutputError, match="stdout: no space left") as caught:
        write_pairs(PAIRS, Broken(OSError(28, "No space left on device")), OutputOptions())
    assert "free some space" in caught.value.hint


def test_moses_cannot_go_to_stdout() -> None:
    with pytest.raises(UsageError, match="3 files, stdout is only one") as caught:
        write_pairs(PAIRS, io.BytesIO(), OutputOptions(format="moses"))
    assert "--out PREFIX" in caught.value.hint


@pytest.mark.parametrize(
    ("columns", "output_format", "problem"),
    [
        (("score",), "laser", "no meaning for --format laser"),
        (("score", "nonsense"), "tsv", "no column 'nonsense'"),
        (("src", "src"), "tsv", "names src twice"),
    ],
)
def test_impossible_columns_are_refused(
    columns: tuple[Any, ...], output_format: OutputFormat, problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        OutputOptions(format=output_format, columns=columns)


@pytest.mark.parametrize(
    ("src_lang", "tgt_lang", "problem"),
    [
        ("de", "de", "two files ending in .de"),
        ("tgt", "", "two files ending in .tgt"),
        ("de", "tsv", "two files ending in .tsv"),
        ("../de", "en", "'../de' is not a language code"),
    ],
)
def test_impossible_languages_are_refused(src_lang: str, tgt_lang: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        OutputOptions(format="moses", src_lang=src_lang, tgt_lang=tgt_lang)


def test_a_nan_is_never_written_as_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        written(OutputOptions(format="jsonl"), (replace(PAIRS[0], score=float("nan")),))


@given(sentences=st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
@pytest.mark.parametrize("output_format", ["laser", "tsv", "jsonl"])
def test_every_pair_is_one_line(output_format: OutputFormat, sentences: list[str]) -> None:
    pairs = tuple(replace(PAIRS[0], src=text, tgt=text[::-1]) for text in sentences)
    text = written(OutputOptions(format=output_format), pairs)
    assert len(text.splitlines()) == len(pairs) + (output_format == "tsv")


@given(src=st.text(st.characters(exclude_categories=["Cs"])))
def test_tmx_is_well_formed_whatever_the_text(src: str) -> None:
    ElementTree.fromstring(written(OutputOptions(format="tmx"), (replace(PAIRS[0], src=src),)))


@given(scores=st.lists(st.floats(-10, 10, width=32), min_size=2))
def test_rounding_keeps_the_order(scores: list[float]) -> None:
    ranked = sorted(scores, reverse=True)
    lines = written(OutputOptions(), tuple(replace(PAIRS[0], score=score) for score in ranked))
    shown = [float(line.split("\t")[0]) for line in lines.splitlines()]
    assert shown == sorted(shown, reverse=True)
