"""Any compression, reading and writing: bytes of a file, and the lines in them."""

import bz2
import gzip
import lzma
import sys
import zlib
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import chain
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from bitextmine.config import STDIN
from bitextmine.errors import InputError
from bitextmine.files import ByteSink

CHUNK_BYTES = 1 << 20
MAX_LINE_BYTES = 16 << 20  # a longer line is rejected without ever being held in memory

SLICE_BYTES = 512  # fed to a decompressor at once: what comes out is bounded by some MiB

_BOM = b"\xef\xbb\xbf"
_SKIPPABLE = b"\x2a\x4d\x18"  # after a first byte of 0x50 to 0x5f: a zstd frame of metadata


@dataclass(frozen=True)
class _Compression:
    """How a compression is recognised, undone and done."""

    name: str  # for messages
    suffix: str  # of a file to be written, to the letter; of one to be read, in any case
    magic: bytes
    decompressor: Callable[[], Any]
    compressor: Callable[[BinaryIO], AbstractContextManager[ByteSink]]
    padded: bool = False  # whether zeros may lie between two frames


# Nothing that is written depends on time or place: no file name, no date.
_ZSTD = _Compression(
    name="zstd",
    suffix=".zst",
    magic=b"\x28\xb5\x2f\xfd",
    decompressor=lambda: zstandard.ZstdDecompressor(max_window_size=1 << 31).decompressobj(),
    compressor=lambda file: zstandard.ZstdCompressor(write_checksum=True).stream_writer(
        file, closefd=False
    ),
)
_COMPRESSIONS = (
    _Compression(
        name="gzip",
        suffix=".gz",
        magic=b"\x1f\x8b",
        decompressor=lambda: zlib.decompressobj(wbits=31),
        # Level 6 is what the command gzip takes.
        compressor=lambda file: gzip.GzipFile("", "wb", compresslevel=6, fileobj=file, mtime=0),
        padded=True,
    ),
    _ZSTD,
    _Compression(
        name="xz",
        suffix=".xz",
        magic=b"\xfd7zXZ\x00",
        decompressor=lzma.LZMADecompressor,
        compressor=partial(lzma.LZMAFile, mode="wb"),
        padded=True,
    ),
    _Compression(
        name="bzip2",
        suffix=".bz2",
        magic=b"BZh",
        decompressor=bz2.BZ2Decompressor,
        compressor=partial(bz2.BZ2File, mode="wb"),
    ),
)
_WRITTEN = {compression.suffix: compression for compression in _COMPRESSIONS}
_READ = {**_WRITTEN, ".zstd": _ZSTD}  # a name that others give


@contextmanager
def open_input(path: str) -> Iterator[BinaryIO]:
    """Open an input file, or stdin for "-", as bytes.

    Raises
    ------
    InputError
        It is missing, a directory, or not readable.
    """
    if path == STDIN:
        if sys.stdin is None:  # closed by the shell: <&-
            raise InputError("stdin is closed", hint="pipe sentences into it, or name a file")
        yield sys.stdin.buffer
        return
    with ExitStack() as stack:
        try:
            file = stack.enter_context(Path(path).open("rb"))
        except OSError as error:
            raise InputError(
                f"cannot read {path}: {(error.strerror or str(error)).lower()}",
                hint="check the path, its spelling and its permissions",
            ) from error
        yield file


def raw_lines(
    file: BinaryIO, path: str, on_bytes: Callable[[bytes], object] = len
) -> Iterator[bytes | None]:
    """Yield the lines of a text file without their ends, decompressed.

    The compression is told by the first bytes, not by the name. None stands for
    a line that is longer than ``MAX_LINE_BYTES``.

    Parameters
    ----------
    file : binary file
        Compressed or not.
    path : str
        Its name, for messages.
    on_bytes : callable
        Sees every raw chunk as it is read, for progress and checksums.

    Raises
    ------
    InputError
        The data is truncated, corrupt, not what its name says, or UTF-16.
    """
    chunks = _chunks(file, path, on_bytes)
    return _split_lines(_without_bom(path, _decompressed(path, chunks)))


@contextmanager
def compressed(file: BinaryIO, suffix: str) -> Iterator[ByteSink]:
    """Compress what is written to a file as the suffix of its name says, if it says so.

    Parameters
    ----------
    file : binary file
        Stays open.
    suffix : str
        ".zst" and so on; any that `is_compressed` does not know leaves the bytes as they are.
    """
    if suffix not in _WRITTEN:
        yield file
        return
    with _WRITTEN[suffix].compressor(file) as sink:
        yield sink


