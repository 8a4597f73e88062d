"""Shards of sentences -> rows of vectors on disk, chunk by chunk.

A shard is encoded in chunks of as many rows as the encoder does in some seconds.
Each chunk is synced to a ``.part`` file before its progress is noted, so a killed
run loses the chunk in hand and no more, and the finished file is the same bytes
however often it was resumed.
"""

import fcntl
import os
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from bitextmine.counts import count_shards, encoded_counts, side_counts
from bitextmine.encode.row_format import RowFormat, RowMaker, load_projection, plain_rows
from bitextmine.encoders.base import Encoded, Encoder, encode_windows
from bitextmine.encoders.spec import EncoderSpec, shared_encoder
from bitextmine.errors import EncoderError, WorkdirError
from bitextmine.files import (
    explained_write,
    fingerprint,
    is_unchanged,
    read_json,
    sync_folder,
    write_json,
)
from bitextmine.machine import usable_threads
from bitextmine.runcard import RunCard
from bitextmine.shard.sentences import TextFile, shard_texts
from bitextmine.workdir import SIDES, ShardFiles, Side, Workdir

_HEADER_BYTES = 128  # of a version 1 .npy file

_TELLING_ROWS = 256  # a chunk of as many, most of them unusable, is no accident

_BROKEN = "the encoder is broken, or computes in a number format too small for it"


@dataclass
class _Progress:
    """What is on disk of a shard being encoded."""

    rows: int = 0
    truncated: int = 0
    unusable: int = 0


def encode_shard(
    root: Path,
    side: Side,
    shard: int,
    spec: EncoderSpec,
    threads: int,
    form: RowFormat | None = None,
    *,
    device: str,
    report: Callable[[int], None],
) -> None:
    """Encode the sentences of one shard, going on where an earlier run stopped.

    Parameters
    ----------
    root : Path
        The work directory.
    side, shard
        Which sentences.
    spec : EncoderSpec
        Which encoder.
    threads : int
        Processor cores to use; 0 is all.
    form : RowFormat, optional
        What rows are to look like; by default as the encoder gives them, in float16.
    device : str
        Where to compute.
    report : callable
        Told how many more sentences are encoded, those of earlier runs included.

    Raises
    ------
    EncoderError
        The encoder gives vectors of another length.
    OutputError
        The disk is full.
    WorkdirError
        Another process is encoding this shard, or the projection is missing.
    """
    workdir, form = Workdir(root), form or plain_rows(spec.info)
    rows = RowMaker(form, load_projection(workdir, form), device)
    encode_sentences(workdir.shard(side, shard), spec, threads, rows, device, report)


def encode_sentences(
    files: ShardFiles,
    spec: EncoderSpec,
    threads: int,
    rows: RowMaker,
    device: str,
    report: Callable[[int], None],
) -> None:
    """Encode the sentences of any folder that has the files of a shard, as `encode_shard` does."""
    texts, part = shard_texts(files), files.embeddings.with_suffix(".part")
    if not files.encoded.exists() and not part.exists():
        _note_renamed(files)
    if files.encoded.exists():
        report(len(texts))
        return
    encoder = shared_encoder(spec, usable_threads(threads), device)
    with explained_write(files.embeddings), part.open("a+b") as file:
        _claim_part(file, files)
        done = _encode_rows(file, files, texts, encoder, rows, report)
        file.flush()  # an empty shard has nothing but its header
        os.fsync(file.fileno())
        note = _finished_note(part, done, rows.form)
        write_json(progress_path(files), note)
        part.replace(files.embeddings)
        sync_folder(files.folder)
    write_json(files.encoded, note)
    progress_path(files).unlink(missing_ok=True)


def _note_renamed(files: ShardFiles) -> None:
    """Finish what a run began that was killed after the rename, before the note got its name."""
    if files.embeddings.exists() and progress_path(files).exists():
        known = read_json(progress_path(files))
        if "checksum" in known:  # else these are other vectors, which are encoded again
            write_json(files.encoded, known)
            progress_path(files).unlink(missing_ok=True)


def _claim_part(file: BinaryIO, files: ShardFiles) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise WorkdirError(
            f"{files.folder} is being encoded by another process",
            hint="wait until it has finished",
        ) from error


def _encode_rows(
    file: BinaryIO,
    files: ShardFiles,
    texts: TextFile,
    encoder: Encoder,
    rows: RowMaker,
    report: Callable[[int], None],
) -> _Progress:
    chunk_rows, name = encoder.info.chunk_rows, encoder.info.name
    done = _resumed(file, files, rows.form)
    file.truncate(_file_bytes(done.rows, rows.form) if done.rows else 0)
    if done.rows == 0:
        file.write(_npy_header(len(texts), rows.form))
    report(done.rows)
    bounds = [*range(done.rows, len(texts), chunk_rows), len(texts)]
    windows = (texts.run(start, stop) for start, stop in pairwise(bounds))
    with (
        closing(encode_windows(encoder, windows)) as chunks,
        ThreadPoolExecutor(1, "write vectors") as writer,
    ):
        writing: Future[None] | None = None
        for encoded, stop in zip(chunks, bounds[1:], strict=True):
            if writing is not None:
                writing.result()
            # One chunk is normalised, rounded and written while the next one is encoded.
            writing = writer.submit(_write_chunk, file, files, done, encoded, stop, rows, name)
            report(len(encoded.embeddings))
        if writing is not None:
            writing.result()
    return done


