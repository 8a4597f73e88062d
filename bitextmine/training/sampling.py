"""Which triplets form a batch: by chance, and never two of one source row."""

from collections import deque
from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitextmine.errors import UsageError


class BatchSampler:
    """Batches of triplets, always the same for a seed; a sampler of batches for torch.

    Triplets of one source row mean the same in other languages: in one batch, each would be a
    negative of the others although it is right, which mSimCSE's README warns of. So a triplet
    whose row is in the batch already waits for the next one.

    Batches are cut from an endless row of epochs, each in an order of its own; what is left of an
    epoch begins the next, so that all batches are full. Memory holds 8 bytes a triplet.

    Parameters
    ----------
    groups : ndarray of int64, shape (n,)
        The source row of each triplet.
    batch_size : int
    batches : int
        How many there are to be.
    seed : int

    Raises
    ------
    UsageError
        There are fewer source rows than a batch needs.
    """

    def __init__(self, groups: NDArray[np.int64], batch_size: int, batches: int, seed: int) -> None:
        rows = len(np.unique(groups))
        if rows < batch_size:
            raise UsageError(
                f"a batch needs {batch_size} triplets of different source rows, the data has"
                f" {rows:,} rows",
                hint="give more data, or a smaller --batch-size",
            )
        self.batch_size = batch_size
        self.drop_last = True
        self._groups, self._batches, self._seed = groups, batches, seed

    def __len__(self) -> int:
        return self._batches

    def __iter__(self) -> Iterator[list[int]]:
        return islice(self._endless(), self._batches)

    def _endless(self) -> Iterator[list[int]]:
        triplets = _endless_epochs(len(self._groups), self._seed)
        waiting: dict[int, deque[int]] = {}  # By source row, the longest waiting row first.
        while True:
            first = list(islice(waiting.items(), self.batch_size))
            batch = [queue.popleft() for _, queue in first]
            rows = {row for row, _ in first}
            for row, queue in first:
                if not queue:
                    del waiting[row]
            while len(batch) < self.batch_size:
                triplet = next(triplets)
                row = int(self._groups[triplet])
                if row in rows:
                    waiting.setdefault(row, deque()).append(triplet)
                else:
                    rows.add(row)
                    batch.append(triplet)
            yield batch


def _endless_epochs(n: int, seed: int) -> Iterator[int]:
    epoch = 0
    while True:
        order: NDArray[Any] = np.random.default_rng([seed, epoch]).permutation(n)
        for start in range(0, n, 1 << 16):  # Python numbers, a block at a time.
            yield from order[start : start + (1 << 16)].tolist()
        epoch += 1
