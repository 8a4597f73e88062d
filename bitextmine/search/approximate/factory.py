"""Which FAISS index a search takes, what it needs, and whether FAISS can build it."""

import importlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import find_spec
from math import sqrt
from typing import Any

import numpy as np

from bitextmine.errors import UsageError
from bitextmine.machine import PROGRAM_BYTES, format_bytes

HNSW = "HNSW32,SQfp16"
HNSW_BUILD_CANDIDATES = 80  # considered while a vector is linked to its neighbours
LEAST_INDEXED = 1000  # sentences; fewer are searched exactly in no time
LEAST_LISTS, MOST_LISTS = 16, 65536
MANY_LISTS = 16384  # From here on, to find the lists of a query takes an index of its own.
TRAINING_ROWS_A_LIST = 64  # FAISS warns below 39 and takes 256 at most.
ENCODER_ROWS = 65536  # 256 for each centroid of an 8-bit product quantizer, as FAISS itself takes
_SOURCE_LINE = re.compile(r"^Error in .*?\.(cpp|h):\d+: (Error: )?")  # FAISS's own, in its errors
_TRIAL_ROWS = 1024
_ORDER_BYTES_A_ROW = 24  # the sentence number, its order, and the length of the vector
_LIST_GROWTH = 2  # Lists double when they are full, so half of what they hold may be empty.


def load_faiss() -> Any:
    """Import FAISS.

    Raises
    ------
    UsageError
        It is not installed; names the extra.
    """
    if not has_faiss():
        raise UsageError(
            "approximate search needs FAISS, which is not installed",
            hint="pip install 'bitextmine[cpu]' (or 'bitextmine[gpu]'), or give --search exact",
        )
    return importlib.import_module("faiss")


@contextmanager
def one_thread() -> Iterator[Any]:
    """Let FAISS use one core in this thread; yields FAISS.

    The products of its matrix library depend in their last bits on the number of threads, and
    so would the index. Work is shared out among our own threads instead, a block each.
    """
    faiss = load_faiss()
    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)  # a setting of the calling thread alone
    try:
        yield faiss
    finally:
        faiss.omp_set_num_threads(before)


def has_faiss() -> bool:
    """Tell whether FAISS is installed, without importing it."""
    return find_spec("faiss") is not None


def ivf_factory(n: int, dim: int) -> str:
    """Describe the index that ``--search ivf`` builds over n vectors.

    Lists of vectors around centroids, of which a query reads the nearest few. Vectors are kept
    in one bit a dimension, 4 dimensions in 4 bits, which FAISS reads several times faster than
    whole numbers; what that loses, exact cosines of more candidates give back. Measured by
    benchmarks/approximate.py.
    """
    lists = number_of_lists(n)
    coarse = "_HNSW32" if lists >= MANY_LISTS else ""  # finds the lists without comparing all
    return f"IVF{lists}{coarse},PQ{_sub_vectors(dim)}x4fs"


def number_of_lists(n: int) -> int:
    """Return how many lists ``--search ivf`` sorts n vectors into."""
    return min(max(round(2 * sqrt(n)), LEAST_LISTS), MOST_LISTS)


def _sub_vectors(dim: int) -> int:
    """Return into how many equal parts a vector is cut: of 4 dimensions each, or fewer."""
    width = next(width for width in (4, 3, 2, 1) if dim % width == 0)
    return dim // width


def lists_read(lists: int) -> int:
    """Return how many of an index's lists a query reads."""
    return min(lists, max(48, round(3 * sqrt(lists))))


def number_of_candidates(k: int) -> int:
    """Return how many candidates an index gives for k neighbours, to be ranked exactly."""
    return 4 * k + 16


@dataclass(frozen=True)
class Needs:
    """What an index needs.

    Attributes
    ----------
    training_rows : int
        The least number of vectors that it can be trained on.
    sample_rows : int
        The number that it is trained on, where there are as many.
    bytes : int
        Most main memory that building or holding it takes.
    """

    training_rows: int
    sample_rows: int
    bytes: int


def index_needs(factory: str, n: int, dim: int) -> Needs:
    """Predict what an index over n vectors needs, without training it.

    Raises
    ------
    UsageError
        FAISS cannot read the factory string.
    """
    faiss = load_faiss()
    index = make_index(factory, dim)
    lists = _lists(faiss, index)
    # A clustering wants as many points as it makes clusters; codes of b bits are 2^b clusters.
    codes = [2 ** min(int(bits), 16) for bits in re.findall(r"PQ\d+x(\d+)", factory)]
    codes += [256] * len(re.findall(r"PQ\d+(?![x\d])", factory))
    least = max([1, lists, *codes])
    sample = min(n, max(TRAINING_ROWS_A_LIST * lists, ENCODER_ROWS))
    held = _LIST_GROWTH * n * _row_bytes(faiss, index) + 4 * lists * dim
    training = 3 * 4 * sample * dim  # the sample, sorted by cluster, and its residuals
    return Needs(least, sample, int(max(held, training) + _ORDER_BYTES_A_ROW * n))