def _write_chunk(
    file: BinaryIO,
    files: ShardFiles,
    done: _Progress,
    encoded: Encoded,
    stop: int,
    rows: RowMaker,
    name: str,
) -> None:
    """Add a chunk to the file, and only then to what is known to be on disk."""
    count = stop - done.rows
    stored, unusable = rows.make(encoded.embeddings, count, name)
    if 2 * unusable > count >= _TELLING_ROWS:
        # Waiting for the end of the side could mean days of encoding for nothing.
        raise EncoderError(
            f"{name} gave zero or non-finite vectors for {unusable:,} of {count:,}"
            " sentences in a row",
            hint=_BROKEN,
        )
    file.write(stored.tobytes())
    file.flush()
    os.fsync(file.fileno())
    done.rows = stop
    done.truncated += encoded.truncated
    done.unusable += unusable
    write_json(progress_path(files), asdict(done))


def _file_bytes(rows: int, form: RowFormat) -> int:
    return _HEADER_BYTES + rows * form.dim * form.dtype.itemsize


def _npy_header(rows: int, form: RowFormat) -> bytes:
    """Return the .npy header of an array of rows, before they are known."""
    described = {"descr": form.dtype.str, "fortran_order": False, "shape": (rows, form.dim)}
    text = repr(described).encode()
    room = _HEADER_BYTES - 10 - 1
    return b"\x93NUMPY\x01\x00" + (room + 1).to_bytes(2, "little") + text.ljust(room) + b"\n"


def progress_path(files: ShardFiles) -> Path:
    """How far a shard is encoded; exists from the first chunk to the last."""
    return files.folder / "encoding.json"


def _resumed(file: BinaryIO, files: ShardFiles, form: RowFormat) -> _Progress:
    """Return how far an earlier run came, as far as its rows are really there."""
    path = progress_path(files)
    if not path.exists():
        return _Progress()
    known = read_json(path)
    done = _Progress(**{item.name: known[item.name] for item in fields(_Progress)})
    enough = os.fstat(file.fileno()).st_size >= _file_bytes(done.rows, form)
    return done if enough else _Progress()


def check_embeddings(files: ShardFiles, rows: int) -> None:
    """Refuse the vectors of a shard that are not those which were written.

    A file of the noted size and time is the noted file; else its content decides.

    Parameters
    ----------
    files : ShardFiles
        A shard that is encoded.
    rows : int
        Sentences it has.

    Raises
    ------
    WorkdirError
        The file is missing, has another shape or number format, or other content.
    """
    noted = read_json(files.encoded)
    wanted = ((rows, noted["dim"]), noted["dtype"])
    try:
        size = files.embeddings.stat().st_size
        if size != noted["bytes"]:
            raise _changed(files, f"has {size:,} bytes, not {noted['bytes']:,}")
        found = np.lib.format.open_memmap(files.embeddings, mode="r")
    except (OSError, ValueError) as error:
        raise _changed(files, f"cannot be read: {error}") from error
    if (found.shape, found.dtype.name) != wanted:
        raise _changed(files, f"holds {found.dtype} {found.shape}, not {wanted[1]} {wanted[0]}")
    if not is_unchanged(files.embeddings, noted):
        raise _changed(files, "has changed since it was written")


def _changed(files: ShardFiles, how: str) -> WorkdirError:
    return WorkdirError(
        f"{files.embeddings} {how}",
        hint=f"delete {files.encoded}, encode again in the same --workdir, then search",
    )


def _finished_note(part: Path, done: _Progress, form: RowFormat) -> dict[str, Any]:
    """Return the counts of a finished file, and what tells later whether it is still the same."""
    described = {"dim": form.dim, "dtype": form.dtype.name}
    return asdict(done) | described | fingerprint(part)


def check_usable(workdir: Workdir, side: Side, name: str, card: RunCard) -> None:
    """Refuse an encoder that failed on most sentences of a side, warn of one that failed on some.

    Raises
    ------
    EncoderError
        Most vectors of a side are zero or not finite.
    """
    unusable = encoded_counts(workdir, side)["unusable"]
    n = side_counts(workdir, side)["unique"]
    told = f"{name} gave zero or non-finite vectors for {unusable:,} of {n:,} {side} sentences"
    if 2 * unusable > n:
        raise EncoderError(told, hint=_BROKEN)
    if unusable:
        card.show(f"{told}; they are in no pair")


def all_encoded(workdir: Workdir) -> bool:
    """Tell whether the vectors of both sides are on disk."""
    return all(
        workdir.shard(side, shard).encoded.exists()
        for side in SIDES
        for shard in range(count_shards(workdir, side))
    )
