"""What an index finds must mean the same as what exact search finds."""

import logging
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from brute_force import assert_same, brute_force
from hypothesis import given, settings
from hypothesis import strategies as st
from indexed import ENOUGH, as_int8, found_by, recall, translations

from bitextmine.arrays import Halfs, Ids, Stored
from bitextmine.errors import WorkdirError
from bitextmine.search.approximate.factory import HNSW, ivf_factory
from bitextmine.search.approximate.index import build_index
from bitextmine.search.approximate.lookup import exchange, rank_candidates, search_index
from bitextmine.search.exact.shortlists import EMPTY, positions, similarities
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.exact.two_way import two_way_neighbours
from bitextmine.search.neighbours import Neighbours
from bitextmine.search.rows import Rows

FACTORIES = (ivf_factory(1500, 32), HNSW, "IVF32,SQfp16", "PCA16,IVF16,Flat", "IVF16_HNSW8,Flat")


def exact(src: Stored, tgt: Stored, k: int = 4) -> tuple[Neighbours, Neighbours]:
    numbers = np.arange(len(src)), np.arange(len(tgt))
    return two_way_neighbours(src, tgt, k=k, src_numbers=numbers[0], tgt_numbers=numbers[1])


def stored(sides: tuple[Halfs, Halfs], *, small: bool) -> tuple[Stored, Stored]:
    """As float16, or as int8."""
    return (as_int8(sides[0]), as_int8(sides[1])) if small else sides


@pytest.mark.parametrize("factory", FACTORIES)
def test_most_neighbours_of_clustered_vectors_are_found(factory: str, tmp_path: Path) -> None:
    src, tgt = translations(1400, 1500, 32)
    found = found_by(tmp_path, src, tgt, factory)
    assert recall(found, exact(src, tgt)[0]) > 0.9


@pytest.mark.parametrize("small", [False, True])
@pytest.mark.parametrize("factory", FACTORIES)
def test_found_pairs_have_the_bits_of_exact_search(
    factory: str, small: bool, tmp_path: Path
) -> None:
    src, tgt = stored(translations(300, 1100, 32), small=small)
    everything = brute_force(src, tgt, np.arange(len(tgt)), len(tgt))
    by_number = np.empty_like(everything.cosines)
    np.put_along_axis(by_number, everything.numbers, everything.cosines, axis=1)
    found = found_by(tmp_path, src, tgt, factory)
    expected = np.take_along_axis(by_number, found.numbers, axis=1)
    np.testing.assert_array_equal(found.cosines.view(np.int32), expected.view(np.int32))
    order = np.lexsort((found.numbers, -found.cosines), axis=1)
    np.testing.assert_array_equal(order, np.broadcast_to(np.arange(4), order.shape))


@pytest.mark.parametrize("small", [False, True])
def test_an_index_that_misses_nothing_gives_what_exact_search_gives(
    small: bool, tmp_path: Path
) -> None:
    src, tgt = stored(translations(700, 900, 24), small=small)
    fwd, bwd = exact(src, tgt)
    assert_same(found_by(tmp_path, src, tgt, "Flat"), fwd)
    assert_same(found_by(tmp_path, tgt, src, "Flat"), bwd)


def test_neighbours_come_in_the_order_of_the_rows_under_the_numbers_given(tmp_path: Path) -> None:
    src, tgt = translations(200, 300, 24)
    draw = np.random.default_rng(1)
    src_numbers, tgt_numbers = draw.permutation(len(src)), draw.permutation(len(tgt))
    found = found_by(
        tmp_path, src, tgt, "Flat", query_numbers=src_numbers, other_numbers=tgt_numbers
    )
    assert_same(
        found,
        two_way_neighbours(src, tgt, k=4, src_numbers=src_numbers, tgt_numbers=tgt_numbers)[0],
    )


@pytest.mark.parametrize("factory", FACTORIES)
def test_shards_threads_and_blocks_change_nothing(factory: str, tmp_path: Path) -> None:
    src, tgt = translations(1300, 1400, 32)
    whole = found_by(tmp_path, src, tgt, factory, threads=1)
    draw = np.random.default_rng(3)
    shuffled = [draw.permutation(len(side)) for side in (src, tgt)]
    path = tmp_path / "index"
    others = Rows(np.array_split(tgt[shuffled[1]], 5))
    build_index(path, others, shuffled[1], factory=factory, seed=1, threads=3, memory=ENOUGH)
    for rows in np.array_split(shuffled[0], 3):
        found = search_index(path, Rows([src[rows]]), rows, others, shuffled[1], k=4, threads=3)
        assert_same(found, Neighbours(whole.cosines[rows], whole.numbers[rows]))


