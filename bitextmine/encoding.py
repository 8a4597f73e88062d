"""Shards of sentences -> float16 unit vectors on disk, chunk by chunk.

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
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np

from bitextmine.accounts import count_shards, side_counts
from bitextmine.encoders.base import Encoded, Encoder, EncoderInfo, encode_windows
from bitextmine.encoders.sources import EncoderSource, shared_encoder
from bitextmine.errors import EncoderError, WorkdirError
from bitextmine.machine import usable_threads
from bitextmine.runcard import RunCard
from bitextmine.search.neighbours import Floats, Halfs
from bitextmine.texts import TextFile, shard_texts
from bitextmine.workdir import SIDES, ShardFiles, Side, Workdir
from bitextmine.writing import explained_write, read_json, sync_folder, write_json

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
    root: Path, side: Side, shard: int, source: EncoderSource, threads: int,
    *, device: str, report: Callable[[int], None],
) -> None:  # fmt: skip
    """Encode the sentences of one shard, going on where an earlier run stopped.

    Parameters
    ----------
    root : Path
        The work directory.
    side, shard
        Which sentences.
    source : EncoderSource
        Which encoder.
    threads : int
        Processor cores to use; 0 is all.
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
        Another process is encoding this shard.
    """
    files = Workdir(root).shard(side, shard)
    texts = shard_texts(files)
    if files.embeddings.exists() and _progress_path(files).exists():
        # The run before was killed after the rename, before the counts were written.
        write_json(files.encoded, read_json(_progress_path(files)))
    if files.encoded.exists():
        report(len(texts))
        return
    encoder = shared_encoder(source, usable_threads(threads), device)
    part = files.embeddings.with_suffix(".part")
    with explained_write(files.embeddings), part.open("a+b") as file:
        _claim_part(file, files)
        done = _encode_rows(file, files, texts, encoder, report)
        os.fsync(file.fileno())
        part.replace(files.embeddings)
        sync_folder(files.folder)
    write_json(files.encoded, asdict(done))
    _progress_path(files).unlink(missing_ok=True)


def _claim_part(file: BinaryIO, files: ShardFiles) -> None:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise WorkdirError(
            f"{files.folder} is being encoded by another process",
            hint="wait until it has finished",
        ) from error


def _encode_rows(
    file: BinaryIO, files: ShardFiles, texts: TextFile, encoder: Encoder,
    report: Callable[[int], None],
) -> _Progress:  # fmt: skip
    dim, chunk_rows = encoder.info.dim, encoder.info.chunk_rows
    done = _resumed(file, files, dim)
    file.truncate(_HEADER_BYTES + done.rows * dim * 2 if done.rows else 0)
    if done.rows == 0:
        file.write(_npy_header(len(texts), dim))
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
            writing = writer.submit(_write_chunk, file, files, done, encoded, stop, encoder.info)
            report(len(encoded.embeddings))
        if writing is not None:
            writing.result()
    return done


def _write_chunk(
    file: BinaryIO, files: ShardFiles, done: _Progress, encoded: Encoded, stop: int,
    info: EncoderInfo,
) -> None:  # fmt: skip
    """Add a chunk to the file, and only then to what is known to be on disk."""
    shape = (stop - done.rows, info.dim)
    halfs, unusable = unit_halfs(encoded.embeddings, shape, info.name)
    if 2 * unusable > shape[0] >= _TELLING_ROWS:
        # Waiting for the end of the side could mean days of encoding for nothing.
        raise EncoderError(
            f"{info.name} gave zero or non-finite vectors for {unusable:,} of {shape[0]:,}"
            " sentences in a row",
            hint=_BROKEN,
        )
    file.write(halfs.tobytes())
    file.flush()
    os.fsync(file.fileno())
    done.rows = stop
    done.truncated += encoded.truncated
    done.unusable += unusable
    write_json(_progress_path(files), asdict(done))


def _npy_header(rows: int, dim: int) -> bytes:
    """Return the .npy header of a (rows, dim) float16 array, before its rows are known."""
    described = {"descr": "<f2", "fortran_order": False, "shape": (rows, dim)}
    text = repr(described).encode()
    room = _HEADER_BYTES - 10 - 1
    return b"\x93NUMPY\x01\x00" + (room + 1).to_bytes(2, "little") + text.ljust(room) + b"\n"


def _progress_path(files: ShardFiles) -> Path:
    return files.folder / "encoding.json"


def _resumed(file: BinaryIO, files: ShardFiles, dim: int) -> _Progress:
    """Return how far an earlier run came, as far as its rows are really there."""
    path = _progress_path(files)
    if not path.exists():
        return _Progress()
    done = _Progress(**read_json(path))
    enough = os.fstat(file.fileno()).st_size >= _HEADER_BYTES + done.rows * dim * 2
    return done if enough else _Progress()


def unit_halfs(embeddings: Floats, shape: tuple[int, int], name: str) -> tuple[Halfs, int]:
    """Normalise vectors and round them to float16; what cannot be normalised becomes zero.

    Parameters
    ----------
    embeddings : ndarray of float32, shape (n, d)
        As the encoder gave them.
    shape : tuple of int
        What (n, d) must be.
    name : str
        The encoder's, for messages.

    Returns
    -------
    halfs : ndarray of float16, shape (n, d)
    unusable : int
        Rows that were zero or not finite. A zero row has cosine 0 with everything, and a pair
        of cosine 0 is never selected.

    Raises
    ------
    EncoderError
        The shape is wrong.
    """
    if embeddings.shape != shape:
        raise EncoderError(
            f"{name} gave vectors of shape {embeddings.shape} for {shape}",
            hint="the encoder is broken or misdescribed; choose another --model",
        )
    norms = np.linalg.norm(embeddings, axis=1)
    usable = np.isfinite(norms) & (norms > 0)
    unusable = int(len(usable) - usable.sum())
    if unusable:
        embeddings = np.where(usable[:, None], embeddings, 0)
    units = embeddings / np.where(usable, norms, 1)[:, None]
    return units.astype(np.float16), unusable


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


def encoded_counts(workdir: Workdir, side: Side) -> dict[str, int]:
    """Add up the counts of encoding over the shards of a side."""
    total = {"truncated": 0, "unusable": 0}
    for shard in range(count_shards(workdir, side)):
        counts = read_json(workdir.shard(side, shard).encoded)
        total = {key: total[key] + counts[key] for key in total}
    return total
