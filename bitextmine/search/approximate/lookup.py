"""One side's neighbours in the index over the other: FAISS nominates, exact cosines rank.

An index gives several times more candidates than neighbours asked for. All of them get exact
cosines, those of the exact search to the last bit, so lists, their means and margins mean the
same as after an exact search; what an index misses is all that differs.

Each direction has its own index. As one direction may find what the other has missed, `exchange`
adds every pair found to the lists of both its sentences.
"""

import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bitextmine.arrays import Doubles, Ids, Stored
from bitextmine.errors import WorkdirError
from bitextmine.progress import Advance
from bitextmine.search.approximate.factory import (
    lists_read,
    load_faiss,
    number_of_candidates,
    one_thread,
)
from bitextmine.search.exact.proof import search_in_float64, unpack_neighbours
from bitextmine.search.exact.shortlists import EMPTY, Keys, pack, positions, similarities
from bitextmine.search.exact.side import SearchSide, pair_cosines
from bitextmine.search.exact.workers import share_out
from bitextmine.search.neighbours import Neighbours
from bitextmine.search.rows import Rows

LOG = logging.getLogger(__name__)

# Queries at a time, always filled up to this number: the products that choose the lists to
# read depend on their shape in the last bits, and on nothing else.
QUERIES = 1024
_MEASURED_ROWS = 128  # at a time, so that their squares stay in cache
_RESCORED_BYTES = 8 << 20  # of vectors of candidates, which each worker gathers at a time


def search_index(
    path: Path,
    queries: Rows,
    query_numbers: Ids,
    others: Rows,
    other_numbers: Ids,
    *,
    k: int,
    threads: int,
    devices: Sequence[str] = ("cpu",),
    progress: Advance | None = None,
) -> Neighbours:
    """Find about the k nearest of the indexed sentences for some sentences of the other side.

    Parameters
    ----------
    path : Path
        What `build_index` wrote for `others` and `other_numbers`.
    queries : Rows, shape (n, d)
        Some or all vectors of the other side; the neighbours of each depend on it alone.
    query_numbers : ndarray of int64, shape (n,)
        Their sentence numbers.
    others, other_numbers : Rows, shape (m, d), and ndarray of int64, shape (m,)
        All vectors that were indexed, and their sentence numbers.
    k : int
        Neighbours a sentence gets; fewer if there are fewer others.
    threads : int
        Processor cores.
    devices : sequence of str
        With a GPU among them and FAISS built for GPUs, the index is searched there.
    progress : callable, optional
        Called with a number of queries, from any thread but one at a time, as they are taken up.

    Returns
    -------
    Neighbours
        (n, min(k, m)), in the order of the rows: exact cosines, descending, equal ones by
        ascending number. Where the index found fewer, that sentence is searched exactly.

    Raises
    ------
    WorkdirError
        The index cannot be read, or is one of other vectors.
    EncoderError
        A vector is not finite.
    """
    k = min(k, len(others))
    if not len(queries) or not k:
        return Neighbours(np.empty((len(queries), k), np.float32), np.empty((len(queries), k), int))
    own = SearchSide.prepare(queries, query_numbers, name="searched", n_workers=threads)
    other = SearchSide.arrange(
        others, other_numbers, name="indexed"
    )  # not measured: it may be large
    index, n_workers = _move_to_gpu(
        _open_index(path, others, number_of_candidates(k)), devices, threads
    )
    search = _Search(index, own, other, k, np.full((len(own), k), EMPTY, np.int64))
    blocks = _counted(own.blocks(QUERIES), progress or (lambda n_queries: None))
    share_out(blocks, search.answer, n_workers)
    del index, search.index
    missing = np.flatnonzero(search.keys[:, -1] == EMPTY)
    if len(missing):
        LOG.info("%d of %d sentences are searched exactly: lists too short", len(missing), len(own))
        measured = SearchSide.prepare(others, other_numbers, name="indexed", n_workers=threads)
        floor = np.full(len(missing), -np.inf, np.float32)
        search.keys[missing] = search_in_float64(own, missing, floor, measured, k)
    return unpack_neighbours(search.keys, own, other)


