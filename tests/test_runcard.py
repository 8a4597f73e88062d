"""A run notes what it did, and leaves neither lock nor files behind, however it ends."""

import json
import logging
import tempfile
from pathlib import Path

import pytest

from bitextmine.engines.local import LocalEngine
from bitextmine.errors import EncoderError, WorkdirError
from bitextmine.files import read_json
from bitextmine.runcard import RunCard, card_path, opened_run
from bitextmine.version import __version__
from bitextmine.workdir import Workdir


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    made = Workdir(tmp_path / 'd\'été "語"')
    made.create()
    return made


def test_a_finished_stage_is_marked_with_its_seconds_and_warnings(workdir: Workdir) -> None:
    card = RunCard()
    with card.finishing(workdir, "search"):
        card.show("few vectors")
        assert not workdir.done("search").exists()
    noted = read_json(workdir.done("search"))
    assert noted == {"seconds": card.facts["seconds"]["search"], "warnings": ["few vectors"]}
    assert 0 <= noted["seconds"] < 60


def test_a_stage_that_failed_is_not_marked_as_finished(workdir: Workdir) -> None:
    card = RunCard()
    with pytest.raises(EncoderError), card.finishing(workdir, "encode"):
        raise EncoderError("no", hint="yes")
    assert not workdir.done("encode").exists()
    assert card.facts["seconds"] == {}


def test_a_stage_that_was_finished_before_keeps_what_its_own_run_noted(workdir: Workdir) -> None:
    workdir.finish("encode", {"seconds": 12.5, "warnings": ["2 were cut"]})
    card = RunCard()
    with card.finishing(workdir, "encode"):
        card.show("the weights are licensed")
    assert card.facts["seconds"] == {"encode": 12.5}
    assert card.facts["warnings"] == ["the weights are licensed", "2 were cut"]
    assert read_json(workdir.done("encode"))["seconds"] == 12.5


def test_what_an_earlier_run_warned_of_is_recalled_once(workdir: Workdir) -> None:
    workdir.finish("shard", {"seconds": 1.5, "warnings": ["a", "b"]})
    workdir.finish("encode", {"seconds": 2.5, "warnings": ["b", "c"]})
    card = RunCard()
    for stage in ("shard", "encode", "encode"):
        card.recall(workdir, stage)
    assert card.facts["warnings"] == ["a", "b", "c"]
    assert card.facts["seconds"] == {"shard": 1.5, "encode": 2.5}


def test_a_stage_that_was_not_finished_cannot_be_recalled(workdir: Workdir) -> None:
    with pytest.raises(WorkdirError, match=r"cannot read .*shard\.done\.json"):
        RunCard().recall(workdir, "shard")


def test_a_warning_is_told_and_kept(caplog: pytest.LogCaptureFixture) -> None:
    card = RunCard()
    card.show("100 % of it")
    assert caplog.record_tuples == [("bitextmine.runcard", logging.WARNING, "100 % of it")]
    assert card.facts["warnings"] == ["100 % of it"]


def test_a_finished_card_is_json_and_tells_version_machine_and_time_in_all() -> None:
    card = RunCard()
    with card.timed("shard"):
        pass
    facts = card.finished()
    assert json.loads(json.dumps(facts, allow_nan=False)) == facts
    assert facts["bitextmine"] == __version__
    assert facts["seconds"]["total"] >= facts["seconds"]["shard"] >= 0
    assert facts["machine"]["cores"] >= 1


def test_cards_share_no_facts() -> None:
    RunCard().show("only here")
    assert RunCard().facts["warnings"] == []


def test_the_card_of_an_output_lies_beside_it() -> None:
    assert card_path(Path("a b/pairs.tsv.zst")) == Path("a b/pairs.tsv.zst.run.json")


def test_a_private_work_directory_is_removed_at_the_end() -> None:
    with opened_run(None, LocalEngine()) as run:
        assert (run.workdir.root / "src").is_dir()
    assert not run.workdir.root.exists()


def test_a_private_work_directory_is_removed_after_an_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with pytest.raises(KeyboardInterrupt), opened_run(None, LocalEngine()) as run:
        run.scratch.file().write(b"room")
        raise KeyboardInterrupt
    assert list(tmp_path.iterdir()) == []


def test_a_work_directory_is_made_only_where_that_is_asked_for(tmp_path: Path) -> None:
    with (
        pytest.raises(WorkdirError, match="is no work directory"),
        opened_run(tmp_path / "work", LocalEngine()),
    ):
        pass
    assert not (tmp_path / "work").exists()
    with opened_run(tmp_path / "work", LocalEngine(), make=True) as run:
        assert run.workdir.root == tmp_path / "work"
    assert (tmp_path / "work").exists()


def test_a_work_directory_is_locked_until_the_run_ends(workdir: Workdir) -> None:
    with (
        opened_run(workdir.root, LocalEngine(), make=True),
        pytest.raises(WorkdirError, match="is in use by process"),
        opened_run(workdir.root, LocalEngine(), make=True),
    ):
        pass
    with opened_run(workdir.root, LocalEngine(), make=True):
        pass


def test_an_error_ends_the_lock_too(workdir: Workdir) -> None:
    with pytest.raises(EncoderError), opened_run(workdir.root, LocalEngine(), make=True):
        raise EncoderError("no", hint="yes")
    with opened_run(workdir.root, LocalEngine(), make=True):
        pass


def test_scratch_is_closed_with_the_run_and_was_never_seen(workdir: Workdir) -> None:
    with opened_run(workdir.root, LocalEngine(), make=True) as run:
        before = set(workdir.root.rglob("*"))
        file = run.scratch.file()
        file.write(b"room")
        assert set(workdir.root.rglob("*")) == before
    assert file.closed


def test_a_run_fills_the_card_it_is_given(workdir: Workdir) -> None:
    card = RunCard()
    with opened_run(workdir.root, LocalEngine(), make=True, card=card) as run:
        assert run.card is card
