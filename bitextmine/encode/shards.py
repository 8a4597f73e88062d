"""Shards of sentences -> rows of vectors on disk, chunk by chunk.

A shard is encoded in chunks of as many rows as the encoder does in some seconds, so a killed run
loses the chunk in hand and no more, and the finished file is the same bytes however often it was
resumed. How its file comes about is told in `bitextmine.encode.attempt`.
"""

from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing
from itertools import pairwise
from pathlib import Path

from bitextmine.encode.attempt import Attempt, note_renamed, remove_attempts
from bitextmine.encode.row_format import RowFormat, RowMaker, load_projection, plain_rows
from bitextmine.encoders.base import Encoded, Encoder, encode_windows
from bitextmine.encoders.spec import EncoderSpec, shared_encoder
from bitextmine.errors import EncoderError
from bitextmine.machine import Resources
from bitextmine.progress import Advance
from bitextmine.shard.sentences import TextFile, shard_texts
from bitextmine.workdir import ShardFiles, Side, Workdir

BROKEN_ENCODER = "the encoder is broken, or computes in a number format too small for it"

_TELLING_ROWS = 256  # that most of so many rows are unusable is no accident


def encode_shard(
    root: Path,
    side: Side,
    shard: int,
    spec: EncoderSpec,
    form: RowFormat | None = None,
    *,
    resources: Resources,
    advance: Advance,
) -> None:
    """Encode the sentences of one shard, going on where an earlier attempt stopped.

    Parameters
    ----------
    root : Path
        The work directory.
    side, shard
        Which sentences.
    spec : EncoderSpec
        Which encoder.
    form : RowFormat, optional
        What rows are to look like; by default as the encoder gives them, in float16.
    resources, advance
        What to use, and what is told how many more sentences are encoded, those of earlier
        attempts included.

    Raises
    ------
    EncoderError
        The encoder gives vectors of another length.
    OutputError
        The disk is full, or the finished file has not the size that it must have.
    WorkdirError
        The projection is missing.
    """
    workdir, form = Workdir(root), form or plain_rows(spec.info)
    rows = RowMaker(form, load_projection(workdir, form), resources.device)
    encode_sentences(workdir.shard(side, shard), spec, rows, resources, advance)


def encode_sentences(
    files: ShardFiles, spec: EncoderSpec, rows: RowMaker, resources: Resources, advance: Advance
) -> None:
    """Encode the sentences of any folder that has the files of a shard, as `encode_shard` does."""
    texts = shard_texts(files)
    note_renamed(files)
    if files.encoded.exists():
        advance(len(texts))
    else:
        encoder = shared_encoder(spec, resources.threads, resources.device)
        with Attempt(files, len(texts), rows.form) as attempt:
            _encode_rows(attempt, texts, encoder, rows, advance)
            if not attempt.overtaken():
                attempt.finish()
    remove_attempts(files)


def _encode_rows(
    attempt: Attempt, texts: TextFile, encoder: Encoder, rows: RowMaker, advance: Advance
) -> None:
    """Encode what is left, as long as no other attempt has finished the shard."""
    begun, chunk_rows = attempt.done.rows, encoder.info.chunk_rows
    advance(begun)
    bounds = [*range(begun, len(texts), chunk_rows), len(texts)]
    windows = (texts.run(start, stop) for start, stop in pairwise(bounds))
    with (
        closing(encode_windows(encoder, windows)) as chunks,
        ThreadPoolExecutor(1, "write vectors") as writer,
    ):
        writing: Future[None] | None = None
        for encoded, (start, stop) in zip(chunks, pairwise(bounds), strict=True):
            if writing is not None:
                writing.result()
            if attempt.overtaken():
                advance(len(texts) - start)
                return
            # One chunk is normalised, rounded and written while the next one is encoded.
            writing = writer.submit(_write_chunk, attempt, encoded, stop - start, rows, encoder)
            advance(len(encoded.embeddings))
        if writing is not None:
            writing.result()


def _write_chunk(
    attempt: Attempt, encoded: Encoded, count: int, rows: RowMaker, encoder: Encoder
) -> None:
    """Add a chunk to the file, unless the encoder is broken."""
    name = encoder.info.name
    stored, unusable = rows.make(encoded.embeddings, count, name)
    if 2 * unusable > count >= _TELLING_ROWS:
        # Waiting for the end of the side could mean days of encoding for nothing.
        raise EncoderError(
            f"{name} gave zero or non-finite vectors for {unusable:,} of {count:,}"
            " sentences in a row",
            hint=BROKEN_ENCODER,
        )
    attempt.add(stored, encoded.truncated, unusable)
