"""Whatever was nominated, what is proven or searched again is the answer of brute force."""

from collections.abc import Sequence

import numpy as np
import pytest
import torch
from brute_force import assert_same, brute_force, clustered, coarse, unit
from hypothesis import given, settings
from hypothesis import strategies as st

from bitextmine.arrays import Floats, Ids, Stored
from bitextmine.search.exact import proof
from bitextmine.search.exact.precision import GemmName, Precision
from bitextmine.search.exact.proof import (
    Ranking,
    rank_exactly,
    search_in_float64,
    unpack_neighbours,
    unproven,
)
from bitextmine.search.exact.shortlists import EMPTY, Shortlists, pack, positions, similarities
from bitextmine.search.exact.side import SearchSide, pair_cosines
from bitextmine.search.exact.two_way import CpuTuning, two_way_neighbours


def floats(values: Sequence[float] | Sequence[Sequence[float]]) -> Floats:
    return np.array(values, np.float32)


def side_of(vectors: Stored) -> SearchSide:
    return SearchSide.prepare(vectors, np.arange(len(vectors)), name="side")


def cosines_of(own: SearchSide, other: SearchSide) -> Floats:
    """Return the exact cosines of all pairs."""
    rows, columns = np.indices((len(own), len(other))).reshape(2, -1)
    return pair_cosines(own, rows, other, columns).reshape(len(own), len(other))


def nominated(
    cosines: Floats, *, k: int, keep: int, error: float, start: int, draw: np.random.Generator
) -> Shortlists:
    """Make lists as a careless search leaves them: some of all, off by the error, but honest."""
    n, m = cosines.shape
    lists = Shortlists(
        n, k=k, keep=keep, precision=Precision(torch.float32, error, -np.inf), start=start
    )
    noise = error * draw.uniform(-0.99, 0.99, size=(n, m)).astype(np.float32)
    scores = cosines + noise
    keys = pack(scores, np.broadcast_to(np.arange(m), (n, m)))
    keys[draw.random((n, m)) < draw.choice([0, 0.1, 0.5])] = EMPTY
    keys = np.sort(keys, axis=1)[:, :keep]
    lists.keys[:, : keys.shape[1]] = keys
    for row in range(n):
        kept = positions(keys[row][keys[row] != EMPTY])
        lists.thresholds[row] = np.delete(scores[row], kept).max(initial=-np.inf)
    return lists


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.tuples(st.integers(1, 40), st.integers(1, 40), st.integers(1, 12)),
    k=st.integers(1, 9),
    spare=st.integers(0, 9),
    error=st.sampled_from([0.0, 1e-6, 0.05]),
    grain=st.sampled_from([1, 3, 1000]),  # coarse components make ties
    seed=st.integers(0, 99),
)
def test_nominations_that_missed_neighbours_are_found_out_and_mended(
    sizes: tuple[int, int, int], k: int, spare: int, error: float, grain: int, seed: int
) -> None:
    src, tgt = coarse(*sizes, grain)
    own, other = side_of(src), side_of(tgt)
    cosines, draw = cosines_of(own, other), np.random.default_rng(seed)
    ranking = Ranking(own, other, k)
    for start, stop in own.blocks(16):
        lists = nominated(
            cosines[start:stop],
            k=ranking.k,
            keep=ranking.k + spare,
            error=error,
            start=start,
            draw=draw,
        )
        ranking.rank(lists, Precision(torch.float32, error + 1e-6, -np.inf))
    found = unpack_neighbours(ranking.complete(), own, other)
    assert_same(found, brute_force(src, tgt, np.arange(len(tgt)), k))


def test_candidates_are_ranked_by_exact_cosines_and_equal_ones_by_position() -> None:
    own = side_of(np.array([[1, 0]], np.float16))
    other = side_of(np.array([[0, 1], [0.6, 0.8], [1, 0], [0.6, -0.8]], np.float16))
    precision = Precision(torch.float32, 0.25, -np.inf)
    lists = Shortlists(1, k=2, keep=4, precision=precision)
    lists.keys[0, :3] = pack(floats([0.8, 0.75, 0.7]), np.array([3, 2, 1]))
    ranked = rank_exactly(lists, own, other, precision)
    assert positions(ranked).tolist() == [[2, 1]]
    assert similarities(ranked)[0].tolist() == [1, cosines_of(own, other)[0, 1]]


