"""The search stage over a work directory: blocks, resuming, and what it leaves behind."""

import resource
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bitextmine import MineConfig, machine, mine
from bitextmine.config import (
    EncodeConfig,
    OutputConfig,
    SearchConfig,
    SelectConfig,
    ShardConfig,
    search_method,
)
from bitextmine.counts import shard_sizes
from bitextmine.encode.vectors import open_vectors
from bitextmine.errors import UsageError, WorkdirError
from bitextmine.files import read_json
from bitextmine.pipeline import encode_workdir, search_workdir, select_workdir, shard_workdir
from bitextmine.search import grid, panels
from bitextmine.search import stage as search_stage
from bitextmine.search import tasks as search_tasks
from bitextmine.search.exact.two_way import two_way_neighbours
from bitextmine.search.neighbours import Neighbours
from bitextmine.search.panels import check_neighbours, read_grid, stored_neighbours
from bitextmine.workdir import SIDES, Side, Workdir

pytestmark = pytest.mark.usefixtures("toy")


@pytest.fixture
def encoded(tmp_path: Path) -> Workdir:
    """A work directory of three src and two tgt shards, encoded."""
    paths = {}
    for side, words in (("src", 90), ("tgt", 70)):
        paths[side] = tmp_path / f"{side} 'é'.txt"
        lines = (f"word{n % 7} word{n % 11} name{n}" for n in range(words))
        paths[side].write_text("\n".join(lines), "utf-8")
    workdir = Workdir(tmp_path / 'work "dir"')
    workdir.create()
    config = ShardConfig(src=(str(paths["src"]),), tgt=(str(paths["tgt"]),), shard_size=35)
    shard_workdir(workdir.root, config)
    encode_workdir(workdir.root, EncodeConfig(model="toy", src_lang="de", tgt_lang="en"))
    return workdir


def search(workdir: Workdir, **flags: Any) -> None:
    search_workdir(workdir.root, SearchConfig(search="exact", **flags))


def load_neighbours(workdir: Workdir, side: Side) -> Neighbours:
    """All neighbours of a side, row i those of sentence number i."""
    stored = stored_neighbours(workdir, side)
    cosines = np.empty((len(stored), stored.k), np.float32)
    ids = np.empty((len(stored), stored.k), np.int64)
    for numbers, part in stored.blocks(11):
        cosines[numbers], ids[numbers] = part.cosines, part.numbers
    return Neighbours(cosines, ids)


def side_vectors(workdir: Workdir, side: Side) -> Any:
    """All vectors of a side, row i that of sentence number i."""
    vectors = np.empty((sum(shard_sizes(workdir, side)), open_vectors(workdir).src.dim), np.float16)
    for shard in range(len(shard_sizes(workdir, side))):
        files = workdir.shard(side, shard)
        vectors[np.load(files.numbers)] = np.load(files.embeddings)
    return vectors


@pytest.mark.parametrize("rows", [13, 35, 40, 1000])
def test_panels_of_any_length_give_the_answer_of_one_search(
    encoded: Workdir, rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grid, "CPU_ROWS", rows)
    search(encoded, k=3)
    src, tgt = side_vectors(encoded, "src"), side_vectors(encoded, "tgt")
    fwd, bwd = two_way_neighbours(
        src, tgt, k=3, src_numbers=np.arange(len(src)), tgt_numbers=np.arange(len(tgt))
    )
    for side, expected in (("src", fwd), ("tgt", bwd)):
        found = load_neighbours(encoded, "src" if side == "src" else "tgt")
        np.testing.assert_array_equal(found.numbers, expected.numbers)
        np.testing.assert_array_equal(found.cosines, expected.cosines)


def test_a_finished_search_leaves_the_lists_of_panels_and_no_blocks(encoded: Workdir) -> None:
    search(encoded)
    assert [path.name for path in encoded.grid.parent.iterdir()] == ["grid.json"]
    assert encoded.neighbours("src", 0).exists()


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


@pytest.fixture
def budget_of_one_byte(monkeypatch: pytest.MonkeyPatch) -> int:
    """Return the smallest budget there is, of which the program itself leaves one byte."""
    monkeypatch.setattr(machine, "PROGRAM_BYTES", machine.LEAST_BYTES - 1)
    return machine.LEAST_BYTES


def test_too_little_memory_is_told_before_the_search(
    encoded: Workdir, budget_of_one_byte: int
) -> None:
    with pytest.raises(UsageError, match="--memory leaves") as told:
        search(encoded, memory=budget_of_one_byte)
    assert "--memory" in told.value.hint


def test_vectors_that_have_changed_are_refused(encoded: Workdir) -> None:
    path = encoded.shard("tgt", 1).embeddings
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(WorkdirError, match="has changed since it was written") as told:
        search(encoded)
    assert "encode again" in told.value.hint


def test_a_refused_request_leaves_the_stage_free_for_another(
    encoded: Workdir, budget_of_one_byte: int
) -> None:
    with pytest.raises(UsageError, match="--memory leaves"):
        search(encoded, k=64, memory=budget_of_one_byte)
    search(encoded, k=4)
    assert load_neighbours(encoded, "src").k == 4


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


