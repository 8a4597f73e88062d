"""Merging the neighbours that the same sentences found in different shards."""

from collections.abc import Sequence

import numpy as np

from bitextmine.search.neighbours import Neighbours


def merge_neighbours(parts: Sequence[Neighbours], k: int) -> Neighbours:
    """Keep the k best of what the same n sentences found in several shards.

    As cosines are exact and equal ones are ranked by id, the order and the grouping of the
    parts change nothing, and the merge of all shards is the search of all at once.

    Parameters
    ----------
    parts : sequence of Neighbours
        At least one, all of the same n sentences; no neighbour is in two of them.
    k : int
        Neighbours a sentence keeps, where there are as many.

    Returns
    -------
    Neighbours
        Cosines descending, equal cosines by ascending id.

    Raises
    ------
    ValueError
        If there are no parts, or they are not of the same number of sentences.
    """
    if len({len(part) for part in parts}) != 1:
        raise ValueError(f"parts of {[len(part) for part in parts]} sentences cannot be merged")
    cosines = np.concatenate([part.cosines for part in parts], axis=1)
    ids = np.concatenate([part.ids for part in parts], axis=1)
    best = np.lexsort((ids, -cosines), axis=1)[:, :k]
    return Neighbours(np.take_along_axis(cosines, best, 1), np.take_along_axis(ids, best, 1))
