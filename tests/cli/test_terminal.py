"""What surrounds every command: talk, many values of a flag, signals, pipes, exit codes."""

import os
import signal
import subprocess
import time
from pathlib import Path

import pytest
from commands import PROGRAM, mine_toy, run


@pytest.mark.usefixtures("toy")
def test_quiet_says_nothing(src: Path, tgt: Path) -> None:
    assert mine_toy(src, tgt, "--quiet").stderr == ""


@pytest.mark.usefixtures("toy")
def test_verbose_tells_what_is_decided(src: Path, tgt: Path) -> None:
    assert "info: encoder toy" in mine_toy(src, tgt, "--verbose").stderr


@pytest.mark.usefixtures("toy")
def test_several_files_follow_one_flag(src: Path, tgt: Path, tmp_path: Path) -> None:
    lines = tgt.read_text("utf-8").splitlines(keepends=True)
    parts = [tmp_path / "p1", tmp_path / "p2"]
    parts[0].write_text("".join(lines[:20]), "utf-8")
    parts[1].write_text("".join(lines[20:]), "utf-8")
    more = ("--model", "toy", "--src-lang", "de", "--tgt-lang", "en")
    result = run("mine", "--tgt", *parts, "--src", src, *more)
    assert result.stdout == mine_toy(src, tgt).stdout


@pytest.mark.encoder
def test_a_reader_that_leaves_ends_the_run_quietly(tgt: Path) -> None:
    command = [*PROGRAM, "mine", "--src", str(tgt), "--tgt", str(tgt), "--quiet"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(60) == 128 + signal.SIGPIPE
        assert process.stderr is not None
        assert process.stderr.read() == b""


@pytest.mark.encoder
@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143)],
)
def test_a_stopped_run_cleans_up_and_says_so(
    number: signal.Signals, code: int, tgt: Path, tmp_path: Path
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    # An open pipe on stdin keeps the run waiting for more sentences.
    command = [*PROGRAM, "mine", "--src", str(tgt), "--tgt", "-"]
    environment = {**os.environ, "TMPDIR": str(scratch)}
    pipe = subprocess.PIPE
    with subprocess.Popen(
        command, env=environment, text=True, stdin=pipe, stdout=pipe, stderr=pipe
    ) as process:
        deadline = time.monotonic() + 120  # a disk that is just being filled may be slow
        while not list(scratch.iterdir()) and time.monotonic() < deadline:
            assert process.poll() is None, process.communicate()
            time.sleep(0.02)
        assert list(scratch.iterdir())
        time.sleep(0.3)
        process.send_signal(number)
        assert process.wait(30) == code
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.read() == ""
        assert "Traceback" not in process.stderr.read()
    assert list(scratch.iterdir()) == []