def is_compressed(suffix: str) -> bool:
    """Tell whether `compressed` compresses files whose names end like this."""
    return suffix in _WRITTEN


def _chunks(file: BinaryIO, path: str, on_bytes: Callable[[bytes], object]) -> Iterator[bytes]:
    while True:
        try:
            chunk = file.read(CHUNK_BYTES)
        except OSError as error:
            raise InputError(
                f"cannot read {path}: {(error.strerror or str(error)).lower()}",
                hint="check the disk, then run the same command again",
            ) from error
        if not chunk:
            return
        on_bytes(chunk)
        yield chunk


def _decompressed(path: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Undo the compression that the first bytes tell; several frames or members are one text."""
    head = next(chunks, b"")
    kind = next((kind for kind in _COMPRESSIONS if head.startswith(kind.magic)), None)
    if head[1:4] == _SKIPPABLE and head[0] >> 4 == 5:
        kind = _ZSTD  # a frame of metadata, as pzstd writes first
    claimed = _READ.get(Path(path).suffix.lower())
    if kind is None:
        if claimed and head:
            raise InputError(
                f"{path}: byte 0: the name says {claimed.name}, but the content "
                f"({head[:4].hex(' ')} …) is not compressed in any known way",
                hint="the file is damaged, or is plain text and should be renamed",
            )
        yield head
        yield from chunks
        return
    yield from _frames(path, kind, head, chunks)


def _frames(path: str, kind: _Compression, head: bytes, chunks: Iterator[bytes]) -> Iterator[bytes]:
    """Decompress frame after frame, and give out about as much at a time as is read."""
    offset = 0  # compressed bytes before this chunk
    frame: Any = None
    held: list[bytes] = []
    n_held = 0
    for chunk in chain([head], chunks):
        start = 0
        while start < len(chunk):
            piece = chunk[start : start + SLICE_BYTES]
            if frame is None:
                padding = len(piece) - len(piece.lstrip(b"\0")) if kind.padded else 0
                if padding:
                    start += padding
                    continue
                frame = kind.decompressor()
            problem = f"{path}: corrupt {kind.name} data after byte {offset + start:,}"
            for text in _decompress(frame, piece, problem):
                held.append(text)
                n_held += len(text)
                if n_held >= CHUNK_BYTES:
                    yield b"".join(held)
                    held, n_held = [], 0
            start += len(piece) - (len(frame.unused_data) if frame.eof else 0)
            frame = None if frame.eof else frame
        offset += len(chunk)
    yield b"".join(held)
    if frame is not None:
        raise InputError(
            f"{path}: truncated: the {kind.name} data ends at byte {offset:,} "
            "in the middle of a frame",
            hint="the file is incomplete; fetch or make it again",
        )


def _decompress(frame: Any, piece: bytes, problem: str) -> Iterator[bytes]:
    """Yield what a piece unpacks to; some bytes of bzip2 or xz can hold hundreds of megabytes."""
    try:
        if not hasattr(frame, "needs_input"):  # zlib and zstd unpack 512 bytes to 16 MiB at most
            yield frame.decompress(piece)
            return
        yield frame.decompress(piece, CHUNK_BYTES)
        while not (frame.eof or frame.needs_input):
            yield frame.decompress(b"", CHUNK_BYTES)
    except (zlib.error, lzma.LZMAError, zstandard.ZstdError, OSError, EOFError) as error:
        raise InputError(
            f"{problem}: {error}", hint="the file is damaged; fetch or make it again"
        ) from error


def _without_bom(path: str, chunks: Iterator[bytes]) -> Iterator[bytes]:
    head = b""
    for chunk in chunks:
        head += chunk
        if len(head) >= len(_BOM):
            break
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise InputError(
            f"{path}: byte 0: the text is UTF-16, not UTF-8",
            hint="convert it first, for example with iconv -f UTF-16 -t UTF-8",
        )
    yield head.removeprefix(_BOM)
    yield from chunks


def _split_lines(chunks: Iterator[bytes]) -> Iterator[bytes | None]:
    """Yield the lines without their ends; None stands for one too long to be held."""
    carry, oversized = b"", False
    for chunk in chunks:
        held = carry + chunk
        *lines, carry = held.split(b"\n")
        if lines and oversized:
            yield None
            del lines[0]
            oversized = False
        if len(held) > MAX_LINE_BYTES:  # only then can a whole line be too long
            yield from (line if len(line) <= MAX_LINE_BYTES else None for line in lines)
        else:
            yield from lines
        if len(carry) > MAX_LINE_BYTES:
            carry, oversized = b"", True
    if oversized:
        yield None
    elif carry:
        yield carry
