"""Output goes where it was meant to, and files appear whole or not at all."""

import gzip
import io
import os
import stat
import struct
import threading
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hostile_pairs import ONE_FILE_FORMATS, PAIRS, written
from hypothesis import given
from hypothesis import strategies as st

from bitextmine.compression import compressed, open_input, raw_lines
from bitextmine.config import OutputFormat
from bitextmine.errors import OutputError, UsageError
from bitextmine.files import ByteSink
from bitextmine.write import destination
from bitextmine.write.destination import (
    check_destination,
    check_file,
    destinations,
    open_output,
    save_pairs,
    write_pairs,
)
from bitextmine.write.options import OutputOptions
from bitextmine.write.records import Pair, PairFormat


def failing(error: BaseException) -> Iterator[Pair]:
    """Pairs whose source breaks after the first."""
    yield PAIRS[0]
    raise error


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


@pytest.mark.parametrize("suffix", [".gz", ".zst", ".xz", ".bz2", ".parquet", ""])
def test_a_file_is_compressed_as_its_name_says(folder: Path, suffix: str) -> None:
    out = folder / f"pairs{suffix}"
    save_pairs(PAIRS, out, OutputOptions())
    packed = io.BytesIO()
    with compressed(packed, suffix) as sink:
        sink.write(written(OutputOptions()).encode())
    with open_input(str(out)) as file:
        read = [line.decode() for line in raw_lines(file, str(out)) if line is not None]
    assert read == written(OutputOptions()).split("\n")[:-1]
    assert out.read_bytes() == packed.getvalue()


class Counted:
    """A format without lines: the number of pairs, and then their scores, in binary."""

    endings = ("",)

    def write(self, pairs: Iterable[Pair], sinks: Sequence[ByteSink]) -> int:
        scores = [pair.score for pair in pairs]
        sinks[0].write(struct.pack(f"<i{len(scores)}d", len(scores), *scores))
        return len(scores)


def test_a_format_need_not_be_text(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counted: PairFormat = Counted()
    monkeypatch.setattr(destination, "laser_format", lambda: counted)
    assert save_pairs(PAIRS, folder / "pairs.gz", OutputOptions()) == len(PAIRS)
    content = gzip.decompress((folder / "pairs.gz").read_bytes())
    assert struct.unpack("<i3d", content) == (3, *(pair.score for pair in PAIRS))
    sink = io.BytesIO()
    assert write_pairs(PAIRS, sink, OutputOptions()) == len(PAIRS)
    assert sink.getvalue() == content


@pytest.mark.parametrize("output_format", get_args(OutputFormat))
def test_every_format_has_files_of_its_own_and_takes_pairs(
    folder: Path, output_format: OutputFormat
) -> None:
    options = OutputOptions(format=output_format)
    paths = destinations(folder / "pairs", options)
    assert save_pairs(iter(PAIRS), folder / "pairs", options) == len(PAIRS)
    assert sorted(folder.iterdir()) == sorted(set(paths))


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


@given(sentences=st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
@pytest.mark.parametrize("output_format", ["laser", "tsv", "jsonl"])
def test_every_pair_is_one_line(output_format: OutputFormat, sentences: list[str]) -> None:
    pairs = tuple(replace(PAIRS[0], src=text, tgt=text[::-1]) for text in sentences)
    text = written(OutputOptions(format=output_format), pairs)
    assert len(text.splitlines()) == len(pairs) + (output_format == "tsv")
