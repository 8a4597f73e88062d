"""Neighbour lists: on disk, read back, merged."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitextmine.errors import WorkdirError
from bitextmine.search.exact.two_way import two_way_neighbours
from bitextmine.search.neighbours import (
    ENTRY,
    Neighbours,
    StoredNeighbours,
    as_neighbours,
    merge_neighbours,
    open_lists,
    save_list_blocks,
    save_lists,
)


def some(n: int, k: int, seed: int = 0) -> Neighbours:
    rng = np.random.default_rng(seed)
    cosines = np.sort(rng.random((n, k), np.float32), axis=1)[:, ::-1]
    return Neighbours(np.ascontiguousarray(cosines), rng.integers(2**32, size=(n, k)))


def assert_equal(found: Neighbours, expected: Neighbours) -> None:
    np.testing.assert_array_equal(found.cosines, expected.cosines)
    np.testing.assert_array_equal(found.numbers, expected.numbers)
    assert found.numbers.dtype == np.int64


def test_an_entry_takes_eight_bytes_and_comes_back(tmp_path: Path) -> None:
    lists = some(7, 3)
    save_lists(tmp_path / 'a "b" é.npy', lists)
    assert ENTRY.itemsize == 8
    assert_equal(as_neighbours(open_lists(tmp_path / 'a "b" é.npy')), lists)


def test_blocks_written_one_after_the_other_make_the_same_file(tmp_path: Path) -> None:
    lists = some(200_000, 2)
    save_lists(tmp_path / "whole", lists)
    blocks = [
        Neighbours(lists.cosines[a:b], lists.numbers[a:b])
        for a, b in pairwise((0, 1, 70_000, 200_000))
    ]
    save_list_blocks(tmp_path / "blocks", blocks, n=200_000, k=2)
    assert (tmp_path / "blocks").read_bytes() == (tmp_path / "whole").read_bytes()


def test_lists_of_a_side_are_read_some_rows_at_a_time(tmp_path: Path) -> None:
    parts = [some(5, 2, seed=1), some(4, 2, seed=2)]
    files = [tmp_path / "0.npy", tmp_path / "1.npy"]
    for path, part in zip(files, parts, strict=True):
        save_lists(path, part)
    numbers = [np.array([8, 0, 3, 1, 7]), np.array([2, 4, 6, 5])]
    stored = StoredNeighbours(numbers, files)
    assert (len(stored), stored.k) == (9, 2)
    blocks = list(stored.blocks(3))
    assert [some_numbers.tolist() for some_numbers, _ in blocks] == [
        [8, 0, 3], [1, 7], [2, 4, 6], [5],
    ]  # fmt: skip
    expected = Neighbours(
        np.concatenate([part.cosines for part in parts]),
        np.concatenate([part.numbers for part in parts]),
    )
    found = Neighbours(
        np.concatenate([block.cosines for _, block in blocks]),
        np.concatenate([block.numbers for _, block in blocks]),
    )
    assert_equal(found, expected)


@pytest.mark.parametrize("rows", [1, 3, 4, 7, 100])
def test_lists_in_memory_are_read_some_rows_at_a_time_too(rows: int) -> None:
    lists = some(7, 3)
    blocks = list(lists.blocks(rows))
    assert np.concatenate([numbers for numbers, _ in blocks]).tolist() == list(range(7))
    assert all(len(numbers) == len(block) <= rows for numbers, block in blocks)
    found = Neighbours(
        np.concatenate([block.cosines for _, block in blocks]),
        np.concatenate([block.numbers for _, block in blocks]),
    )
    assert_equal(found, lists)


@pytest.mark.parametrize("content", [b"", b"no array", None])
def test_a_damaged_or_missing_file_is_named(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "0000.npy"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(WorkdirError, match=r"0000\.npy") as told:
        open_lists(path)
    assert "bitextmine search" in told.value.hint


def test_a_cut_file_or_one_of_something_else_is_refused(tmp_path: Path) -> None:
    save_lists(tmp_path / "cut", some(100, 4))
    (tmp_path / "cut").write_bytes((tmp_path / "cut").read_bytes()[:-8])
    np.save(tmp_path / "floats.npy", np.zeros((3, 2)))
    for name in ("cut", "floats.npy"):
        with pytest.raises(WorkdirError, match=name):
            open_lists(tmp_path / name)


def ranked(cosines: list[float], ids: list[int]) -> Neighbours:
    return Neighbours(np.array([cosines], np.float32), np.array([ids], np.int64))


def test_keeps_the_best_and_breaks_ties_by_id() -> None:
    parts = [ranked([0.9, 0.5, 0.1], [7, 8, 3]), ranked([0.9, 0.5], [2, 1])]
    merged = merge_neighbours(parts, 4)
    assert merged.numbers.tolist() == [[2, 7, 1, 8]]
    assert merged.cosines.tolist() == np.array([[0.9, 0.9, 0.5, 0.5]], np.float32).tolist()


def test_has_fewer_than_k_only_if_there_are_fewer() -> None:
    merged = merge_neighbours([ranked([0.5], [1]), ranked([], []), ranked([-0.5], [0])], 4)
    assert merged.numbers.tolist() == [[1, 0]]
    assert merged.cosines.dtype == np.float32
    assert merged.numbers.dtype == np.int64


@pytest.mark.parametrize("n_rows", [[], [1, 2]])
def test_refuses_parts_that_are_not_of_the_same_sentences(n_rows: list[int]) -> None:
    parts = [Neighbours(np.zeros((n, 1), np.float32), np.zeros((n, 1), np.int64)) for n in n_rows]
    with pytest.raises(ValueError, match="cannot be merged"):
        merge_neighbours(parts, 1)


@settings(deadline=None)
@given(seed=st.integers(0, 10**6), widths=st.lists(st.integers(0, 5), min_size=3, max_size=3))
def test_order_and_grouping_of_parts_change_nothing(seed: int, widths: list[int]) -> None:
    rng = np.random.default_rng(seed)
    ids = np.argsort(rng.random((6, sum(widths))), axis=1)  # every id once a row
    cosines = (rng.integers(-2, 3, size=ids.shape) / 4).astype(np.float32)  # many ties
    cuts = np.cumsum(widths)[:-1]
    a, b, c = (
        merge_neighbours([Neighbours(part, part_ids)], 3)
        for part, part_ids in zip(
            np.split(cosines, cuts, axis=1), np.split(ids, cuts, axis=1), strict=True
        )
    )
    at_once = merge_neighbours([a, b, c], 3)
    grouped = merge_neighbours([c, merge_neighbours([b, a], 3)], 3)
    np.testing.assert_array_equal(at_once.numbers, grouped.numbers)
    np.testing.assert_array_equal(at_once.cosines, grouped.cosines)
    best = np.lexsort((ids, -cosines), axis=1)[:, :3]
    np.testing.assert_array_equal(at_once.numbers, np.take_along_axis(ids, best, 1))


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10**6),
    k=st.integers(1, 12),
    src_cut=st.integers(0, 60),
    tgt_cut=st.integers(0, 80),
)
def test_shards_merge_to_the_search_of_everything(
    seed: int, k: int, src_cut: int, tgt_cut: int
) -> None:
    rng = np.random.default_rng(seed)
    src = rng.integers(-1, 2, size=(60, 8)).astype(np.float16) / np.float16(4)  # many ties
    tgt = rng.integers(-1, 2, size=(80, 8)).astype(np.float16) / np.float16(4)
    src_ids, tgt_ids = rng.permutation(60), rng.permutation(80)
    fwd, bwd = two_way_neighbours(src, tgt, k=k, src_numbers=src_ids, tgt_numbers=tgt_ids)
    src_shards = slice(0, src_cut), slice(src_cut, None)
    tgt_shards = slice(0, tgt_cut), slice(tgt_cut, None)
    blocks = [
        [
            two_way_neighbours(src[i], tgt[j], k=k, src_numbers=src_ids[i], tgt_numbers=tgt_ids[j])
            for j in tgt_shards
        ]
        for i in src_shards
    ]
    for i, row in zip(src_shards, blocks, strict=True):
        merged = merge_neighbours([block[0] for block in row], k)
        np.testing.assert_array_equal(merged.numbers, fwd.numbers[i])
        np.testing.assert_array_equal(merged.cosines, fwd.cosines[i])
    for j, column in zip(tgt_shards, zip(*blocks, strict=True), strict=True):
        merged = merge_neighbours([block[1] for block in column], k)
        np.testing.assert_array_equal(merged.numbers, bwd.numbers[j])
        np.testing.assert_array_equal(merged.cosines, bwd.cosines[j])
