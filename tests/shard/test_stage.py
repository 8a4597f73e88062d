"""The stage leaves unique, numbered sentences of both sides, whatever had been done before."""

from pathlib import Path

import numpy as np
import pytest
from here import NotingEngine, run_over

from bitextmine.config import ShardConfig
from bitextmine.counts import count_shards
from bitextmine.engines.devices import DevicesEngine
from bitextmine.engines.engine import Step
from bitextmine.errors import InputError, WorkdirError
from bitextmine.shard import stage as shard_stage
from bitextmine.shard.sentences import Sentences, open_sentences
from bitextmine.shard.split import input_bytes
from bitextmine.shard.stage import shard
from bitextmine.workdir import SIDES, Sides, Workdir

SRC = ["eins", "zwei", "eins", "", "drei"], ["zwei", "vier"]
TGT = [*(f"sentence {n}" for n in range(30)), "sentence 3"]


@pytest.fixture
def config(tmp_path: Path) -> ShardConfig:
    """Two src files and one tgt file."""
    paths = [tmp_path / name for name in ("src 'a'", "src b", "tgt é")]
    for path, lines in zip(paths, (*SRC, TGT), strict=True):
        path.write_text("\n".join(lines), "utf-8")
    src, tgt = tuple(map(str, paths[:2])), tuple(map(str, paths[2:]))
    return ShardConfig(src=src, tgt=tgt, shard_size=10)


def sharded(
    root: Path, config: ShardConfig, engine: NotingEngine | None = None
) -> Sides[Sentences]:
    """Do the stage in a run of its own."""
    with run_over(root, config, make=True, engine=engine) as run:
        return shard(run, config)


def told(sentences: Sentences) -> list[tuple[str, str, int]]:
    """Return all sentences by number, with the file and the line of each."""
    return [
        (text, Path(origin.file).name, origin.line)
        for text, origin in sentences.fetch(np.arange(len(sentences)))
    ]


def test_sentences_of_both_sides_are_unique_and_numbered_as_they_were_read(
    tmp_path: Path, config: ShardConfig
) -> None:
    found = sharded(tmp_path / "work", config)
    assert told(found.src) == [
        ("eins", "src 'a'", 1),
        ("zwei", "src 'a'", 2),
        ("drei", "src 'a'", 5),
        ("vier", "src b", 2),
    ]
    assert told(found.tgt) == [(f"sentence {n}", "tgt é", n + 1) for n in range(30)]


def test_a_task_is_a_file_a_shard_or_a_side_and_none_needs_a_device(
    tmp_path: Path, config: ShardConfig
) -> None:
    engine = NotingEngine()
    sharded(tmp_path / "work", config, engine)
    workdir = Workdir(tmp_path / "work")
    assert [(step.name, len(step.arguments)) for step in engine.steps] == [
        ("split", 2), ("plan", 1), ("build", count_shards(workdir, "src")), ("number", 1),
        ("split", 1), ("plan", 1), ("build", count_shards(workdir, "tgt")), ("number", 1),
    ]  # fmt: skip
    assert {step.on for step in engine.steps} == {"cpu"}
    assert list(engine.steps[0].units) == [Path(path).stat().st_size for path in config.src]


def test_a_second_run_changes_no_file(tmp_path: Path, config: ShardConfig) -> None:
    first = sharded(tmp_path / "work", config)
    files = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*") if path.is_file()}
    del files[tmp_path / "work" / "lock"]
    again = sharded(tmp_path / "work", config)
    assert [told(again.of(side)) for side in SIDES] == [told(first.of(side)) for side in SIDES]
    assert {path: path.stat().st_mtime_ns for path in files} == files


def test_only_finished_sentences_can_be_opened(
    tmp_path: Path, config: ShardConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*task: object, **where: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(shard_stage, "number_sentences", die)
        sharded(tmp_path / "work", config)
    with pytest.raises(WorkdirError, match="no finished results of the stage 'shard'"):
        open_sentences(Workdir(tmp_path / "work"))
    assert len(sharded(tmp_path / "work", config).tgt) == 30


def test_other_settings_are_refused_by_name(tmp_path: Path, config: ShardConfig) -> None:
    sharded(tmp_path / "work", config)
    other = ShardConfig(src=config.src, tgt=config.tgt, shard_size=11)
    with pytest.raises(WorkdirError, match="shard_size: 10 there, 11 now"):
        sharded(tmp_path / "work", other)


def test_a_side_without_any_sentence_is_refused(tmp_path: Path, config: ShardConfig) -> None:
    Path(config.tgt[0]).write_text("\n  \n", "utf-8")
    with pytest.raises(InputError, match="tgt"):
        sharded(tmp_path / "work", config)
    assert not Workdir(tmp_path / "work").done("shard").exists()


@pytest.mark.parametrize("stdin", [False, True])
def test_bytes_to_read_are_told_unless_stdin_is_among_the_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stdin: bool
) -> None:
    text = tmp_path / "text"
    text.write_text("one\ntwo\n", "utf-8")
    src = (str(text), "-") if stdin else (str(text), str(text))
    told: list[tuple[int, ...]] = []

    class Stopped(BaseException):
        """Ends the stage after its first step."""

    def note(self: DevicesEngine, step: Step) -> None:
        told.append(tuple(step.units))
        raise Stopped

    monkeypatch.setattr(DevicesEngine, "run", note)
    config = ShardConfig(src=src, tgt=(str(text),))
    with pytest.raises(Stopped), run_over(tmp_path / "work", config, make=True) as run:
        shard(run, config)
    assert told == [() if stdin else (input_bytes(str(text)),) * 2]