def check_factory(factory: str, n: int, dim: int, *, side: str = "smaller") -> None:
    """Refuse an index that FAISS cannot build over n vectors of this width, before work begins.

    Parameters
    ----------
    factory : str
        Of an inner-product index, in FAISS's own language: "IVF4096,PQ128x4fs".
    n, dim : int
        Vectors, and numbers in each.
    side : str
        Whose vectors, for the message: "src", "tgt" or "smaller".

    Raises
    ------
    UsageError
        FAISS is missing, cannot read the string, cannot build or search such an index, or the
        index needs more vectors for its training than there are.
    """
    needs = index_needs(factory, n, dim)
    if needs.training_rows > n:
        smaller = f"a smaller index, such as {ivf_factory(n, dim)}, or " * (n >= LEAST_INDEXED)
        raise UsageError(
            f"--search {factory} needs {needs.training_rows:,} sentences to be trained on, and the"
            f" {side} side has {n:,}",
            hint=f"give {smaller}--search exact",
        )
    _try_small(factory, dim)


def check_index_memory(factory: str, n: int, dim: int, memory: int) -> None:
    """Refuse an index that does not fit these bytes of main memory.

    Raises
    ------
    UsageError
        It does not; names what would be enough, and a smaller index.
    """
    needed = index_needs(factory, n, dim).bytes
    if needed <= memory:
        return
    smaller = ivf_factory(n, dim)
    fits = smaller != factory and index_needs(smaller, n, dim).bytes <= memory
    instead = f", or --search {smaller}" if fits else ", or --search exact"
    raise UsageError(
        f"--memory leaves {format_bytes(max(memory, 0))}, and the index {factory} over {n:,}"
        f" sentences takes {format_bytes(needed)}",
        hint=f"give --memory {format_bytes(1.05 * (needed + PROGRAM_BYTES))} or more{instead}",
    )


def make_index(factory: str, dim: int) -> Any:
    """Make an empty index.

    Raises
    ------
    UsageError
        FAISS cannot read the factory string for this width, or it has no inner product.
    """
    faiss = load_faiss()
    try:
        index = faiss.index_factory(dim, factory, faiss.METRIC_INNER_PRODUCT)
    except (RuntimeError, ValueError) as error:
        raise refused(factory, f"FAISS cannot make it for {dim} dimensions", error) from error
    ivf = faiss.try_extract_index_ivf(index)
    if ivf is not None and not ivf.nlist:
        raise refused(factory, "it has no lists")
    _trim_training(faiss, index)
    return index


def _trim_training(faiss: Any, index: Any) -> None:
    """Leave out training that takes minutes, for filters that are not used."""
    index = faiss.downcast_index(index)
    if hasattr(index, "do_polysemous_training"):
        index.do_polysemous_training = False
    for inner in ("index", "base_index", "storage"):
        if getattr(index, inner, None) is not None:
            _trim_training(faiss, getattr(index, inner))


def refused(factory: str, why: str, error: Exception | None = None) -> UsageError:
    """Make the error that says why a factory string is of no use, with FAISS's reason."""
    lines = str(error).splitlines() if error is not None else []
    reason = f": {_SOURCE_LINE.sub('', lines[0])}" if lines else ""
    return UsageError(
        f"--search {factory}: {why}{reason}",
        hint="give exact, ivf, hnsw, or a factory string of FAISS such as IVF4096,PQ128x4fs",
    )


def _try_small(factory: str, dim: int) -> None:
    """Build and search a small index of the same kind: FAISS reads much that cannot be searched."""
    small = _skeleton(factory, dim)
    if small is None:
        return  # What goes wrong then shows when the index is built.
    rows = np.random.default_rng(0).standard_normal((_TRIAL_ROWS, dim), np.float32)
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    index = make_index(small, dim)
    try:
        with one_thread():
            index.train(rows)
            index.add(rows)
            found = index.search(rows[:8], 8)[1]
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise refused(factory, "such an index cannot be built or searched", error) from error
    if found.shape != (8, 8) or found.max() >= _TRIAL_ROWS or not (found >= 0).any():
        raise refused(factory, "such an index does not tell which vectors it finds")


def _skeleton(factory: str, dim: int) -> str | None:
    """Reduce an index to what is trained in no time; None if FAISS cannot read that."""
    small = re.sub(r"IVF\d+", "IVF4", factory)
    small = re.sub(r"OPQ\d+(_(\d+))?", lambda found: f"RR{found[2] or dim}", small)
    small = re.sub(r"(?<![A-Z])(PQ|PRQ|PLSQ|RQ|LSQ)\d+[^,)]*", "Flat", small)
    try:
        make_index(small, dim)
    except UsageError:
        return None
    return small


def _lists(faiss: Any, index: Any) -> int:
    """Count the clusters that the vectors of an index are sorted into; 0 if they are not."""
    ivf = faiss.try_extract_index_ivf(index)
    return 0 if ivf is None else int(ivf.nlist)


def _row_bytes(faiss: Any, index: Any) -> float:
    """Return the bytes that a vector takes in an index."""
    index = faiss.downcast_index(index)
    if isinstance(index, faiss.IndexPreTransform):
        return _row_bytes(faiss, index.index)
    if isinstance(index, faiss.IndexRefine):
        return _row_bytes(faiss, index.base_index) + _row_bytes(faiss, index.refine_index)
    if isinstance(index, faiss.IndexHNSW):
        links = 4 * 2.1 * int(index.hnsw.nb_neighbors(1)) + 16
        return _row_bytes(faiss, index.storage) + links
    if isinstance(index, faiss.IndexIVF):
        return float(index.code_size + 8)  # and a number of 8 bytes
    try:
        return float(index.sa_code_size())
    except RuntimeError:  # no code of its own: as large as what it was given, and links
        return float(4 * index.d + 512)
