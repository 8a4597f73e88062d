"""How a search will run: exactly, or with an index where that would take hours."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bitextmine.config import search_method
from bitextmine.machine import PROGRAM_BYTES, format_bytes
from bitextmine.search.approximate.factory import (
    HNSW,
    LEAST_INDEXED,
    TRAINING_ROWS_A_LIST,
    check_factory,
    check_index_memory,
    has_faiss,
    index_needs,
    ivf_factory,
    lists_read,
    number_of_candidates,
    number_of_lists,
)

LONG_S = 3600.0  # An exact search that takes no more seconds is never approximated.
# An index is chosen unasked where it is so many times cheaper: predictions may be off by half.
LEAST_SPEEDUP = 3.0

# Nominal operations a second of one core: benchmarks/results/search.json and approximate.json
# (AMD EPYC, Zen 4). Those of an index are the float32 products of training, filling and choosing
# lists.
CORE_FLOPS = {"float32": 80e9, "bfloat16": 155e9}
INDEX_FLOPS = 75e9
# Seconds of a core for one dimension: of a vector that is read in a list, and of a candidate that
# is multiplied exactly, its way from disk included.
CODE_S = 2e-11
RESCORED_S = 2.5e-9
NOMINAL_CORES = 8  # of the machine for which ``auto`` decides
# Nominal operations a second of a GPU like the H100, with all that is beside the products.
GPU_FLOPS = 400e12


@dataclass(frozen=True)
class SearchSize:
    """How large a search is.

    Attributes
    ----------
    n_src, n_tgt : int
        Sentences of both sides.
    dim : int
        Numbers in a vector.
    k : int
        Neighbours of a sentence.
    """

    n_src: int
    n_tgt: int
    dim: int
    k: int

    @property
    def flop(self) -> float:
        """Operations of one product of everything with everything."""
        return 2.0 * self.n_src * self.n_tgt * self.dim


@dataclass(frozen=True)
class Method:
    """How to search, decided once.

    Attributes
    ----------
    name : str
        "exact", "ivf", "hnsw" or "factory".
    src_factory, tgt_factory : str
        FAISS factory strings of the index over each side; "" if the search is exact.
    reason : str
        One sentence for the user.
    exact_seconds, index_seconds : float
        What both would take, by nominal rates; None if no index was considered, or nothing is
        known about its kind.
    """

    name: str
    src_factory: str
    tgt_factory: str
    reason: str
    exact_seconds: float
    index_seconds: float | None

    @property
    def is_exact(self) -> bool:
        """Whether there is no index."""
        return self.name == "exact"


def choose_method(
    asked: str,
    size: SearchSize,
    *,
    devices: Sequence[str],
    threads: int,
    memory: int,
) -> Method:
    """Decide how to search.

    What ``auto`` takes depends on the corpus and the kind of device, at nominal rates of
    `NOMINAL_CORES` cores or one GPU, so that every machine takes the same; only where FAISS is
    missing or the memory too small is the search exact after all, and the reason says so.
    Keep what is returned, so that a resumed run does the same.

    Parameters
    ----------
    asked : str
        auto, exact, ivf, hnsw, or a factory string of FAISS.
    size : SearchSize
        What is to be searched.
    devices : sequence of str
        Where exact search would run: ("cpu",), or GPUs.
    threads : int
        Processor cores.
    memory : int
        Bytes of main memory that an index may take.

    Raises
    ------
    UsageError
        FAISS is missing, or cannot build what is asked for, or the memory is too small for it.
    """
    exact_s = _exact_seconds(size, devices, threads)
    reason = f"exact: about {format_seconds(exact_s)} for {size.n_src:,} x {size.n_tgt:,} sentences"
    exact = Method("exact", "", "", reason, exact_s, None)
    name = search_method(asked)
    small = min(size.n_src, size.n_tgt) < LEAST_INDEXED
    if name in ("ivf", "hnsw") and small:
        return replace(exact, reason=f"{reason}; an index is for {LEAST_INDEXED:,} and more")
    if name == "exact" or (name == "auto" and small):
        return exact
    if name == "auto":
        if not _worth_indexing(size, devices):
            return exact
        return _indexed_if_possible(exact, size, threads, memory)
    if name == "ivf":
        return _checked(_ivf(exact, size, threads), size, memory)
    factory = HNSW if name == "hnsw" else name
    kind = "hnsw" if name == "hnsw" else "factory"
    reason = f"{factory}, as asked; exact would take about {format_seconds(exact_s)}"
    method = Method(kind, factory, factory, reason, exact_s, None)
    return _checked(method, size, memory)


def _worth_indexing(size: SearchSize, devices: Sequence[str]) -> bool:
    """Whether exact search is long on a nominal machine, and an index much shorter."""
    rate = CORE_FLOPS["bfloat16"] * NOMINAL_CORES if devices[0] == "cpu" else GPU_FLOPS
    exact_s = size.flop / rate
    index_s = _index_seconds(size, NOMINAL_CORES)
    return exact_s > LONG_S and LEAST_SPEEDUP * index_s <= exact_s


def _indexed_if_possible(exact: Method, size: SearchSize, threads: int, memory: int) -> Method:
    """Take an index, unless it cannot be built here; then exact search says what it would take."""
    ivf = _ivf(exact, size, threads)
    assert ivf.index_seconds is not None, "what an index of lists takes is known"
    reason = f"{exact.reason}; an index would take about {format_seconds(ivf.index_seconds)}"
    if not has_faiss():
        return replace(exact, reason=f"{reason}, and needs pip install 'bitextmine[cpu]'")
    sides = ((ivf.src_factory, size.n_src), (ivf.tgt_factory, size.n_tgt))
    needed = max(index_needs(factory, n, size.dim).bytes for factory, n in sides)
    if needed > memory:
        least = format_bytes(1.05 * (needed + PROGRAM_BYTES))
        return replace(exact, reason=f"{reason}, and needs --memory {least}")
    return ivf


def _ivf(exact: Method, size: SearchSize, threads: int) -> Method:
    """Plan an index of lists over each side."""
    seconds = _index_seconds(size, threads)
    reason = (
        f"ivf: exact would take about {format_seconds(exact.exact_seconds)}, an index about"
        f" {format_seconds(seconds)} on {threads} cores"
    )
    factories = ivf_factory(size.n_src, size.dim), ivf_factory(size.n_tgt, size.dim)
    return Method("ivf", *factories, reason, exact.exact_seconds, seconds)


def _checked(method: Method, size: SearchSize, memory: int) -> Method:
    """Refuse what cannot be built."""
    for side, factory, n in (
        ("src", method.src_factory, size.n_src),
        ("tgt", method.tgt_factory, size.n_tgt),
    ):
        check_factory(factory, n, size.dim, side=side)
        check_index_memory(factory, n, size.dim, memory)
    return method


def _exact_seconds(size: SearchSize, devices: Sequence[str], threads: int) -> float:
    """Predict how long exact search takes."""
    if devices[0] == "cpu":
        from bitextmine.search.exact.precision import choose_dtype  # imports torch

        kind = str(choose_dtype("auto")).removeprefix("torch.")
        rate = CORE_FLOPS[kind] * threads
    else:
        rate = GPU_FLOPS * len(devices)
    return size.flop / rate


def _index_seconds(size: SearchSize, threads: int) -> float:
    """Predict how long it takes to index both sides, and to search each with the other."""
    n_src, n_tgt, dim, k = size.n_src, size.n_tgt, size.dim, size.k
    return _one_way_seconds(n_src, n_tgt, dim, k, threads) + _one_way_seconds(
        n_tgt, n_src, dim, k, threads
    )


def _one_way_seconds(n: int, n_queries: int, dim: int, k: int, threads: int) -> float:
    """Predict how long it takes to build an index of n vectors and to ask it n_queries times."""
    lists = number_of_lists(n)
    sample = min(n, TRAINING_ROWS_A_LIST * lists)
    a_list = 2.0 * lists * dim / INDEX_FLOPS  # to compare one vector with all centres
    codes = lists_read(lists) * n / lists
    query = a_list + codes * dim * CODE_S + number_of_candidates(k) * dim * RESCORED_S
    return (10 * sample * a_list + n_queries * query) / threads + n * a_list


def format_seconds(seconds: float) -> str:
    """Say a duration as people do: 40 s, 3 min, 9 h, 2 days."""
    for unit, length, least in (("days", 86400, 2), ("h", 3600, 1.5), ("min", 60, 1.5)):
        if seconds >= least * length:
            return f"{seconds / length:,.0f} {unit}"
    return f"{max(seconds, 1):.0f} s"
