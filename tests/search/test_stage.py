"""The search stage over a work directory: what is refused, what is found, and what it leaves."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from searched import load_neighbours, search, side_vectors

from bitextmine import MineConfig, machine, mine
from bitextmine.config import EncodeConfig, SearchConfig
from bitextmine.errors import UsageError, WorkdirError
from bitextmine.files import read_json
from bitextmine.pipeline import encode_workdir, search_workdir
from bitextmine.search import grid
from bitextmine.search import stage as search_stage
from bitextmine.search.exact.two_way import two_way_neighbours
from bitextmine.workdir import SIDES, Side, Workdir

pytestmark = pytest.mark.usefixtures("toy")


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
