"""The folder of a training while it runs."""

import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bitextmine.errors import OutputError, WorkdirError
from bitextmine.training.folder import finished_card, held_folder


def process(number: int = 0) -> Any:
    return SimpleNamespace(is_main_process=number == 0, main_process_first=nullcontext)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "it's « trained »"


def test_a_second_training_in_the_folder_is_refused_and_named_who_is_at_work(out: Path) -> None:
    with held_folder(out, process()):
        message = r"another training is at work .*process \d+ on"
        with pytest.raises(WorkdirError, match=message) as raised, held_folder(out, process()):
            pytest.fail("two at once")
        assert "another folder with --out" in raised.value.hint


def test_only_the_main_process_of_a_training_holds_the_folder(out: Path) -> None:
    with held_folder(out, process()), held_folder(out, process(1)), held_folder(out, process(2)):
        pass


def test_a_folder_is_free_after_a_training_that_failed_or_finished(out: Path) -> None:
    with pytest.raises(ZeroDivisionError), held_folder(out, process()):
        _ = 1 // 0
    with held_folder(out, process()):
        (out / "bitextmine.json").write_text("{}", "utf-8")  # as a finished one
    assert not (out / "work").exists()
    with held_folder(out, process()):
        pass


def test_a_folder_is_free_after_a_training_that_was_killed(out: Path) -> None:
    code = f"""
from types import SimpleNamespace
from contextlib import nullcontext
from pathlib import Path
from bitextmine.training.folder import held_folder
solo = SimpleNamespace(is_main_process=True, main_process_first=nullcontext)
with held_folder(Path({str(out)!r}), solo):
    print("held", flush=True)
    input()
"""
    command = [sys.executable, "-c", code]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        message = f"process {other.pid} on"
        with pytest.raises(WorkdirError, match=message), held_folder(out, process()):
            pytest.fail("two at once")
        other.send_signal(signal.SIGKILL)
        other.wait()
    with held_folder(out, process()):
        pass


def test_a_folder_of_other_files_is_left_alone(out: Path) -> None:
    out.mkdir()
    (out / "thesis.tex").write_text("draft", "utf-8")
    with pytest.raises(OutputError, match="is not a training"), held_folder(out, process()):
        pytest.fail("it is not ours")
    assert [path.name for path in out.iterdir()] == ["thesis.tex"]


def test_damaged_settings_are_refused_with_a_remedy_that_there_is(out: Path) -> None:
    with held_folder(out, process()):
        (out / "work" / "checkpoint-4").mkdir()
        (out / "work" / "settings.json").write_text("{", "utf-8")
        with pytest.raises(WorkdirError, match=r"cannot read .*settings\.json") as raised:
            finished_card(out, {"seed": 1}, is_main=True)
        assert "--out" in raised.value.hint
        assert "--workdir" not in raised.value.hint
