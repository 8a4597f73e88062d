"""Sentences laid end to end in batches of a fixed number of tokens, without padding between them.

A batch is a row of tokens. Everything in a transformer but attention treats tokens one by one, so
sentences of different lengths share a batch; attention runs over groups of equal length.
"""

from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bitextmine.arrays import Ids
from bitextmine.encoders.transformer.tokens import TokenIds

Groups = tuple[tuple[int, int], ...]  # (sentences, tokens of each), in the order of the batch


@dataclass(frozen=True)
class Batch:
    """Some sentences of a window, end to end.

    Attributes
    ----------
    rows : ndarray of int64, shape (n,)
        Which sentences of the window, in the order of the batch.
    groups : tuple of (int, int)
        Runs of sentences of equal length: how many, and their tokens each.
    ids : ndarray of int32, shape (total,)
        Their token ids.
    """

    rows: Ids
    groups: Groups
    ids: NDArray[np.int32]


def make_batches(tokens: TokenIds, budget: int) -> Iterator[Batch]:
    """Lay sentences into batches of at most ``budget`` tokens, the longest sentences first.

    What the long ones leave free is filled with the longest that still fit, so that all batches
    but the last are full or nearly so. A sentence longer than the budget is a batch by itself.

    Parameters
    ----------
    tokens : TokenIds
        A window of sentences.
    budget : int
        Tokens a batch.
    """
    waiting = _by_length(tokens)
    lengths = sorted(waiting)  # those that still have sentences, ascending
    while lengths:
        room = max(budget, lengths[-1])
        parts: list[tuple[Ids, int]] = []
        while (place := bisect_right(lengths, room)) > 0:
            length = lengths[place - 1]
            count = room // length if length else len(waiting[length])
            parts.append((waiting[length][:count], length))
            waiting[length] = waiting[length][count:]
            if len(waiting[length]) == 0:
                del lengths[place - 1]
            room -= len(parts[-1][0]) * length
        yield _batch(tokens, parts)


def cut_to(tokens: TokenIds, most: int) -> TokenIds:
    """Cut sentences of more than ``most`` tokens to as many, keeping the last, special one."""
    long = tokens.lengths > most
    if not long.any():
        return tokens
    kept = np.ones(len(tokens.ids), dtype=bool)
    for row in np.flatnonzero(long).tolist():
        kept[tokens.starts[row] + most - 1 : tokens.starts[row + 1] - 1] = False
    starts = np.concatenate([[0], np.cumsum(np.minimum(tokens.lengths, most))])
    # Those cut before were the longest, so they are among those cut now.
    return TokenIds(tokens.ids[kept], starts.astype(np.int64), int(long.sum()))


def _by_length(tokens: TokenIds) -> dict[int, Ids]:
    """Rows of the window by the length of their sentences, each in order."""
    order = np.argsort(tokens.lengths, kind="stable")
    lengths, firsts = np.unique(tokens.lengths[order], return_index=True)
    return dict(zip(lengths.tolist(), np.split(order, firsts)[1:], strict=True))


def _batch(tokens: TokenIds, parts: list[tuple[Ids, int]]) -> Batch:
    places = [(tokens.starts[rows][:, None] + np.arange(length)).ravel() for rows, length in parts]
    return Batch(
        rows=np.concatenate([rows for rows, _ in parts]),
        groups=tuple((len(rows), length) for rows, length in parts),
        ids=tokens.ids[np.concatenate(places)],
    )
