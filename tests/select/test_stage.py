"""The stage chooses pairs under settings that may change from run to run, and says how."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from here import run_over
from selection_oracle import select_pairs
from sharded import both_sharded
from toy import src_line, tgt_line

from bitextmine.config import EncodeConfig, Margin, Retrieval, SearchConfig, SelectConfig
from bitextmine.errors import WorkdirError
from bitextmine.pipeline import encode_workdir, search_workdir
from bitextmine.search.neighbours import Neighbours, StoredNeighbours
from bitextmine.search.panels import open_neighbours
from bitextmine.select.pairs import Pairs
from bitextmine.select.stage import select
from bitextmine.workdir import Workdir


def searched(root: Path, n_src: int, n_tgt: int, **flags: Any) -> Workdir:
    """Shard, encode and search sides of so many sentences, half of them translations."""
    src = "\n".join(src_line(n) for n in range(n_src))
    tgt = "\n".join(tgt_line(n) for n in range(n_src // 2, n_src // 2 + n_tgt))
    workdir = both_sharded(root, src, tgt, shard_size=12)
    encode_workdir(workdir.root, EncodeConfig(model="toy", src_lang="de", tgt_lang="en"))
    search_workdir(workdir.root, SearchConfig(**flags))
    return workdir


@pytest.fixture
def workdir(tmp_path: Path, toy: str) -> Workdir:
    return searched(tmp_path, 40, 30)


def selected(workdir: Workdir, **flags: Any) -> tuple[Pairs, dict[str, Any], dict[str, Any]]:
    """Do the stage in a run of its own; returns pairs, counts, and the run card's part."""
    config = SelectConfig(**flags)
    with run_over(workdir.root, config) as run:
        found = select(run, config, *open_neighbours(run.workdir))
        return found.pairs.read(), found.counts, found.facts | run.card.facts


def in_memory(stored: StoredNeighbours) -> Neighbours:
    """Read all lists of a side, in order of number."""
    lists = Neighbours(*(np.empty((len(stored), stored.k), kind) for kind in ("f4", "i8")))
    for numbers, part in stored.blocks(7):
        lists.cosines[numbers], lists.numbers[numbers] = part.cosines, part.numbers
    return lists


@pytest.mark.parametrize("margin", ["ratio", "distance"])
@pytest.mark.parametrize("retrieval", ["max", "intersect", "union"])
def test_pairs_and_counts_are_those_of_the_definition(
    workdir: Workdir, margin: Margin, retrieval: Retrieval
) -> None:
    pairs, counts, _ = selected(workdir, margin=margin, retrieval=retrieval, threshold=0.05, top=25)
    config = SelectConfig(margin=margin, retrieval=retrieval, top=25)
    fwd, bwd = map(in_memory, open_neighbours(workdir))
    expected = select_pairs(fwd, bwd, config, 0.05)
    np.testing.assert_array_equal(pairs, expected.pairs)
    assert counts == expected.counts
    assert len(pairs) > 10


def test_what_memory_there_is_changes_no_pair(workdir: Workdir) -> None:
    small, large = (selected(workdir, memory=memory)[0] for memory in (512 << 20, 8 << 30))
    np.testing.assert_array_equal(small, large)


def test_the_threshold_is_the_encoders_unless_one_is_asked_for(workdir: Workdir) -> None:
    pairs, _, facts = selected(workdir)
    assert facts["threshold"] == {"value": 1.02, "source": "chosen for the tests"}
    assert pairs["score"].min() >= 1.02
    pairs, _, facts = selected(workdir, threshold=1.2)
    assert facts["threshold"] == {"value": 1.2, "source": "--threshold"}
    assert pairs["score"].min() >= 1.2


def test_the_settings_and_the_neighbours_are_told(workdir: Workdir) -> None:
    _, _, facts = selected(workdir, retrieval="union", top=3)
    assert facts["select"] == {
        "margin": "ratio", "retrieval": "union", "threshold": None, "top": 3,
    }  # fmt: skip
    assert facts["k"] == {"asked": 4, "src": 4, "tgt": 4}
    assert facts["warnings"] == []
    assert facts["seconds"].keys() == {"select"}


def test_a_side_with_fewer_sentences_than_neighbours_is_warned_of(tmp_path: Path, toy: str) -> None:
    _, _, facts = selected(searched(tmp_path, 20, 3))
    assert facts["k"] == {"asked": 4, "src": 3, "tgt": 4}
    assert facts["warnings"] == ["a side has fewer than 4 sentences: margins say little"]


def test_other_settings_need_no_other_work_directory(workdir: Workdir) -> None:
    first = selected(workdir, retrieval="fwd")[0]
    other = selected(workdir, retrieval="bwd")[0]
    assert {*first["src"].tolist()} != {*other["src"].tolist()}
    np.testing.assert_array_equal(selected(workdir, retrieval="fwd")[0], first)


def test_what_was_never_searched_cannot_be_selected_from(tmp_path: Path, toy: str) -> None:
    workdir = both_sharded(tmp_path, "a", "b")
    with pytest.raises(WorkdirError, match="no finished results of the stage 'search'"):
        selected(workdir)
