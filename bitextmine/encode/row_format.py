"""An encoder's vectors -> the rows that are kept: of unit length, perhaps shorter, 2 bytes or 1.

A row has the same bits however its sentence came along: in whatever chunk, with however many
threads, on a processor or a GPU. Matrix products promise nothing of the kind in float32, so a
projection is computed in numbers whose sums are exact in any order, and every step after it
concerns one number of one row.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from bitextmine.arrays import Doubles, Floats, Halfs, Stored
from bitextmine.config import EncodeConfig, Store
from bitextmine.encoders.base import EncoderInfo
from bitextmine.errors import EncoderError, UsageError, WorkdirError
from bitextmine.machine import CPU
from bitextmine.workdir import Workdir

SAMPLE_PER_DIMENSION = 10  # sentences of each side that a projection is fitted on
LEAST_SAMPLE = 5_000  # of each side
MOST_SAMPLE = 1 << 17  # of each side: as many as `second_moments` adds without rounding
_LARGEST_INT8 = 127
_FINE_STEPS = 1 << 15  # of the largest number of a row: 16 bits, five more than float16 keeps
_BLOCK_NUMBERS = 1 << 22  # float64 numbers projected at a time: 32 MiB


@dataclass(frozen=True)
class RowFormat:
    """What stored vectors look like.

    Attributes
    ----------
    dim : int
        Numbers a row has.
    encoder_dim : int
        Numbers the encoder gives.
    store : "fp16" or "int8"
        Their format.
    seed : int
        Of the sample that the projection is fitted on, and of the rotation.
    """

    dim: int
    encoder_dim: int
    store: Store = "fp16"
    seed: int = 1

    @property
    def is_fitted(self) -> bool:
        """Whether dimensions are left out, by a projection fitted on a sample."""
        return self.dim < self.encoder_dim

    @property
    def is_rotated(self) -> bool:
        """Whether rows are turned, so that no dimension is much larger than another."""
        return self.store == "int8"

    @property
    def is_projected(self) -> bool:
        """Whether rows are the encoder's vectors times a matrix."""
        return self.is_fitted or self.is_rotated

    @property
    def sample(self) -> int:
        """How many sentences a side the projection is fitted on, if there are as many."""
        enough = max(LEAST_SAMPLE, SAMPLE_PER_DIMENSION * self.encoder_dim)
        return min(enough, MOST_SAMPLE) if self.is_fitted else 0

    def identity(self) -> dict[str, Any]:
        """Return what tells these rows from others of the same encoder."""
        known: dict[str, Any] = {"dim": self.dim, "stored": self.dtype.name}
        if self.is_projected:
            fitted = {"of": self.encoder_dim, "sample": self.sample, "seed": self.seed}
            known["projection"] = fitted
        return known

    @property
    def dtype(self) -> np.dtype[np.number[Any]]:
        """Of a row's numbers."""
        return np.dtype(np.int8 if self.store == "int8" else np.float16)


def plain_rows(info: EncoderInfo) -> RowFormat:
    """Return the format of rows as the encoder gives them, in float16."""
    return RowFormat(info.dim, info.dim)


def row_format(config: EncodeConfig, info: EncoderInfo) -> RowFormat:
    """Return the format that ``--dim`` and ``--store`` ask for.

    Raises
    ------
    UsageError
        The encoder gives fewer numbers.
    """
    dim = info.dim if config.dim is None else config.dim
    if dim > info.dim:
        raise UsageError(
            f"--dim is {dim}, but the vectors of {info.name} have {info.dim} dimensions",
            hint=f"give at most {info.dim}, or leave --dim out",
        )
    return RowFormat(dim, info.dim, config.store, config.seed)