@pytest.mark.parametrize(
    ("threshold", "error", "is_proven"),
    [
        (0.25, 0.125, True),
        (0.375, 0.125, False),  # what was dropped may have 0.5 as well, and come first
        (0.5, 0.0, False),
        (0.4999, 0.0, True),
        (-np.inf, 0.125, True),  # nothing was dropped
    ],
)
def test_a_row_is_proven_if_nothing_dropped_can_reach_its_kth(
    threshold: float, error: float, is_proven: bool
) -> None:
    precision = Precision(torch.float32, error, -np.inf)
    lists = Shortlists(1, k=2, keep=2, precision=precision)
    lists.thresholds[:] = threshold
    ranked = pack(floats([[0.75, 0.5]]), np.array([[4, 2]]))
    assert unproven(lists, ranked, precision).tolist() == ([] if is_proven else [0])


def test_a_list_that_is_not_full_proves_nothing() -> None:
    precision = Precision(torch.float32, 0.0, -np.inf)
    lists = Shortlists(1, k=2, keep=2, precision=precision)
    ranked = np.array([[int(pack(floats([0.75]), np.array([4]))[0]), EMPTY]])
    assert unproven(lists, ranked, precision).tolist() == [0]


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.tuples(st.integers(1, 30), st.integers(1, 30), st.integers(1, 8)),
    k=st.integers(1, 9),
    grain=st.sampled_from([1, 2, 1000]),
    block=st.integers(1, 31),
    knows=st.booleans(),
    data=st.data(),
)
def test_in_float64_any_rows_are_searched_exactly_whatever_is_known_of_them(
    sizes: tuple[int, int, int], k: int, grain: int, block: int, knows: bool, data: st.DataObject
) -> None:
    src, tgt = coarse(*sizes, grain)
    own, other, k = side_of(src), side_of(tgt), min(k, len(tgt))
    rows = np.array(data.draw(st.lists(st.integers(0, len(src) - 1), max_size=20)), np.int64)
    expected = brute_force(src[rows], tgt, np.arange(len(tgt)), k)
    floor = expected.cosines[:, -1] if knows else np.full(len(rows), -np.inf, np.float32)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(proof, "_BLOCK_ROWS", block)
        keys = search_in_float64(own, rows, floor, other, k)
    np.testing.assert_array_equal(positions(keys), expected.numbers)
    np.testing.assert_array_equal(similarities(keys), expected.cosines)


def test_neighbours_are_unpacked_in_the_order_in_which_vectors_were_given() -> None:
    src, tgt = clustered(3, 4, 8)
    own = SearchSide.prepare(src, np.array([20, 10, 30]), name="src")
    other = SearchSide.prepare(tgt, np.array([7, 5, 8, 6]), name="tgt")
    cosines = floats([[0.25], [0.5], [0.75]])  # by position: of the sentences 10, 20, 30
    found = unpack_neighbours(pack(cosines, np.array([[0], [1], [3]])), own, other)
    assert found.cosines.tolist() == [[0.5], [0.25], [0.75]]
    assert found.numbers.tolist() == [[6], [5], [8]]


@pytest.mark.parametrize("gemm", ["float32", "bfloat16"])
def test_ties_do_not_cost_a_look_at_every_pair(
    gemm: GemmName, monkeypatch: pytest.MonkeyPatch
) -> None:
    n_scored: list[int] = []

    def count(own: SearchSide, rows: Ids, other: SearchSide, candidates: Ids) -> Floats:
        n_scored.append(len(rows))
        return pair_cosines(own, rows, other, candidates)

    monkeypatch.setattr("bitextmine.search.exact.proof.pair_cosines", count)
    src = np.tile(unit(np.ones((1, 16))), (1000, 1))
    numbers = np.arange(1000)
    fwd, bwd = two_way_neighbours(
        src, src, k=4, src_numbers=numbers, tgt_numbers=numbers, tuning=CpuTuning(gemm)
    )
    assert fwd.numbers.tolist() == bwd.numbers.tolist() == [[0, 1, 2, 3]] * 1000
    assert sum(n_scored) < 100_000  # of a million pairs
