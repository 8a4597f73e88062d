"""The matrix that makes vectors shorter: fitted once, on a sample of the sentences of both sides.

Vectors keep the directions in which they are longest on average: the first eigenvectors of their
second moments, both sides counting the same. No mean is taken off, so that all inner products
are kept as well as N numbers can keep them. Rows of int8 are then rotated: rounding to 255 steps
costs least when no dimension is much larger than the others.

Drawing the sample, encoding it and fitting are steps of their own, each of which does nothing
that was done before. The sample's sentences and vectors go when the matrix is there.
"""

import logging
import shutil
from collections.abc import Callable, Iterator
from itertools import accumulate
from pathlib import Path

import numpy as np

from bitextmine.config import ShardConfig
from bitextmine.counts import count_shards, side_counts
from bitextmine.encoders.sources import EncoderSource
from bitextmine.encoding import encode_sentences, progress_path
from bitextmine.errors import UsageError
from bitextmine.files import atomic_write, explained_write, read_json, write_json
from bitextmine.shard.sentences import Sentences
from bitextmine.storing import RowFormat, RowMaker, damaged_projection, plain_rows
from bitextmine.workdir import SIDES, ShardFiles, Side, Workdir

LOG = logging.getLogger(__name__)


def check_sample(workdir: Workdir, form: RowFormat) -> int:
    """Return how many sentences a projection will be fitted on.

    Raises
    ------
    UsageError
        There are fewer sentences than dimensions.
    """
    sizes = [int(side_counts(workdir, side)["unique"]) for side in SIDES]
    total = sum(min(size, form.sample) for size in sizes)
    if form.is_fitted and total < form.dim:
        raise UsageError(
            f"--dim is {form.dim}, but there are only {total:,} sentences to fit it on",
            hint=f"give at most {total}, or leave --dim out",
        )
    return total


def draw_sample(workdir: Workdir, sharding: ShardConfig, form: RowFormat) -> int:
    """Draw sentences of both sides by chance, and write them down; return how many.

    Parameters
    ----------
    workdir : Workdir
        Holds the sentences. Which are drawn depends on their numbers, never on shards.
    sharding : ShardConfig
        Under which it was sharded.
    form : RowFormat
        What the projection is for.

    Raises
    ------
    UsageError
        There are fewer sentences than dimensions.
    WorkdirError
        Vectors were made with a projection that is gone.
    """
    _refuse_second_fit(workdir)
    sides = {side: Sentences(workdir, side, sharding.paths(side)) for side in SIDES}
    for side, sentences in sides.items():
        files = _sample_files(workdir, side)
        if not files.offsets.exists():
            _save_texts(files, sentences.sample(form.sample, form.seed))
    return check_sample(workdir, form)


def encode_sample(
    root: Path, side: Side, source: EncoderSource, threads: int,
    *, device: str, report: Callable[[int], None],
) -> None:  # fmt: skip
    """Encode the sample of a side in full, as a shard is encoded.

    Parameters
    ----------
    root, side
        The work directory, and which sentences.
    source, threads, device, report
        As for `encode_shard`.

    Raises
    ------
    BitextmineError
        As for `encode_shard`.
    """
    rows = RowMaker(plain_rows(source.info))
    encode_sentences(_sample_files(Workdir(root), side), source, threads, rows, device, report)


def fit_projection(workdir: Workdir, form: RowFormat) -> None:
    """Make the projection of a format, and keep it in the work directory.

    Needs the encoded samples if the format leaves dimensions out.

    Raises
    ------
    EncoderError
        No vector of a sample can be used.
    WorkdirError
        Vectors were made with a projection that is gone.
    """
    from bitextmine.axes import multiplied, principal_axes, rotation, second_moments

    _refuse_second_fit(workdir)
    notes: dict[str, int | float] = {"dim": form.dim, "of": form.encoder_dim}
    matrix = rotation(form.dim, form.seed) if form.is_rotated else np.eye(form.dim)
    if form.is_fitted:
        samples = [np.load(_sample_files(workdir, side).embeddings, "r") for side in SIDES]
        moments = sum(second_moments(vectors) for vectors in samples)
        axes, kept = principal_axes(np.asarray(moments), form.dim)
        matrix = multiplied(axes, matrix)
        notes |= {"sentences": sum(map(len, samples)), "kept": round(kept, 4)}
        LOG.info("%d of %d dimensions keep %.1f %%", form.dim, form.encoder_dim, 100 * kept)
    write_json(_notes_path(workdir), notes)
    with atomic_write(workdir.projection) as file:
        np.save(file, matrix.astype(np.float16), allow_pickle=False)


def remove_sample(workdir: Workdir) -> None:
    """Remove the samples, once the projection is there."""
    for side in SIDES:
        shutil.rmtree(_sample_files(workdir, side).folder, ignore_errors=True)


def projection_notes(workdir: Workdir) -> dict[str, int | float]:
    """Return what is known of the projection, for the run card; empty if there is none."""
    return read_json(_notes_path(workdir)) if _notes_path(workdir).exists() else {}


def _sample_files(workdir: Workdir, side: Side) -> ShardFiles:
    return ShardFiles(workdir.root / side / "sample")


def _notes_path(workdir: Workdir) -> Path:
    return workdir.projection.with_suffix(".json")


def _save_texts(files: ShardFiles, sentences: list[str]) -> None:
    """Write sentences as a shard's are; the offsets come last."""
    texts = [sentence.encode() for sentence in sentences]
    with explained_write(files.folder):
        files.folder.mkdir(exist_ok=True)
    with atomic_write(files.text) as file:
        file.write(b"".join(texts))
    with atomic_write(files.offsets) as file:
        offsets = np.fromiter(accumulate(map(len, texts), initial=0), np.int64, len(texts) + 1)
        np.save(file, offsets, allow_pickle=False)


def _refuse_second_fit(workdir: Workdir) -> None:
    """Raise if vectors exist whose projection does not: another one may differ from it."""
    if any(path.exists() for path in _begun(workdir)):
        raise damaged_projection(workdir, "it is missing, and vectors were made with it")


def _begun(workdir: Workdir) -> Iterator[Path]:
    """What exists of a shard as soon as some of its vectors do."""
    for side in SIDES:
        for shard in range(count_shards(workdir, side)):
            files = workdir.shard(side, shard)
            yield from (files.encoded, progress_path(files))
