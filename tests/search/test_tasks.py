"""Each task does nothing when its result is there, and all together are one search."""

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from brute_force import assert_same, brute_force
from here import here
from searched import load_neighbours, search, side_vectors

from bitextmine.config import SearchConfig
from bitextmine.encode.vectors import open_vectors
from bitextmine.errors import WorkdirError
from bitextmine.pipeline import search_workdir
from bitextmine.search import grid
from bitextmine.search import stage as search_stage
from bitextmine.search import tasks as search_tasks
from bitextmine.search.panels import planned_grid, read_grid, remove_merged_blocks, set_grid
from bitextmine.search.tasks import (
    ask_index,
    exchange_panel,
    index_side,
    merge_panel,
    search_block,
)
from bitextmine.workdir import SIDES, Direction, Side, Workdir

pytestmark = pytest.mark.usefixtures("toy")


def test_blocks_that_are_done_are_not_computed_again(
    encoded: Workdir, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "CPU_ROWS", 35)
    tasks: list[tuple[Any, ...]] = []
    real = search_tasks.search_block

    def dies_in_the_fourth(*task: Any, **where: Any) -> None:
        tasks.append(task[1:3])
        if len(tasks) == 4:
            raise KeyboardInterrupt
        real(*task, **where)

    monkeypatch.setattr(search_stage, "search_block", dies_in_the_fourth)
    with pytest.raises(KeyboardInterrupt):
        search(encoded)
    begun = {path: path.stat().st_mtime_ns for path in encoded.grid.parent.glob("*.npy")}
    assert len(begun) == 6  # three blocks, two directions
    kept: list[Path] = []

    def keeps(workdir: Workdir) -> None:
        kept.extend(p for p, at in begun.items() if p.stat().st_mtime_ns == at)

    monkeypatch.setattr(search_stage, "search_block", real)
    monkeypatch.setattr(search_stage, "remove_merged_blocks", keeps)
    search(encoded)
    assert sorted(kept) == sorted(begun)


@pytest.mark.parametrize("dies_in", ["index_side", "ask_index", "exchange_panel"])
def test_a_search_with_an_index_goes_on_where_it_died(
    encoded: Workdir, dies_in: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "CPU_ROWS", 30)
    config = SearchConfig(search="IVF4,Flat")
    real, calls = getattr(search_tasks, dies_in), [0]

    def dies_in_the_second(*task: Any, **where: Any) -> None:
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt
        real(*task, **where)

    monkeypatch.setattr(search_stage, dies_in, dies_in_the_second)
    with pytest.raises(KeyboardInterrupt):
        search_workdir(encoded.root, config)
    search_workdir(encoded.root, config)
    lists = load_neighbours(encoded, "src")
    assert lists.k == 4
    assert (lists.numbers < 70).all()


K = 3


@pytest.fixture
def gridded(encoded: Workdir, monkeypatch: pytest.MonkeyPatch) -> Workdir:
    """The work directory, cut into 4 src and 3 tgt panels of several shards each."""
    monkeypatch.setattr(grid, "CPU_ROWS", 25)
    plan = planned_grid(
        encoded,
        open_vectors(encoded),
        k=K,
        block_memory=1 << 40,
        parallel=1,
        sharing=1,
        on_gpu=False,
    )
    set_grid(encoded, plan)
    assert (len(plan.src), len(plan.tgt)) == (4, 3)
    return encoded


PANELS: list[tuple[Side, int]] = [*(("src", n) for n in range(4)), *(("tgt", n) for n in range(3))]


def assert_brute_force(workdir: Workdir) -> None:
    """Compare the lists of all panels with the definition, to the bit."""
    src, tgt = (side_vectors(workdir, side) for side in SIDES)
    assert_same(load_neighbours(workdir, "src"), brute_force(src, tgt, np.arange(len(tgt)), K))
    assert_same(load_neighbours(workdir, "tgt"), brute_force(tgt, src, np.arange(len(src)), K))


