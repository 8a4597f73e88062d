"""Which lines repeat an earlier one, told by their digests alone."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitextmine.arrays import Ids


@dataclass(frozen=True)
class Repeated:
    """Lines that repeat an earlier one.

    Attributes
    ----------
    rows : ndarray of int64
        The repeating lines.
    first_ids : ndarray of int64
        For each, the id of the line it repeats.
    """

    rows: NDArray[np.int64]
    first_ids: Ids


def first_occurrences(digests: NDArray[np.uint64], ids: Ids) -> tuple[NDArray[np.int64], Repeated]:
    """Find the first line of every distinct digest.

    Parameters
    ----------
    digests : ndarray of uint64, shape (n, 2)
        128-bit content hashes.
    ids : ndarray of int64, shape (n,)
        Distinct; the smallest of a group is the first.

    Returns
    -------
    first : ndarray of int64
        Rows of the first occurrences, by ascending id.
    repeated : Repeated
        All other rows, by ascending id.
    """
    order = np.lexsort((ids, digests[:, 1], digests[:, 0]))
    ordered = digests[order]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    group = np.cumsum(starts) - 1
    first = order[starts]
    rows, first_ids = order[~starts], ids[first][group[~starts]]
    by_id = np.argsort(ids[rows])
    return first[np.argsort(ids[first])], Repeated(rows[by_id], first_ids[by_id])
