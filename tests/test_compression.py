"""Any compression is read back, and damage is told; what is written depends on nothing else."""

import bz2
import gzip
import io
import lzma
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bitextmine import compression
from bitextmine.compression import compressed, is_compressed, open_input, raw_lines
from bitextmine.errors import InputError

TEXT = "Guten Tag.\nZweite Zeile – mit Strich.\n".encode()
SENTENCES = ["Guten Tag.", "Zweite Zeile – mit Strich."]
SUFFIXES = [".gz", ".zst", ".xz", ".bz2"]


def zstd(content: bytes) -> bytes:
    return zstandard.ZstdCompressor(write_checksum=True).compress(content)


def zstd_unsized(content: bytes) -> bytes:
    writer = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    return writer.compress(content) + writer.flush()


COMPRESSORS: dict[str, Callable[[bytes], bytes]] = {
    "plain": lambda content: content,
    "gzip": gzip.compress,
    "gzip in two members": lambda c: gzip.compress(c[:7]) + gzip.compress(c[7:]),
    "gzip, padded": lambda c: gzip.compress(c) + b"\0" * 64,
    "zstd": zstd,
    "zstd in three frames": lambda c: zstd(c[:5]) + zstd_unsized(c[5:9]) + zstd(c[9:]),
    "xz": lzma.compress,
    "xz in two streams": lambda c: lzma.compress(c[:7]) + lzma.compress(c[7:]),
    "bzip2": bz2.compress,
}


def texts_of(path: Path) -> list[str]:
    with open_input(str(path)) as file:
        return [str(line, "utf-8") for line in raw_lines(file, str(path)) if line is not None]


