"""Tasks of BUCC, mined under both protocols."""

from pathlib import Path

import pytest
from bucc_tasks import half_translated, read, toy_model, write_task

from bitextmine import MineConfig, mine
from bitextmine.evaluation.bucc_mining import BuccProtocol, mine_task
from bitextmine.runcard import RunCard


@pytest.mark.usefixtures("toy")
def test_what_is_scored_is_what_the_program_mines(tmp_path: Path) -> None:
    task = half_translated(tmp_path)
    mined = mine(
        MineConfig(src=(str(task.src),), tgt=(str(task.tgt),), input_format="ids", model="toy")
    )
    threshold = mined.card["threshold"]["value"]
    n_true = sum(
        int(pair.src_origin.id[1:]) == int(pair.tgt_origin.id[1:]) + 20 for pair in mined.pairs
    )
    accuracy = mine_task(toy_model(RunCard()), task, "laser", RunCard()).scored.at(threshold)
    assert (accuracy.n_pairs, accuracy.n_true) == (mined.n_pairs, n_true)
    assert n_true > 0


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(("protocol", "searched", "repeated"), [("laser", 3, 1), ("msimcse", 4, 0)])
def test_protocols_differ_in_what_becomes_of_equal_sentences(
    tmp_path: Path, protocol: BuccProtocol, searched: int, repeated: int
) -> None:
    src = ["alpha 11 beta", "gamma 22 delta", "alpha 11 beta", "zeta 33 eta"]
    tgt = ["gamma 22 delta x", "alpha 11 beta x", "zeta 33 eta x"]
    folder = write_task(tmp_path, src, tgt, [(0, 1), (1, 0), (3, 2)])
    mined = mine_task(toy_model(RunCard()), read(folder), protocol, RunCard())
    counts = mined.counts["src"]
    assert (counts["searched"], counts["under_several_ids"]) == (searched, repeated)
    # Of "alpha", laser drops all ids; msimcse takes the line that comes first, which is gold.
    assert mined.scored.at(0).n_true == (2 if protocol == "laser" else 3)
