"""Neighbour lists on disk come back as they were."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from bitextmine.errors import WorkdirError
from bitextmine.search.neighbours import (
    ENTRY,
    Neighbours,
    StoredNeighbours,
    as_neighbours,
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
        Neighbours(lists.cosines[a:b], lists.numbers[a:b]) for a, b in pairwise((0, 1, 70_000, 200_000))
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