def test_sentences_with_too_few_candidates_are_searched_exactly(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("bitextmine.search.approximate.lookup.lists_read", lambda lists: 1)
    src, tgt = translations(400, 600, 24)
    with caplog.at_level(logging.INFO):
        found = found_by(tmp_path, src, tgt, "IVF150,Flat", k=8)  # 4 vectors a list: -1 for half
    assert "searched exactly" in caplog.text
    assert found.numbers.min() >= 0
    few = int(caplog.records[-1].getMessage().split()[0])
    truth = exact(src, tgt, k=8)[0]
    assert (found.numbers == truth.numbers).all(axis=1).sum() >= few > 0


def test_a_side_smaller_than_k_is_found_whole(tmp_path: Path) -> None:
    src, tgt = translations(50, 3, 8)
    assert_same(found_by(tmp_path, src, tgt, "Flat", k=4), exact(src, tgt)[0])


def test_zero_vectors_have_cosine_zero_and_ties_come_by_number(tmp_path: Path) -> None:
    src, tgt = translations(40, 60, 8)
    src[7] = 0
    tgt[11] = tgt[31]
    found = found_by(tmp_path, src, tgt, "Flat")
    assert_same(
        Neighbours(found.cosines[:7], found.numbers[:7]),
        brute_force(src[:7], tgt, np.arange(60), 4),
    )
    assert not found.cosines[7].any()


def test_no_queries_find_nothing(tmp_path: Path) -> None:
    src, tgt = translations(5, 60, 8)
    found = found_by(tmp_path, src[:0], tgt, "Flat")
    assert found.numbers.shape == (0, 4)


def test_progress_counts_every_query(tmp_path: Path) -> None:
    src, tgt = translations(2500, 60, 8)
    path, numbers = tmp_path / "index", np.arange(60)
    build_index(path, Rows([tgt]), numbers, factory="Flat", seed=1, threads=1, memory=ENOUGH)
    counted: list[int] = []
    search_index(
        path,
        Rows([src]),
        np.arange(2500),
        Rows([tgt]),
        numbers,
        k=4,
        threads=2,
        progress=counted.append,
    )
    assert sum(counted) == 2500
    assert len(counted) > 1


def test_an_index_of_other_vectors_is_refused(tmp_path: Path) -> None:
    _, tgt = translations(5, 60, 8)
    path, numbers = tmp_path / "index", np.arange(60)
    build_index(path, Rows([tgt]), numbers, factory="Flat", seed=1, threads=1, memory=ENOUGH)
    with pytest.raises(WorkdirError, match="60 vectors of 8 dimensions"):
        search_index(path, Rows([tgt]), numbers, Rows([tgt[:50]]), numbers[:50], k=4, threads=1)


def test_a_damaged_index_is_refused(tmp_path: Path) -> None:
    _, tgt = translations(5, 60, 8)
    path, numbers = tmp_path / "index", np.arange(60)
    path.write_bytes(b"IxFI and then nothing")
    with pytest.raises(WorkdirError, match="cannot use the index") as refusal:
        search_index(path, Rows([tgt]), numbers, Rows([tgt]), numbers, k=4, threads=1)
    assert "remove the file" in refusal.value.hint


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 6), st.integers(6, 12))
def test_candidates_are_ranked_by_cosine_then_number(seed: int, k: int, width: int) -> None:
    draw = np.random.default_rng(seed)
    src, tgt = translations(20, 30, 4, seed)
    tgt[::3] = tgt[0]  # ties
    own = SearchSide.prepare(src, np.arange(20), name="src")
    other = SearchSide.prepare(tgt, np.arange(30), name="tgt")
    found = np.array([draw.permutation(30)[:width] for _ in range(20)])
    found[draw.random(found.shape) < 0.4] = -1
    keys = rank_candidates(own, np.arange(20), found, other, k)
    for row, candidates in enumerate(found):
        named = candidates[candidates >= 0]
        everything = brute_force(src[row : row + 1], tgt, np.arange(30), 30)
        ranked = [j for j in everything.numbers[0].tolist() if j in set(named.tolist())][:k]
        kept = keys[row] != EMPTY
        assert positions(keys[row])[kept].tolist() == ranked
        assert np.isneginf(similarities(keys[row])[~kept]).all()


def in_blocks(numbers: Ids, lists: Neighbours, size: int) -> Iterator[tuple[Ids, Neighbours]]:
    for start in range(0, len(lists), size):
        some = slice(start, start + size)
        yield numbers[some], Neighbours(lists.cosines[some], lists.numbers[some])


@settings(deadline=None, max_examples=40)
@given(st.integers(0, 2**31), st.integers(1, 5), st.integers(1, 40))
def test_exchange_gives_the_best_of_what_both_directions_found(
    seed: int, k: int, size: int
) -> None:
    draw = np.random.default_rng(seed)
    n, m = 23, 17
    cosines = np.round(draw.random((n, m)), 1).astype(np.float32)  # many ties
    fwd, bwd = (some_of(side, k, draw) for side in (cosines, cosines.T))
    known = [set(zip(range(n), row, strict=True)) for row in fwd.numbers.T.tolist()]
    pairs = set().union(*known) | {
        (int(i), j) for j, row in enumerate(bwd.numbers.tolist()) for i in row
    }
    rows = draw.permutation(n)
    own = Neighbours(fwd.cosines[rows], fwd.numbers[rows])
    found = exchange(rows, own, in_blocks(np.arange(m), bwd, size))
    for place, i in enumerate(rows.tolist()):
        best = sorted((-cosines[i, j], j) for s, j in pairs if s == i)[:k]
        assert found.numbers[place].tolist() == [j for _, j in best]
        assert found.cosines[place].tolist() == [-c for c, _ in best]


def some_of(
    cosines: np.ndarray[tuple[int, int], np.dtype[np.float32]], k: int, draw: np.random.Generator
) -> Neighbours:
    """K random neighbours of every row, in order."""
    numbers = np.array([draw.permutation(cosines.shape[1])[:k] for _ in cosines])
    values = np.take_along_axis(cosines, numbers, 1)
    order = np.lexsort((numbers, -values), axis=1)
    return Neighbours(np.take_along_axis(values, order, 1), np.take_along_axis(numbers, order, 1))


def test_exchange_raises_recall_where_one_direction_missed(tmp_path: Path) -> None:
    src, tgt = translations(1400, 1500, 32)
    fwd = found_by(tmp_path, src, tgt, "IVF200,PQ8x4fs")
    bwd = found_by(tmp_path, tgt, src, "IVF200,PQ8x4fs")
    better = exchange(np.arange(1400), fwd, [(np.arange(1500), bwd)])
    truth = exact(src, tgt)[0]
    assert recall(better, truth) > recall(fwd, truth)
