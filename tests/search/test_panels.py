"""Panels are runs of rows over any shards; their lists are taken only if nothing has changed."""

import os
import resource
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from searched import load_neighbours, search, side_vectors

from bitextmine import MineConfig, mine
from bitextmine.config import OutputConfig, SelectConfig
from bitextmine.errors import WorkdirError
from bitextmine.pipeline import select_workdir
from bitextmine.search import grid, panels
from bitextmine.search import stage as search_stage
from bitextmine.search.grid import Cut, Grid
from bitextmine.search.panels import (
    Panel,
    all_found,
    check_neighbours,
    missing_blocks,
    read_grid,
    set_grid,
    whole_side,
)
from bitextmine.workdir import SIDES, Side, Workdir
from bitextmine.write.stage import Mined

pytestmark = pytest.mark.usefixtures("toy")


def test_with_less_memory_than_before_the_search_begins_anew(
    encoded: Workdir, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def dies(*task: Any, **where: Any) -> None:
        raise KeyboardInterrupt

    def begun() -> int:
        with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
            patch.setattr(search_stage, "merge_panel", dies)
            search(encoded)
        return len(read_grid(encoded).src)

    assert begun() == 1
    monkeypatch.setattr(grid, "CPU_ROWS", 30)
    assert begun() == 1  # the old grid still fits
    assert not caplog.messages
    with monkeypatch.context() as patch:
        patch.setattr(panels, "block_bytes", lambda *sizes, dim, k: 1 << 60)
        assert begun() == 3
    assert "begins anew, in smaller blocks" in caplog.text
    assert len(list(encoded.grid.parent.glob("*.npy"))) == 2 * 3 * 3
    search(encoded)


def test_lists_of_another_grid_are_never_taken(
    encoded: Workdir, monkeypatch: pytest.MonkeyPatch
) -> None:
    search(encoded)
    expected = load_neighbours(encoded, "src")
    encoded.grid.unlink()
    monkeypatch.setattr(grid, "CPU_ROWS", 30)
    search(encoded)
    found = load_neighbours(encoded, "src")
    np.testing.assert_array_equal(found.numbers, expected.numbers)
    assert len(list(encoded.neighbours("src", 0).parent.iterdir())) == 3


@pytest.mark.parametrize("side", SIDES)
def test_lists_that_are_missing_or_changed_are_named_and_found_again(
    encoded: Workdir, side: Side, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "CPU_ROWS", 40)
    search(encoded)
    expected = load_neighbours(encoded, side)
    path = encoded.neighbours(side, 1)
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WorkdirError, match="has changed since the search"):
        check_neighbours(encoded)
    path.unlink()
    with pytest.raises(WorkdirError, match="is missing") as told:
        check_neighbours(encoded)
    assert "`bitextmine search` again" in told.value.hint
    search(encoded)
    check_neighbours(encoded)
    np.testing.assert_array_equal(load_neighbours(encoded, side).numbers, expected.numbers)


@pytest.mark.parametrize("damaged", ["numbers", "places", "grid"])
def test_damaged_files_are_told_in_two_lines(encoded: Workdir, damaged: str) -> None:
    search(encoded)
    paths = {
        "numbers": encoded.shard("src", 1).numbers,
        "places": encoded.places("src"),
        "grid": encoded.grid,
    }
    paths[damaged].write_text("{}", "utf-8")
    with pytest.raises(WorkdirError, match=paths[damaged].name):
        select_workdir(encoded.root, SelectConfig(), OutputConfig())


@pytest.mark.parametrize("long", SIDES)
def test_more_shards_and_panels_than_files_may_be_open(
    long: Side, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    texts = {side: tmp_path / side for side in SIDES}
    for side, path in texts.items():
        lines = [f"word{n % 7} name{n}" for n in range(150 if side == long else 6)]
        path.write_text("\n".join(lines), "utf-8")

    def mined(**flags: Any) -> Mined:
        src, tgt = (str(texts[side]) for side in SIDES)
        langs: dict[str, Any] = {"src_lang": "de", "tgt_lang": "en"}
        return mine(MineConfig(src=(src,), tgt=(tgt,), model="toy", **langs, **flags))

    plain = mined()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(grid, "CPU_ROWS", 2)
    monkeypatch.setattr(panels, "allow_open_files", lambda: None)
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, hard))
    try:
        cut = mined(shard_size=1)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert cut.n_pairs == 6
    assert cut.pairs == plain.pairs


def test_lists_that_were_only_copied_are_the_same(encoded: Workdir) -> None:
    search(encoded)
    os.utime(encoded.neighbours("src", 0), (1, 1))
    check_neighbours(encoded)