def load_projection(workdir: Workdir, form: RowFormat) -> Halfs | None:
    """Load the projection that was fitted here; None if the format has none.

    Returns
    -------
    ndarray of float16, shape (encoder_dim, dim), or None

    Raises
    ------
    WorkdirError
        It is missing, or of another shape.
    """
    if not form.is_projected:
        return None
    try:
        matrix: Halfs = np.load(workdir.projection, allow_pickle=False)
    except (OSError, ValueError) as error:
        raise damaged_projection(workdir, str(error)) from error
    if (matrix.dtype.name, matrix.shape) != ("float16", (form.encoder_dim, form.dim)):
        raise damaged_projection(workdir, f"it holds {matrix.dtype} {matrix.shape}")
    return matrix


def damaged_projection(workdir: Workdir, cause: str) -> WorkdirError:
    """Return the error that tells why the projection of a work directory is of no use."""
    return WorkdirError(
        f"cannot use {workdir.projection}: {cause}", hint="start again in an empty --workdir"
    )


class RowMaker:
    """Turns an encoder's vectors into rows.

    Parameters
    ----------
    form : RowFormat
        What they are to look like.
    matrix : ndarray of float16, shape (encoder_dim, dim), or None
        The projection, if the format has one.
    device : str
        Where to multiply; changes no bit.
    """

    def __init__(self, form: RowFormat, matrix: Halfs | None = None, device: str = "cpu") -> None:
        assert (matrix is not None) == form.is_projected, form
        self.form = form
        self._project = None if matrix is None else _exact_product(matrix, device)

    def make(self, embeddings: Floats, count: int, name: str) -> tuple[Stored, int]:
        """Normalise, project and round.

        Parameters
        ----------
        embeddings : ndarray of float32, shape (count, encoder_dim)
            As the encoder gave them.
        count : int
            How many there should be.
        name : str
            The encoder's, for messages.

        Returns
        -------
        rows : ndarray of float16 or int8, shape (count, dim)
            float16 rows have length 1; in int8 rows the largest number is 127 or -127.
        unusable : int
            Rows that are zero, since the vector was zero or not finite, or has no share in the
            dimensions that are kept.

        Raises
        ------
        EncoderError
            The shape is wrong.
        """
        halfs, unusable = unit_halfs(embeddings, (count, self.form.encoder_dim), name)
        if self._project is None:
            return halfs, unusable
        rows = np.empty((count, self.form.dim), self.form.dtype)
        step = max(1, _BLOCK_NUMBERS // self.form.encoder_dim)
        for start in range(0, count, step):
            block = slice(start, start + step)
            rows[block] = _rounded(self._project(halfs[block]), self.form.store)
        return rows, count - int(rows.any(axis=1).sum())


def _exact_product(matrix: Halfs, device: str) -> Callable[[Halfs], Doubles]:
    """Return what multiplies unit rows by the matrix, without rounding.

    A product of two float16 numbers is a multiple of 2^-48, and sums of products of a unit row
    and a unit column stay below 2: float64 adds them exactly, in whatever order.
    """
    if device == CPU:
        doubles = matrix.astype(np.float64)
        return lambda halfs: halfs.astype(np.float64) @ doubles
    import torch

    there = torch.from_numpy(matrix).to(device).double()

    def multiply(halfs: Halfs) -> Doubles:
        product: Doubles = (torch.from_numpy(halfs).to(device).double() @ there).cpu().numpy()
        return product

    return multiply


def _rounded(rows: Doubles, store: Store) -> Stored:
    """Scale rows and round them; only exact sums and steps number by number."""
    rows = rows + 0.0  # a zero may have come with either sign
    largest = np.abs(rows).max(axis=1, keepdims=True)
    rows /= np.where(largest > 0, largest, 1)
    if store == "int8":
        return np.rint(rows * _LARGEST_INT8).astype(np.int8)
    whole = np.rint(rows * _FINE_STEPS)
    squares: Doubles = (whole * whole).sum(axis=1, keepdims=True)  # of whole numbers: exact
    lengths = np.sqrt(squares) / _FINE_STEPS
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float16)


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
