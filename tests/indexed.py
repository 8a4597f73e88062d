"""Vectors to index, and both directions searched with real FAISS."""

from pathlib import Path

import numpy as np
from brute_force import unit
from numpy.typing import NDArray

from bitextmine.arrays import Halfs, Ids, Stored
from bitextmine.search.approximate.index import build_index
from bitextmine.search.approximate.lookup import search_index
from bitextmine.search.neighbours import Neighbours
from bitextmine.search.rows import Rows

ENOUGH = 1 << 30  # bytes


def translations(n: int, m: int, d: int, seed: int = 0) -> tuple[Halfs, Halfs]:
    """Two sides with topics and, as far as the shorter one goes, a partner for each row."""
    draw = np.random.default_rng(seed)
    topics = draw.normal(size=(max(1, max(n, m) // 40), d))
    meanings = topics[draw.integers(len(topics), size=max(n, m))]
    meanings = meanings + 0.7 * draw.normal(size=(max(n, m), d))
    src = meanings[:n] + 0.25 * draw.normal(size=(n, d))
    tgt = meanings[:m] + 0.25 * draw.normal(size=(m, d))
    return unit(src), unit(tgt)


def as_int8(rows: Halfs) -> NDArray[np.int8]:
    largest = np.abs(rows).max(axis=1, keepdims=True).astype(np.float64)
    return np.round(rows / np.where(largest > 0, largest, 1) * 127).astype(np.int8)


def found_by(
    folder: Path,
    queries: Stored,
    others: Stored,
    factory: str,
    *,
    k: int = 4,
    threads: int = 2,
    query_numbers: Ids | None = None,
    other_numbers: Ids | None = None,
    seed: int = 1,
) -> Neighbours:
    """Index the others, and search for all queries."""
    query_numbers = np.arange(len(queries)) if query_numbers is None else query_numbers
    other_numbers = np.arange(len(others)) if other_numbers is None else other_numbers
    path = folder / "an «index», d'essai"
    build_index(
        path,
        Rows([others]),
        other_numbers,
        factory=factory,
        seed=seed,
        threads=threads,
        memory=ENOUGH,
    )
    found = search_index(
        path, Rows([queries]), query_numbers, Rows([others]), other_numbers, k=k, threads=threads
    )
    path.unlink()
    return found


def recall(found: Neighbours, expected: Neighbours) -> float:
    """Share of the expected neighbours that were found."""
    return float((found.numbers[:, :, None] == expected.numbers[:, None, :]).any(axis=1).mean())