@given(
    sizes=st.lists(st.integers(1, 6), min_size=1, max_size=4),
    data=st.data(),
)
@settings(max_examples=40, deadline=None)
def test_a_panel_is_a_run_of_rows_over_all_shards(sizes: list[int], data: st.DataObject) -> None:
    n = sum(sizes)
    numbers = np.random.default_rng(n).permutation(n)
    vectors = np.arange(3 * n, dtype=np.float16).reshape(n, 3)
    inner = data.draw(st.sets(st.integers(1, n), max_size=3))
    cut = Cut(tuple(sizes), tuple(sorted({0, n} | inner)))
    with tempfile.TemporaryDirectory(prefix="l'été ") as folder:
        workdir = Workdir(Path(folder))
        first = 0
        for shard, size in enumerate(sizes):
            files, rows = workdir.shard("tgt", shard), slice(first, first + size)
            files.folder.mkdir(parents=True)
            np.save(files.numbers, numbers[rows])
            np.save(files.embeddings, vectors[rows])
            first += size
        for panel in range(len(cut)):
            rows = slice(cut.bounds[panel], cut.bounds[panel + 1])
            found = Panel(workdir, "tgt", cut.pieces(panel))
            assert len(found) == cut.rows(panel)
            np.testing.assert_array_equal(found.vectors().run(0, len(found)), vectors[rows])
            some = slice(
                data.draw(st.integers(0, len(found)) | st.none()),
                data.draw(st.integers(0, len(found) + 2) | st.none()),
            )
            np.testing.assert_array_equal(found[some], numbers[rows][some])


GRID = Grid(Cut((4,), (0, 2, 4)), Cut((2, 1), (0, 1, 2, 3)))  # 2 src panels, 3 tgt panels


@pytest.fixture
def gridded(tmp_path: Path) -> Workdir:
    """A work directory that is cut and has lists of no panel."""
    workdir = Workdir(tmp_path / "work 'é'")
    workdir.create()
    set_grid(workdir, GRID)
    return workdir


def find(workdir: Workdir, *found: tuple[Side, int]) -> None:
    for side, panel in found:
        workdir.neighbours(side, panel).write_bytes(b"lists")


@pytest.mark.parametrize(
    ("found", "missing"),
    [
        ([], [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]),
        ([("src", 0), ("tgt", 1)], [(0, 0), (0, 2), (1, 0), (1, 1), (1, 2)]),
        ([("src", 0), ("src", 1)], [(0, 0), (0, 1), (0, 2), (1, 0), (1, 1), (1, 2)]),
        ([("src", 0), ("src", 1), ("tgt", 0), ("tgt", 2)], [(0, 1), (1, 1)]),
        ([(side, panel) for side, n in (("src", 2), ("tgt", 3)) for panel in range(n)], []),
    ],
)
def test_a_block_is_missing_as_long_as_one_of_its_panels_has_no_lists(
    gridded: Workdir, found: list[tuple[Side, int]], missing: list[tuple[int, int]]
) -> None:
    find(gridded, *found)
    assert missing_blocks(gridded, GRID) == missing
    assert all_found(gridded) == (not missing)


def test_the_same_grid_keeps_what_was_found_under_it(gridded: Workdir) -> None:
    find(gridded, ("src", 0))
    gridded.block(1, 2, "bwd").write_bytes(b"lists")
    assert set_grid(gridded, GRID) == read_grid(gridded) == GRID
    assert gridded.neighbours("src", 0).exists()
    assert gridded.block(1, 2, "bwd").exists()


def test_another_grid_removes_all_that_was_found_under_the_old_one(gridded: Workdir) -> None:
    find(gridded, ("src", 0), ("tgt", 2))
    for path in (gridded.block(1, 2, "bwd"), gridded.found("src", 1)):
        path.write_bytes(b"lists")
    other = Grid(GRID.src, Cut((2, 1), (0, 3)))
    assert set_grid(gridded, other) == read_grid(gridded) == other
    left = [path.name for path in gridded.root.rglob("*") if path.is_file()]
    assert left == ["grid.json"]


def test_without_a_grid_nothing_is_found(gridded: Workdir) -> None:
    find(gridded, *((side, panel) for side in SIDES for panel in range(3)))
    assert all_found(gridded)
    gridded.grid.unlink()
    assert not all_found(gridded)


def test_a_whole_side_is_all_rows_of_all_shards(encoded: Workdir) -> None:
    search(encoded)
    rows = whole_side(encoded, "src")
    vectors = np.empty((90, 64), np.float16)
    vectors[rows[:]] = rows.vectors().run(0, len(rows))
    np.testing.assert_array_equal(vectors, side_vectors(encoded, "src"))
