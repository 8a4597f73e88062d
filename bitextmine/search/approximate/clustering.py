"""Clusters of unit vectors, the same whatever the number of threads.

FAISS has k-means of its own, but its matrix products differ in their last bits from one number
of threads to another, and k-means makes large differences of small ones.
"""

from collections.abc import Iterator
from functools import partial

import numpy as np
import torch

from bitextmine.arrays import Floats, Ids
from bitextmine.search.exact.workers import share_out

ROUNDS = 10  # as in FAISS; more change little
_BLOCK_ROWS = 1024


def cluster(rows: Floats, n_clusters: int, *, seed: int, n_workers: int) -> Floats:
    """Find the centres of clusters of similar directions (spherical k-means).

    Parameters
    ----------
    rows : ndarray of float32, shape (n, d)
        At least as many as clusters.
    n_clusters : int
        How many centres to find.
    seed : int
        Decides where the centres begin, and where a cluster without vectors begins anew.
    n_workers : int
        Threads; never changes a bit.

    Returns
    -------
    ndarray of float32, shape (n_clusters, d)
        Unit vectors.
    """
    draw = np.random.default_rng(seed)
    centres = _unit(rows[np.sort(draw.choice(len(rows), n_clusters, replace=False))])
    for _ in range(ROUNDS):
        owners = _nearest(rows, centres, n_workers)
        order = np.argsort(owners, kind="stable")
        filled, starts = np.unique(owners[order], return_index=True)
        centres[filled] = np.add.reduceat(rows[order], starts, axis=0)
        empty = np.setdiff1d(np.arange(n_clusters), filled)
        centres[empty] = rows[draw.choice(len(rows), len(empty), replace=False)]
        centres = _unit(centres)
    return centres


def _nearest(rows: Floats, centres: Floats, n_workers: int) -> Ids:
    """Find which centre each vector is closest to."""
    owners = np.empty(len(rows), np.int64)
    work = partial(_assign, rows=rows, centres=torch.from_numpy(centres).t(), owners=owners)
    share_out(range(0, len(rows), _BLOCK_ROWS), work, n_workers)
    return owners


def _assign(starts: Iterator[int], *, rows: Floats, centres: torch.Tensor, owners: Ids) -> None:
    """Fill in the owners of some blocks."""
    for start in starts:
        block = slice(start, start + _BLOCK_ROWS)
        owners[block] = torch.mm(torch.from_numpy(rows[block]), centres).argmax(1).numpy()


def _unit(rows: Floats) -> Floats:
    """Give the vectors length 1, zero vectors excepted."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    lengths[lengths == 0] = 1
    unit: Floats = rows / lengths.astype(np.float32)
    return unit