@pytest.mark.parametrize("kind", COMPRESSORS)
def test_compression_is_told_by_content(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "it's a täst"
    path.write_bytes(COMPRESSORS[kind](TEXT))
    assert texts_of(path) == SENTENCES


def test_a_frame_of_metadata_may_come_first(tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\x50\x2a\x4d\x18\x04\0\0\0abcd" + zstd(TEXT))  # as pzstd writes
    assert texts_of(path) == SENTENCES


@pytest.mark.parametrize("kind", ["gzip", "zstd", "xz", "bzip2"])
@pytest.mark.alone
def test_a_small_file_that_unpacks_to_much_is_read_in_pieces(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "f"
    path.write_bytes(COMPRESSORS[kind]((b"x" * 99 + b"\n") * 600_000))
    tracemalloc.start()
    with compression.open_input(str(path)) as file:
        assert sum(1 for _ in compression.raw_lines(file, str(path))) == 600_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 40 << 20  # of 57 MiB unpacked


def test_a_gz_name_with_zstd_content_is_read(tmp_path: Path) -> None:
    path = tmp_path / "misnamed.gz"
    path.write_bytes(zstd(TEXT))
    assert texts_of(path) == SENTENCES


@pytest.mark.parametrize("kind", ["gzip", "zstd", "zstd in three frames", "xz", "bzip2"])
@pytest.mark.parametrize("chunk", [16, 1 << 20])
def test_a_truncated_file_is_an_error_that_names_file_and_byte(
    tmp_path: Path, kind: str, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "CHUNK_BYTES", chunk)
    path = tmp_path / "cut"
    whole = COMPRESSORS[kind](TEXT * 50)
    path.write_bytes(whole[:-9])
    with pytest.raises(InputError, match=rf"cut: truncated: .* byte {len(whole) - 9} ") as failure:
        texts_of(path)
    assert failure.value.hint


@pytest.mark.parametrize("kind", ["gzip", "zstd", "xz", "bzip2"])
def test_corrupt_data_is_an_error_that_names_the_place(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "bad"
    whole = bytearray(COMPRESSORS[kind](TEXT * 500))
    middle = len(whole) // 2
    whole[middle : middle + 8] = b"\xff" * 8
    path.write_bytes(bytes(whole))
    with pytest.raises(InputError, match=r"bad: corrupt .* after byte|bad: truncated"):
        texts_of(path)


def test_a_wrong_magic_is_an_error_that_names_file_and_byte(tmp_path: Path) -> None:
    path = tmp_path / "x.zst"
    path.write_bytes(b"\x28\xb5\x2f\xff" + zstd(TEXT)[4:])
    with pytest.raises(InputError, match=r"x\.zst: byte 0: .*28 b5 2f ff"):
        texts_of(path)


@pytest.mark.parametrize("mark", [b"\xff\xfe", b"\xfe\xff"])
def test_utf16_is_named_as_such(tmp_path: Path, mark: bytes) -> None:
    path = tmp_path / "wide"
    path.write_bytes(mark + "ab".encode("utf-16-le"))
    with pytest.raises(InputError, match="UTF-16"):
        texts_of(path)


@pytest.mark.parametrize("chunk", [7, 16, 64, 1 << 20])
def test_where_a_line_is_too_long_does_not_depend_on_chunks(
    tmp_path: Path, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compression, "CHUNK_BYTES", chunk)
    monkeypatch.setattr(compression, "MAX_LINE_BYTES", 20)
    path = tmp_path / "f"
    path.write_bytes(b"a" * 20 + b"\n" + b"b" * 21 + b"\nc\n" + b"d" * 50 + b"\ne\n" + b"f" * 21)
    with path.open("rb") as file:
        lines = list(compression.raw_lines(file, str(path)))
    assert lines == [b"a" * 20, None, b"c", None, b"e", None]


def pack(path: Path, content: bytes) -> bytes:
    """Write a file as the suffix of its name says, and return its bytes."""
    with path.open("wb") as file:
        with compressed(file, path.suffix) as sink:
            sink.write(content[:7])
            sink.write(content[7:])
        assert not file.closed
    return path.read_bytes()


@pytest.mark.parametrize(
    ("suffix", "command"),
    [(".gz", "gzip"), (".zst", "zstd"), (".xz", "xz"), (".bz2", "bzip2")],
)
def test_the_command_of_a_compression_unpacks_it(tmp_path: Path, suffix: str, command: str) -> None:
    out = tmp_path / f"a 'hostile' täst{suffix}"
    pack(out, TEXT)
    try:
        unpacked = subprocess.run([command, "-dc", str(out)], capture_output=True, check=True)
    except FileNotFoundError:
        pytest.skip(f"{command} is not installed")
    assert unpacked.stdout == TEXT


def test_compressed_bytes_do_not_depend_on_name_or_time(tmp_path: Path) -> None:
    unpackers: dict[str, Callable[[bytes], bytes]] = {
        ".gz": gzip.decompress,
        ".bz2": bz2.decompress,
        ".xz": lzma.decompress,
        ".zst": lambda content: zstandard.ZstdDecompressor().decompressobj().decompress(content),
    }
    assert sorted(unpackers) == sorted(SUFFIXES)
    for suffix, unpack in unpackers.items():
        first = pack(tmp_path / f"first{suffix}", TEXT)
        assert first == pack(tmp_path / f"second{suffix}", TEXT)
        assert unpack(first) == TEXT
    header = (tmp_path / "first.gz").read_bytes()[:10]
    assert header[3:8] == bytes(5)  # no flags, so no file name; no time
    frame = zstandard.get_frame_parameters((tmp_path / "first.zst").read_bytes())
    assert frame.has_checksum


@given(lines=st.lists(st.binary(max_size=50).map(lambda line: line.replace(b"\n", b""))))
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_what_is_written_is_read_back(suffix: str, lines: list[bytes]) -> None:
    content = b"".join(line + b"\n" for line in [b"first", *lines])
    packed = io.BytesIO()
    with compressed(packed, suffix) as sink:
        sink.write(content)
    packed.seek(0)
    assert list(raw_lines(packed, f"f{suffix}")) == [b"first", *lines]


@pytest.mark.parametrize("suffix", ["", ".tsv", ".parquet", ".GZ", ".zstd"])
def test_a_name_of_no_compression_leaves_the_bytes_alone(tmp_path: Path, suffix: str) -> None:
    assert not is_compressed(suffix)
    assert pack(tmp_path / f"f{suffix}", TEXT) == TEXT


def test_every_suffix_that_compresses_is_known() -> None:
    assert all(map(is_compressed, SUFFIXES))


@pytest.mark.parametrize(
    ("suffix", "name"),
    [(".gz", "gzip"), (".zst", "zstd"), (".ZSTD", "zstd"), (".xz", "xz"), (".Bz2", "bzip2")],
)
def test_plain_text_under_the_name_of_a_compression_is_refused(
    tmp_path: Path, suffix: str, name: str
) -> None:
    path = tmp_path / f"x{suffix}"
    path.write_bytes(TEXT)
    with pytest.raises(InputError, match=f"the name says {name}, but the content"):
        texts_of(path)
