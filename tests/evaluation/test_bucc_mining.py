"""Tasks of BUCC, mined under both protocols."""

from pathlib import Path

import pytest
import zstandard
from toy import src_line, tgt_line

from bitextmine import MineConfig, mine
from bitextmine.config import EncodeConfig
from bitextmine.errors import InputError, UsageError
from bitextmine.evaluation.bucc_mining import BuccProtocol, mine_task
from bitextmine.evaluation.bucc_report import OWN, TUNED_HERE, evaluate_bucc
from bitextmine.evaluation.bucc_task import BuccTask, read_task, read_tuning_task
from bitextmine.evaluation.trials import NamedModel, resolve_models
from bitextmine.runcard import RunCard


def write_task(folder: Path, src: list[str], tgt: list[str], gold: list[tuple[int, int]]) -> Path:
    """Write a task whose ids are s0, s1, … and t0, t1, …"""
    folder.mkdir(parents=True, exist_ok=True)
    for name, sentences in (("s", src), ("t", tgt)):
        lines = "".join(f"{name}{n}\t{sentence}\n" for n, sentence in enumerate(sentences))
        (folder / name).write_text(lines, "utf-8")
    (folder / "gold").write_text("".join(f"s{s}\tt{t}\n" for s, t in gold), "utf-8")
    return folder


def read(folder: Path) -> BuccTask:
    return read_task(folder / "s", folder / "t", folder / "gold")


@pytest.fixture
def task(tmp_path: Path) -> BuccTask:
    """Return a task of 40 sentences a side, of which half have a translation."""
    src, tgt = [src_line(n) for n in range(40)], [tgt_line(n) for n in range(20, 60)]
    folder = write_task(tmp_path / "tâche 'été'", src, tgt, [(n, n - 20) for n in range(20, 40)])
    return read(folder)


def toy_model(card: RunCard) -> NamedModel:
    return resolve_models(["toy"], EncodeConfig(), card)[0]


@pytest.mark.usefixtures("toy")
def test_what_is_scored_is_what_the_program_mines(task: BuccTask) -> None:
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


@pytest.mark.usefixtures("toy")
def test_a_threshold_is_tuned_on_one_gold_and_applied_to_another(
    task: BuccTask, tmp_path: Path
) -> None:
    src, tgt = [src_line(n) for n in range(100, 120)], [tgt_line(n) for n in range(110, 130)]
    other = write_task(tmp_path / "other", src, tgt, [(n, n - 10) for n in range(10, 20)])
    card = RunCard()
    model = toy_model(card)
    report, scored = evaluate_bucc([model], task, "laser", card, tune=read(other))
    rows = {record["threshold_from"]: record for record in report.records}
    assert list(rows) == [OWN, TUNED_HERE, "tuned on the other gold"]
    tuned = mine_task(model, read(other), "laser", card).scored.best().threshold
    assert rows["tuned on the other gold"]["threshold"] == pytest.approx(tuned, abs=1e-6)
    assert rows[TUNED_HERE]["f1"] >= rows["tuned on the other gold"]["f1"]
    assert scored["toy"].best().figures()["f1"] == rows[TUNED_HERE]["f1"]


def test_a_task_may_be_compressed_and_its_gold_repeated(tmp_path: Path) -> None:
    folder = write_task(tmp_path, ["a", "b"], ["A", "B"], [(0, 1), (0, 1)])
    (folder / "s").write_bytes(zstandard.compress((folder / "s").read_bytes()))
    assert read(folder).gold_pairs == {(0, 1)}


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("gold", "s0\tt9\n", r"gold, line 1: there is no id 't9' in .*/t"),
        ("gold", "t0\ts0\n", r"line 1: there is no id 't0' in .*/s"),
        ("gold", "s0 t0\n", "line 1 has no tab"),
        ("gold", "", "gold is empty"),
        ("s", "", "s is empty"),
        ("s", "s0\ta\nno tab here\n", "s, line 2 has no id"),
        ("t", "t0\ta\nt1\tb\nt0\tc\n", "t, line 3: the id t0 is also in line 1"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, file: str, content: str, told: str) -> None:
    folder = write_task(tmp_path, ["a", "b"], ["A", "B"], [(0, 0)])
    (folder / file).write_text(content, "utf-8")
    with pytest.raises(InputError, match=told):
        read(folder)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    folder = write_task(tmp_path, ["a"], ["A"], [(0, 0)])
    (folder / "t").write_bytes(b"t0\t\xff\n")
    with pytest.raises(InputError, match="line 1: not valid UTF-8"):
        read(folder)


def test_a_task_to_tune_on_is_whole_or_absent() -> None:
    assert read_tuning_task(None, None, None) is None
    with pytest.raises(UsageError, match="three files"):
        read_tuning_task(Path("s"), None, Path("gold"))
