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
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import accumulate
from pathlib import Path

import numpy as np

from bitextmine.arrays import Doubles, Halfs
from bitextmine.counts import count_shards, side_counts
from bitextmine.encode.row_format import RowFormat, RowMaker, damaged_projection, plain_rows
from bitextmine.encode.shards import encode_sentences
from bitextmine.encoders.spec import EncoderSpec
from bitextmine.errors import BitextmineError, EncoderError, UsageError
from bitextmine.files import atomic_write, explained_write, read_json, write_json
from bitextmine.machine import Resources, single_threaded_workers
from bitextmine.progress import Advance
from bitextmine.shard.sentences import Sentences
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


def check_no_vectors(workdir: Workdir) -> None:
    """Refuse a second fit where vectors exist whose projection does not.

    Raises
    ------
    WorkdirError
        Another projection may differ from the one that they were made with.
    """
    for side in SIDES:
        for shard in range(count_shards(workdir, side)):
            files = workdir.shard(side, shard)
            if files.encoded.exists() or files.attempts():
                raise damaged_projection(workdir, "it is missing, and vectors were made with it")


def draw_sample(
    root: Path, side: Side, form: RowFormat, *, resources: Resources, advance: Advance
) -> None:
    """Draw sentences of a side by chance, and write them down as those of a shard are.

    Which are drawn depends on their numbers, never on shards.

    Parameters
    ----------
    root, side
        The work directory, and which sentences.
    form : RowFormat
        What the projection is for.
    resources, advance
        Not needed.
    """
    workdir = Workdir(root)
    files = workdir.sample(side)
    if not files.offsets.exists():
        with _unless_fitted(workdir):
            _save_texts(files, Sentences(workdir, side).sample(form.sample, form.seed))


def encode_sample(
    root: Path, side: Side, spec: EncoderSpec, *, resources: Resources, advance: Advance
) -> None:
    """Encode the sample of a side in full, as a shard is encoded.

    Parameters
    ----------
    root, side
        The work directory, and which sentences.
    spec, resources, advance
        As for `encode_shard`.

    Raises
    ------
    BitextmineError
        As for `encode_shard`.
    """
    workdir, rows = Workdir(root), RowMaker(plain_rows(spec.info))
    with _unless_fitted(workdir):
        encode_sentences(workdir.sample(side), spec, rows, resources, advance)


@contextmanager
def _unless_fitted(workdir: Workdir) -> Iterator[None]:
    """Let work at the sample fail where a twin has fitted the projection, and removed the sample.

    Raises
    ------
    BitextmineError
        What went wrong, if there is no projection.
    """
    try:
        yield
    except (BitextmineError, FileNotFoundError):
        if not workdir.projection.exists():
            raise


def fit_projection(root: Path, form: RowFormat, *, resources: Resources, advance: Advance) -> None:
    """Make the projection of a format, and keep it in the work directory.

    Needs the encoded samples if the format leaves dimensions out.

    Parameters
    ----------
    root : Path
        The work directory.
    form : RowFormat
        What the projection is for.
    resources, advance
        Not needed.

    Raises
    ------
    EncoderError
        No vector of a sample can be used.
    """
    workdir = Workdir(root)
    if workdir.projection.exists():
        return
    notes: dict[str, int | float] = {"dim": form.dim, "of": form.encoder_dim}
    matrix = rotation(form.dim, form.seed) if form.is_rotated else np.eye(form.dim)
    if form.is_fitted:
        samples = [np.load(workdir.sample(side).embeddings, "r") for side in SIDES]
        moments = sum(second_moments(vectors) for vectors in samples)
        axes, kept = principal_axes(np.asarray(moments), form.dim)
        matrix = multiplied(axes, matrix)
        notes |= {"sentences": sum(map(len, samples)), "kept": round(kept, 4)}
        LOG.info("%d of %d dimensions keep %.1f %%", form.dim, form.encoder_dim, 100 * kept)
    write_json(workdir.projection_notes, notes)
    with atomic_write(workdir.projection) as file:
        np.save(file, matrix.astype(np.float16), allow_pickle=False)