def lists_of(workdir: Workdir) -> dict[Path, tuple[int, bytes]]:
    """Return time and content of all lists."""
    paths = [path for path in workdir.root.rglob("*.npy") if path.parent.name != "shards"]
    return {path: (path.stat().st_mtime_ns, path.read_bytes()) for path in paths}


def test_all_blocks_merged_are_one_search(gridded: Workdir) -> None:
    reported: list[int] = []
    for block in product(range(4), range(3)):
        search_block(gridded.root, *block, K, **here(reported.append))
    assert sum(reported) == 90 * 70
    for panel in PANELS:
        merge_panel(gridded.root, *panel, K, **here(memory=1))
    assert_brute_force(gridded)


def test_a_block_that_is_there_is_reported_and_not_computed_again(gridded: Workdir) -> None:
    search_block(gridded.root, 1, 2, K, **here())
    before, reported = lists_of(gridded), [0]
    search_block(gridded.root, 1, 2, K, **here(reported.append))
    assert lists_of(gridded) == before
    plan = read_grid(gridded)
    assert sum(reported) == plan.src.rows(1) * plan.tgt.rows(2)


@pytest.mark.parametrize("direction", ["fwd", "bwd"])
def test_a_block_of_which_one_direction_is_missing_is_searched_again(
    gridded: Workdir, direction: Direction
) -> None:
    search_block(gridded.root, 0, 0, K, **here())
    path = gridded.block(0, 0, direction)
    whole = path.read_bytes()
    path.unlink()
    search_block(gridded.root, 0, 0, K, **here())
    assert path.read_bytes() == whole


def test_a_panel_that_is_merged_needs_its_blocks_no_more(gridded: Workdir) -> None:
    for block in product(range(4), range(3)):
        search_block(gridded.root, *block, K, **here())
    merge_panel(gridded.root, "src", 2, K, **here())
    merged = gridded.neighbours("src", 2).read_bytes()
    remove_merged_blocks(gridded)
    merge_panel(gridded.root, "src", 2, K, **here())
    assert gridded.neighbours("src", 2).read_bytes() == merged
    with pytest.raises(WorkdirError, match="cannot read the neighbours"):
        merge_panel(gridded.root, "src", 3, K, **here())


def indexed(workdir: Workdir) -> None:
    """Index both sides, and ask for all panels."""
    for side in SIDES:
        index_side(workdir.root, side, "IVF4,Flat", 1, **here())
    for panel in PANELS:
        ask_index(workdir.root, *panel, K, **here())


def test_what_both_directions_found_in_all_lists_of_an_index_is_one_search(
    gridded: Workdir,
) -> None:
    indexed(gridded)
    for panel in PANELS:
        exchange_panel(gridded.root, *panel, **here())
    assert_brute_force(gridded)


def test_what_is_indexed_answered_and_exchanged_is_only_reported(gridded: Workdir) -> None:
    indexed(gridded)
    exchange_panel(gridded.root, "tgt", 1, **here())
    built = gridded.index("src").stat().st_mtime_ns
    before, vectors, answers = lists_of(gridded), [0], [0]
    index_side(gridded.root, "src", "IVF4,Flat", 1, **here(vectors.append))
    ask_index(gridded.root, "tgt", 1, K, **here(answers.append))
    exchange_panel(gridded.root, "tgt", 1, **here())
    assert gridded.index("src").stat().st_mtime_ns == built
    assert lists_of(gridded) == before
    assert (sum(vectors), sum(answers)) == (90, read_grid(gridded).tgt.rows(1))


def test_an_index_is_not_built_again_when_all_have_their_answers(gridded: Workdir) -> None:
    indexed(gridded)
    gridded.index("src").unlink()
    reported: list[int] = []
    index_side(gridded.root, "src", "IVF4,Flat", 1, **here(reported.append))
    assert not gridded.index("src").exists()
    assert sum(reported) == 90
    gridded.found("tgt", 2).unlink()
    index_side(gridded.root, "src", "IVF4,Flat", 1, **here())
    assert gridded.index("src").exists()