@pytest.mark.parametrize("side", SIDES)
def test_vectors_that_are_gone_are_told_with_what_makes_them_again(
    encoded: Workdir, side: Side
) -> None:
    encoded.shard(side, 0).embeddings.unlink()
    with pytest.raises(WorkdirError, match=r"embeddings\.npy cannot be read") as told:
        search(encoded)
    assert "encode again in the same --workdir" in told.value.hint
    encoded.shard(side, 0).encoded.unlink()
    encode_workdir(encoded.root, EncodeConfig(model="toy", src_lang="de", tgt_lang="en"))
    search(encoded)


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


def test_more_shards_than_files_may_be_open(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = tmp_path / "text"
    text.write_text("\n".join(f"word{n % 7} name{n}" for n in range(150)), "utf-8")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    monkeypatch.setattr(grid, "CPU_ROWS", 2)
    monkeypatch.setattr(panels, "allow_open_files", lambda: None)
    resource.setrlimit(resource.RLIMIT_NOFILE, (60, hard))
    try:
        mined = mine(
            MineConfig(
                src=(str(text),),
                tgt=(str(text),),
                model="toy",
                src_lang="de",
                tgt_lang="en",
                shard_size=1,
            )
        )
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert mined.n_pairs == 150


def test_an_index_finds_what_exact_search_finds_and_is_removed(encoded: Workdir) -> None:
    factory = "IVF4,Flat"
    search_workdir(encoded.root, SearchConfig(search=factory, k=3))
    src, tgt = side_vectors(encoded, "src"), side_vectors(encoded, "tgt")
    expected = two_way_neighbours(
        src, tgt, k=3, src_numbers=np.arange(len(src)), tgt_numbers=np.arange(len(tgt))
    )
    for side, lists in zip(SIDES, expected, strict=True):
        found = load_neighbours(encoded, side)
        np.testing.assert_array_equal(found.numbers, lists.numbers)  # all four lists are read
        np.testing.assert_array_equal(found.cosines, lists.cosines)
        assert not encoded.index(side).exists()
    assert [path.name for path in encoded.grid.parent.iterdir()] == ["grid.json"]
    assert read_json(encoded.method)["src_factory"] == factory


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


def test_a_method_that_cannot_be_used_leaves_the_stage_free_for_another(encoded: Workdir) -> None:
    for asked, told in (("PQ7", "FAISS cannot make it"), ("IVF80,Flat", "to be trained on")):
        with pytest.raises(UsageError, match=told):
            search_workdir(encoded.root, SearchConfig(search=asked))
    search_workdir(encoded.root, SearchConfig(search="hnsw"))  # few: exact at once
    assert read_json(encoded.method)["name"] == "exact"
    with pytest.raises(WorkdirError, match="search: 'hnsw' there, 'ivf' now"):
        search_workdir(encoded.root, SearchConfig(search="ivf"))


def test_a_factory_string_that_faiss_cannot_read_is_told_before_any_work(tmp_path: Path) -> None:
    (tmp_path / "text").write_text("one\n", "utf-8")
    text = (str(tmp_path / "text"),)
    with pytest.raises(UsageError, match="--search IVF9,Nonsense: FAISS cannot make it"):
        mine(MineConfig(src=text, tgt=text, search="IVF9,Nonsense", workdir=tmp_path / "work"))
    assert not (tmp_path / "work").exists()


def test_an_index_that_cannot_be_built_leaves_the_stage_free_for_another(
    encoded: Workdir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuses(*task: Any, **where: Any) -> None:
        raise UsageError("FAISS cannot build it", hint="give another")

    with monkeypatch.context() as patch, pytest.raises(UsageError):
        patch.setattr(search_stage, "index_side", refuses)
        search_workdir(encoded.root, SearchConfig(search="IVF4,Flat"))
    search(encoded)
    assert read_json(encoded.method)["name"] == "exact"


@pytest.mark.parametrize("asked", ["IDMap2,Flat", "PCA999,Flat", "Nonsense"])
def test_an_index_that_cannot_be_searched_is_told_before_any_work(asked: str) -> None:
    with pytest.raises(UsageError, match=f"--search {asked}"):
        search_stage.check_search(asked, 64)
    search_stage.check_search("IVF64,PQ8x4fs", None)


def test_methods_are_named_in_any_case_and_factories_are_not() -> None:
    assert [search_method(name) for name in (" IVF", "Exact", "ivf4,Flat")] == [
        "ivf", "exact", "ivf4,Flat",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="--search is ''"):
        SearchConfig(search="")


def test_an_index_that_is_too_large_is_told_before_encoding(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("\n".join(f"word{n}" for n in range(30)), "utf-8")
    with pytest.raises(UsageError, match="to be trained on"):
        mine(
            MineConfig(
                src=(str(text),),
                tgt=(str(text),),
                model="toy",
                src_lang="de",
                tgt_lang="en",
                search="IVF50,Flat",
                workdir=tmp_path / "work",
            )
        )
    assert not list((tmp_path / "work").rglob("embeddings.npy"))