def remove_sample(workdir: Workdir) -> None:
    """Remove the samples, once the projection is there."""
    for side in SIDES:
        shutil.rmtree(workdir.sample(side).folder, ignore_errors=True)


def projection_notes(workdir: Workdir) -> dict[str, int | float]:
    """Return what is known of the projection, for the run card; empty if there is none."""
    return read_json(workdir.projection_notes) if workdir.projection_notes.exists() else {}


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


# Moments are sums of whole numbers of at most 18 + 18 bits: exact in float64, in any order, as
# long as there are at most 2^17 of them. Numbers of vectors of thousands of dimensions are about
# 2^-6 in size, of which 18 bits hold as much as float16 does.
_STEPS = 1 << 18

_BLOCK_ROWS = 2048


def second_moments(vectors: Halfs) -> Doubles:
    """Average the products of all pairs of dimensions, over rows that are not zero.

    Parameters
    ----------
    vectors : ndarray of float16, shape (n, d), n at most 2^17
        Unit rows, perhaps memory-mapped.

    Returns
    -------
    ndarray of float64, shape (d, d)
        The same bits in whatever order the rows are added.

    Raises
    ------
    EncoderError
        All rows are zero.
    """
    import torch

    total, usable = torch.zeros((vectors.shape[1],) * 2, dtype=torch.float64), 0
    for start in range(0, len(vectors), _BLOCK_ROWS):
        block = np.array(vectors[start : start + _BLOCK_ROWS])
        usable += int(block.any(axis=1).sum())
        whole = torch.from_numpy(block).double().mul_(_STEPS).round_()
        total += whole.T @ whole
    if not usable:
        raise EncoderError(
            f"the encoder gave zero or non-finite vectors for all {len(vectors):,} sentences of"
            " a sample",
            hint="the encoder is broken, or computes in a number format too small for it",
        )
    moments: Doubles = (total / (_STEPS * _STEPS) / usable).numpy()
    return moments


def principal_axes(moments: Doubles, count: int) -> tuple[Doubles, float]:
    """Return the directions of the largest moments, and their share of the whole.

    Parameters
    ----------
    moments : ndarray of float64, shape (d, d)
        Symmetric.
    count : int
        How many directions.

    Returns
    -------
    axes : ndarray of float64, shape (d, count)
        Orthonormal columns, the largest first; the largest number of each is positive.
    share : float
        Of the trace: how much of the squared length of vectors they keep on average.
    """
    import torch

    with single_threaded_workers(1, "fit") as alone:  # several threads may round otherwise
        values, vectors = alone.submit(torch.linalg.eigh, torch.from_numpy(moments)).result()
    axes: Doubles = vectors.flip(1)[:, :count].numpy()
    largest = np.abs(axes).argmax(axis=0)
    axes = axes * np.sign(axes[largest, np.arange(count)])
    return axes, float(values[-count:].sum() / values.sum())


def rotation(dim: int, seed: int) -> Doubles:
    """Return an orthogonal matrix that spreads every dimension over all others, (dim, dim).

    Random signs, then the discrete cosine transform: what a Hadamard matrix does, for any size.
    """
    rows, columns = np.arange(dim)[:, None] + 0.5, np.arange(dim)[None, :]
    cosines = np.cos(np.pi / dim * rows * columns) * np.sqrt(2 / dim)
    cosines[:, 0] = np.sqrt(1 / dim)
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], dim)
    turned: Doubles = signs[:, None] * cosines
    return turned


def multiplied(one: Doubles, other: Doubles) -> Doubles:
    """Multiply two matrices; in one thread, since several may round otherwise."""
    import torch

    with single_threaded_workers(1, "fit") as alone:
        factors = torch.from_numpy(one), torch.from_numpy(other)
        product: Doubles = alone.submit(torch.matmul, *factors).result().numpy()
    return product
