"""A worker tells its parent everything: what it did, said and could not do."""

import logging
from pathlib import Path

import device_tasks
import psutil
import pytest
from device_runs import children, lives, parent_of, run
from device_tasks import noted, wait_until

from bitextmine.errors import EncoderError

pytestmark = pytest.mark.alone


def test_an_explained_failure_arrives_with_its_hint(folder: Path) -> None:
    with pytest.raises(EncoderError, match=r"^»cpu« is too small$") as told:
        run(device_tasks.refuse, folder)
    assert told.value.hint == "use a 'larger' one"
    assert children() == []


def test_a_bug_arrives_with_the_traceback_of_its_worker(folder: Path) -> None:
    with pytest.raises(RuntimeError, match="no such tensor") as told:
        run(device_tasks.blunder, folder)
    assert "in blunder" in str(told.value)
    assert "src shard" in str(told.value)
    assert children() == []


def test_warnings_of_workers_are_told_once_with_their_device(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(device_tasks.warn, folder, ["cuda:0", "cuda:1"], shards=1)
    assert caplog.record_tuples == [
        ("bitextmine.encode.shards", logging.WARNING, "cuda:0: 3 sentences were cut")
    ]


def test_a_worker_does_not_import_torch_by_itself(folder: Path) -> None:
    run(device_tasks.note_torch, folder, shards=2)
    assert [path.read_text() for path in folder.glob("torch *")] == ["False", "False"]


def test_workers_end_soon_after_a_parent_that_was_killed(folder: Path) -> None:
    with parent_of(device_tasks.wait_for_ever, folder) as parent:
        wait_until(lambda: len(noted(folder)) == 2)
        started = psutil.Process(parent.pid).children(recursive=True)
        parent.kill()
        wait_until(lambda: not any(map(lives, started)), 3.0)
        assert parent.communicate(timeout=1) == ("", "")


def test_what_workers_print_does_not_reach_stdout(folder: Path) -> None:
    with parent_of(device_tasks.talk, folder) as parent:
        stdout, stderr = parent.communicate(timeout=10)
    assert (stdout, stderr.count("loading weights")) == ("", 4)
    assert parent.returncode == 0
