"""Directions in which vectors are long, and rotations; the same bits every time on a machine."""

import numpy as np
import torch

from bitextmine.arrays import Doubles, Halfs
from bitextmine.errors import EncoderError
from bitextmine.machine import single_threaded_workers

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
    with single_threaded_workers(1, "fit") as alone:
        factors = torch.from_numpy(one), torch.from_numpy(other)
        product: Doubles = alone.submit(torch.matmul, *factors).result().numpy()
    return product