def _counted(blocks: Iterable[tuple[int, int]], progress: Advance) -> Iterator[tuple[int, int]]:
    """Report each block as it is drawn, which one thread does at a time."""
    for start, stop in blocks:
        yield start, stop
        progress(stop - start)


@dataclass
class _Search:
    """An index, the sentences that ask and those that are found, and the lists so far."""

    index: Any
    own: SearchSide
    other: SearchSide
    k: int
    keys: Keys  # (n, k): exact cosines and positions, packed

    def answer(self, blocks: Iterator[tuple[int, int]]) -> None:
        """Search for some blocks of queries, and rank what is found."""
        with one_thread():
            for start, stop in blocks:
                rows = np.zeros((QUERIES, self.own.vectors.shape[1]), np.float32)
                rows[: stop - start] = self.own.unit_rows(start, stop).numpy()
                found = self.index.search(rows, min(number_of_candidates(self.k), len(self.other)))[
                    1
                ]
                self._rank(start, found[: stop - start])

    def _rank(self, start: int, found: Ids) -> None:
        """Rank the candidates of a block of queries, some rows at a time."""
        row_bytes = found.shape[1] * self.own.vectors.shape[1] * self.own.vectors.dtype.itemsize
        step = max(1, _RESCORED_BYTES // row_bytes)
        for first in range(0, len(found), step):
            some = found[first : first + step]
            own = np.arange(start + first, start + first + len(some))
            self.keys[own] = rank_candidates(self.own, own, some, self.other, self.k)


def rank_candidates(own: SearchSide, rows: Ids, found: Ids, other: SearchSide, k: int) -> Keys:
    """Rank candidates by exact cosine, then by position.

    Parameters
    ----------
    own, rows : SearchSide and ndarray of int64, shape (n,)
        Whose candidates they are, by position.
    found : ndarray of int64, shape (n, c)
        Positions on the other side; -1 where there is none.
    other : SearchSide
        Need not be measured.
    k : int
        How many to keep, at most c.

    Returns
    -------
    ndarray of int64, shape (n, k)
        Cosines and positions, packed; `EMPTY` where there were fewer candidates.
    """
    owners, slots = np.nonzero(found >= 0)
    wanted, gathered_positions = np.unique(found[owners, slots], return_inverse=True)
    vectors = other.take(wanted)
    gathered = SearchSide(Rows([vectors]), other.numbers[wanted], None, _lengths(vectors))
    cosines = pair_cosines(own, rows[owners], gathered, gathered_positions)
    keys = np.full((len(found), max(k, found.shape[1])), EMPTY, np.int64)
    keys[owners, slots] = pack(cosines, wanted[gathered_positions])
    keys.sort(axis=1)
    return keys[:, :k]


def _lengths(vectors: Stored) -> Doubles:
    """Norms of a few vectors in cache, as a measured `SearchSide` has them: infinite for zero.

    That they are finite was checked when they were indexed.
    """
    lengths = np.empty(len(vectors))
    for start in range(0, len(vectors), _MEASURED_ROWS):
        some = slice(start, start + _MEASURED_ROWS)
        squares = torch.from_numpy(vectors[some]).float().square_()  # 22 bits: exact
        lengths[some] = squares.sum(1, dtype=torch.float64).sqrt_().numpy()
    lengths[lengths == 0] = np.inf
    return lengths


def _open_index(path: Path, others: Rows, n_candidates: int) -> Any:
    """Read an index, and set how thoroughly it searches."""
    faiss = load_faiss()
    try:
        with path.open("rb") as file:
            index = faiss.read_index(faiss.PyCallbackIOReader(file.read))
        if (index.ntotal, index.d) != others.shape:
            raise ValueError(f"it is one of {index.ntotal:,} vectors of {index.d} dimensions")
    except (OSError, RuntimeError, ValueError) as error:
        raise WorkdirError(
            f"cannot use the index {path}: {error}",
            hint="remove the file, and run `bitextmine search` again",
        ) from error
    ivf = faiss.try_extract_index_ivf(index)
    if ivf is not None:
        ivf.nprobe = lists_read(ivf.nlist)
        quantizer = faiss.downcast_index(ivf.quantizer)
        if isinstance(quantizer, faiss.IndexHNSW):
            quantizer.hnsw.efSearch = 2 * ivf.nprobe
    elif isinstance(faiss.downcast_index(index), faiss.IndexHNSW):
        faiss.downcast_index(index).hnsw.efSearch = 2 * n_candidates
    return index


def _move_to_gpu(index: Any, devices: Sequence[str], threads: int) -> tuple[Any, int]:
    """Move an index to a GPU if there is one and FAISS can; and say how many threads may ask."""
    faiss = load_faiss()
    gpus = [int(name.partition(":")[2] or 0) for name in devices if name.startswith("cuda")]
    if gpus and hasattr(faiss, "StandardGpuResources") and faiss.get_num_gpus() > gpus[0]:
        try:
            resources = faiss.StandardGpuResources()
            moved = faiss.index_cpu_to_gpu(resources, gpus[0], index)
        except RuntimeError as error:
            LOG.info("the index stays on the processor: %s", str(error).splitlines()[0])
        else:
            moved.resources = resources  # which must live as long
            return moved, 1  # one thread may use a GPU's resources at a time
    return index, threads


def exchange(numbers: Ids, own: Neighbours, others: Iterable[tuple[Ids, Neighbours]]) -> Neighbours:
    """Add to the lists of one side the pairs that the other side's search has found.

    A pair that src found is a candidate of tgt as well. The lists of the other side are read
    block by block, so memory is bounded by a block of them and by the lists of these sentences.

    Parameters
    ----------
    numbers : ndarray of int64, shape (n,)
        The sentence numbers of some sentences of one side; unique.
    own : Neighbours
        Their neighbours, (n, k): exact cosines, and numbers of the other side.
    others : iterable of (numbers, Neighbours)
        All lists of the other side, in any order and blocks.

    Returns
    -------
    Neighbours
        (n, k), the best of both.
    """
    order = np.argsort(numbers, kind="stable")
    keys = pack(np.ascontiguousarray(own.cosines), own.numbers)
    for other_numbers, lists in others:
        ranks = np.searchsorted(numbers, lists.numbers, sorter=order)
        rows = order[np.minimum(ranks, len(order) - 1)]
        new = pack(
            np.ascontiguousarray(lists.cosines), np.broadcast_to(other_numbers[:, None], rows.shape)
        )
        fits = (numbers[rows] == lists.numbers) & (new < keys[rows, -1])
        _insert(keys, rows[fits], new[fits])
    return Neighbours(similarities(keys), positions(keys))


def _insert(keys: Keys, rows: Ids, new: Keys) -> None:
    """Merge new keys into the lists of some rows; a key that a list has already changes nothing."""
    order = np.lexsort((new, rows))
    rows, new = rows[order], new[order]
    owners, starts, owner_of = np.unique(rows, return_index=True, return_inverse=True)
    ranks = np.arange(len(rows)) - starts[owner_of]
    k = keys.shape[1]
    best = ranks < k
    merged = np.full((len(owners), 2 * k), EMPTY, np.int64)
    merged[:, :k] = keys[owners]
    merged[owner_of[best], k + ranks[best]] = new[best]
    merged.sort(axis=1)
    merged[:, 1:][merged[:, 1:] == merged[:, :-1]] = EMPTY
    merged.sort(axis=1)
    keys[owners] = merged[:, :k]
