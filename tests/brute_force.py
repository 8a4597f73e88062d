"""The definition of what a search must find, and vectors to try it with."""

import numpy as np
from numpy.typing import NDArray

from bitextmine.arrays import Floats, Halfs, Ids, Stored
from bitextmine.search.neighbours import Neighbours

Corpora = tuple[Halfs, Halfs]


def unit(rows: NDArray[np.float64]) -> Halfs:
    """Rows of length 1 as they are stored."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return (rows / np.where(lengths > 0, lengths, 1)).astype(np.float16)


def clustered(n: int, m: int, d: int, seed: int = 0) -> Corpora:
    """Vectors with near neighbours: a few topics, small differences."""
    rng = np.random.default_rng(seed)
    topics = rng.normal(size=(1 + (n + m) // 40, d))
    src = topics[rng.integers(len(topics), size=n)] + 0.4 * rng.normal(size=(n, d))
    tgt = topics[rng.integers(len(topics), size=m)] + 0.4 * rng.normal(size=(m, d))
    return unit(src), unit(tgt)


def coarse(n: int, m: int, d: int, grain: int) -> Corpora:
    """Vectors of few different numbers, which makes ties."""
    rng = np.random.default_rng(n * m * d)
    src, tgt = (unit(np.round(grain * rng.normal(size=(size, d)))) for size in (n, m))
    return src, tgt


def scattered_numbers(src: Stored, tgt: Stored) -> tuple[Ids, Ids]:
    """Numbers that are neither dense nor sorted."""
    rng = np.random.default_rng(1)
    src_numbers = rng.permutation(3 * len(src) + 1)[: len(src)].astype(np.int64) - 7
    tgt_numbers = rng.permutation(3 * len(tgt) + 1)[: len(tgt)].astype(np.int64) + 2**40
    return src_numbers, tgt_numbers


def brute_force(src: Stored, tgt: Stored, tgt_numbers: Ids, k: int) -> Neighbours:
    """The definition of the answer, in one direction: float64 cosines, fully sorted."""
    src64, tgt64 = src.astype(np.float64), tgt.astype(np.float64)
    src_norms = np.sqrt((src64 * src64).sum(1))
    tgt_norms = np.sqrt((tgt64 * tgt64).sum(1))
    products = src_norms[:, None] * tgt_norms
    cosines = np.divide(src64 @ tgt64.T, products, where=products > 0, out=np.zeros_like(products))
    rounded = cosines.astype(np.float32) + np.float32(0)  # no negative zeros
    numbers = np.broadcast_to(tgt_numbers, rounded.shape)
    best = np.lexsort((numbers, -rounded), axis=1)[:, :k]
    return Neighbours(np.take_along_axis(rounded, best, 1), np.take_along_axis(numbers, best, 1))


def nearest(cosines: Floats, k: int) -> Neighbours:
    """The k nearest of every row of a table of cosines; of equal ones, the first."""
    order = np.argsort(-cosines, axis=1, kind="stable")[:, :k]
    return Neighbours(np.take_along_axis(cosines, order, 1), order)


def assert_same(found: Neighbours, expected: Neighbours) -> None:
    """The same numbers and the same bits."""
    assert found.cosines.dtype == np.float32
    assert found.numbers.dtype == np.int64
    np.testing.assert_array_equal(found.numbers, expected.numbers)
    np.testing.assert_array_equal(found.cosines.view(np.int32), expected.cosines.view(np.int32))
