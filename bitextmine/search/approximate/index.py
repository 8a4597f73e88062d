"""An index over one side, from vectors on disk: trained on a sample, filled block by block.

An index depends on the sentences, the factory string and the seed alone. Vectors are drawn and
added in order of sentence number, however they are cut into shards, and every call of FAISS
runs on one thread.
"""

from pathlib import Path
from typing import Any

import numpy as np

from bitextmine.arrays import Floats, Ids
from bitextmine.files import atomic_write
from bitextmine.progress import Advance
from bitextmine.search.approximate.clustering import cluster
from bitextmine.search.approximate.factory import (
    ENCODER_ROWS,
    HNSW_BUILD_CANDIDATES,
    TRAINING_ROWS_A_LIST,
    check_index_memory,
    index_needs,
    make_index,
    one_thread,
    refused,
)
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.rows import Rows

# So many vectors are added at a time, always, since products depend on their shape in their last
# bits.
ADDED_ROWS = 4096


def build_index(
    path: Path,
    vectors: Rows,
    numbers: Ids,
    *,
    factory: str,
    seed: int,
    threads: int,
    memory: int,
    progress: Advance | None = None,
) -> None:
    """Write an index of the vectors of one side; do nothing if it is there.

    Entry i of the index is the sentence of the i-th smallest number.

    Parameters
    ----------
    path : Path
        Where the index goes; it appears when it is complete.
    vectors : Rows, shape (n, d)
        Perhaps memory-mapped; read three times, in order of number.
    numbers : ndarray of int64, shape (n,)
        The sentence number of each row; unique.
    factory : str
        Accepted by `check_factory`.
    seed : int
        Decides the sample, and where the clusters begin.
    threads : int
        Processor cores; never changes the index.
    memory : int
        Bytes of main memory that may be taken.
    progress : callable, optional
        Called with the number of vectors added.

    Raises
    ------
    UsageError
        FAISS is missing or cannot build such an index, or it does not fit the memory.
    EncoderError
        A vector is not finite.
    OutputError
        The disk is full.
    """
    if path.exists():
        return
    n, dim = vectors.shape
    check_index_memory(factory, n, dim, memory)
    side = SearchSide.prepare(vectors, numbers, name="indexed", n_workers=threads)
    index = make_index(factory, dim)
    try:
        with one_thread() as faiss:
            sample = draw_training_rows(side, index_needs(factory, n, dim).sample_rows, seed)
            _train(faiss, index, sample, seed=seed, threads=threads)
            del sample
            _fill(index, side, progress or (lambda n_added: None))
    except RuntimeError as error:  # what FAISS raises for everything
        raise refused(factory, f"FAISS cannot build it over {n:,} vectors", error) from error
    with atomic_write(path) as file:
        faiss.write_index(index, faiss.PyCallbackIOWriter(file.write))


def draw_training_rows(side: SearchSide, n_rows: int, seed: int) -> Floats:
    """Draw vectors at random, one from each of as many equal runs of sentence numbers.

    Returns
    -------
    ndarray of float32, shape (min(n_rows, n), d)
        Of length 1, in order of sentence number.
    """
    n = len(side)
    n_rows = min(n_rows, n)
    bounds = np.arange(n_rows + 1) * n // n_rows
    positions = np.random.default_rng(seed).integers(bounds[:-1], bounds[1:])
    sample = np.empty((n_rows, side.vectors.shape[1]), np.float32)
    for start in range(0, n_rows, ADDED_ROWS):
        block = positions[start : start + ADDED_ROWS]
        sample[start : start + ADDED_ROWS] = side.take(block)
        sample[start : start + ADDED_ROWS] /= side.lengths[block, None].astype(np.float32)
    return sample


def _train(faiss: Any, index: Any, sample: Floats, *, seed: int, threads: int) -> None:
    """Train an index, its clusters on all threads."""
    inner = index
    if isinstance(index, faiss.IndexPreTransform):
        for step in range(index.chain.size()):
            transform = faiss.downcast_VectorTransform(index.chain.at(step))
            if not transform.is_trained:
                transform.train(_thinned(sample, ENCODER_ROWS))
            sample = transform.apply(sample)
        inner = faiss.downcast_index(index.index)
    if isinstance(inner, faiss.IndexIVF):
        clustered = _thinned(sample, TRAINING_ROWS_A_LIST * inner.nlist)
        centres = cluster(clustered, inner.nlist, seed=seed, n_workers=threads)
        faiss.downcast_index(inner.quantizer).add(centres)  # FAISS then trains the rest alone
        sample = _thinned(sample, ENCODER_ROWS)
    if isinstance(inner, faiss.IndexHNSW):
        inner.hnsw.efConstruction = HNSW_BUILD_CANDIDATES
    inner.train(sample)
    index.is_trained = True


def _thinned(sample: Floats, n_rows: int) -> Floats:
    """Take at most so many rows, evenly spread."""
    rows = min(n_rows, len(sample))
    return sample if rows == len(sample) else sample[np.arange(rows) * len(sample) // rows]


def _fill(index: Any, side: SearchSide, progress: Advance) -> None:
    """Add all vectors, in order of sentence number."""
    for start, stop in side.blocks(ADDED_ROWS):
        index.add(side.unit_rows(start, stop).numpy())
        progress(stop - start)
