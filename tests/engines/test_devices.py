"""Several devices share the tasks of a step, and no worker outlives it, however it ends."""

import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import device_tasks
import psutil
import pytest
from device_runs import children, lives, parent_of, run
from device_tasks import NamedDevices, noted, shards_of, wait_until
from watching import watched

from bitextmine.engines.devices import DevicesEngine
from bitextmine.engines.engine import Step
from bitextmine.errors import EncoderError
from bitextmine.machine import PROGRAM_BYTES, Limits, Resources

pytestmark = pytest.mark.alone


@pytest.mark.parametrize("devices", [("cpu",), ("cpu", "cpu"), ("cuda:0", "cuda:1", "cpu")])
def test_every_task_is_done_once_and_every_unit_reported(
    devices: tuple[str, ...], folder: Path
) -> None:
    reported = run(device_tasks.do, folder, devices, shards=7)
    lines = noted(folder)
    assert sorted(int(shard) for _, _, shard in lines) == list(range(7))
    assert {device for device, _, _ in lines} <= set(devices)
    assert sum(reported) == 70
    assert children() == []


def test_one_device_works_in_this_process(folder: Path) -> None:
    run(device_tasks.do, folder, ["cpu"])
    assert [line[1:] for line in noted(folder)] == [[str(os.getpid()), str(i)] for i in range(4)]


def test_several_devices_keep_one_process_each(folder: Path) -> None:
    run(device_tasks.do_slowly_on_slow, folder, ["cpu:slow", "cpu:fast"], shards=8)
    processes = {(device, process) for device, process, _ in noted(folder)}
    assert sorted(device for device, _ in processes) == ["cpu:fast", "cpu:slow"]
    assert str(os.getpid()) not in {process for _, process in processes}


def test_a_fast_device_goes_on_while_a_slow_one_is_busy(folder: Path) -> None:
    run(device_tasks.do_slowly_on_slow, folder, ["cpu:slow", "cpu:fast"], shards=8)
    done = [device for device, _, _ in noted(folder)]
    assert done.count("cpu:fast") >= 5
    assert done.count("cpu:slow") >= 1


@pytest.mark.parametrize("devices", [("cpu",), ("cpu", "cpu")])
def test_no_tasks_start_nothing(devices: tuple[str, ...], folder: Path) -> None:
    assert run(device_tasks.blunder, folder, devices, shards=0) == []


def test_there_are_never_more_workers_than_tasks(folder: Path) -> None:
    run(device_tasks.do, folder, ["a", "b", "c"], shards=1)
    assert [(device, shard) for device, _, shard in noted(folder)] == [("a", "0")]


def test_devices_share_the_machine(folder: Path) -> None:
    engine = DevicesEngine(Limits(("cpu", "cpu"), threads=5, memory=4 << 30))
    share = Resources("cpu", 2, ((4 << 30) - PROGRAM_BYTES) // 2, 2, ("cpu", "cpu"))
    assert engine.resources("device") == share
    engine.run(shards_of(device_tasks.note_resources, folder, 2))
    assert [path.read_text() for path in folder.glob("resources *")] == [repr(share)] * 2


def test_a_task_on_the_cpu_has_the_whole_machine() -> None:
    engine = DevicesEngine(Limits(("cpu", "cpu"), threads=5, memory=4 << 30))
    whole = Resources("cpu", 5, (4 << 30) - PROGRAM_BYTES, 1, ("cpu", "cpu"))
    assert engine.resources("cpu") == whole


def test_a_task_whose_worker_is_killed_is_tried_once_more(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    reported = run(device_tasks.die_once_on_2, folder, ["cuda:0", "cuda:1"])
    assert sorted(int(shard) for _, _, shard in noted(folder)) == list(range(4))
    (warning,) = caplog.messages
    assert warning.replace("cuda:1", "cuda:0") == (
        "the worker on cuda:0 died (signal 9, as when memory runs out) while encoding src shard 2; "
        "trying once more"
    )
    assert (sum(reported), reported.count(-4)) == (40, 1)


def test_the_bar_ends_at_its_sum_though_a_worker_died(folder: Path) -> None:
    step = Step(
        name="encode",
        task=device_tasks.die_once_on_2,
        arguments=[(folder, shard) for shard in range(4)],
        units=[10] * 4,
        on="device",
        label="encode",
        unit="sentences",
    )
    with watched() as terminal:
        NamedDevices(["cpu", "cpu"]).run(step)
    assert (folder / "died").exists()
    assert " 40.0/40.0 " in terminal.last()


def test_a_task_whose_worker_dies_again_ends_the_run(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with pytest.raises(EncoderError, match=r"on cpu died twice while encoding src shard 1") as told:
        run(device_tasks.die_on_1, folder)
    assert "exit code 7" in str(told.value)
    assert "--batch-tokens" in told.value.hint
    assert len(caplog.messages) == 1
    assert children() == []


def test_a_failure_of_one_worker_ends_the_others(folder: Path) -> None:
    started = time.monotonic()

    def fail(units: int) -> None:
        raise OSError("the bar broke")

    with pytest.raises(OSError, match="the bar broke"):
        NamedDevices(["cpu:slow", "cpu:fast"]).run(
            shards_of(device_tasks.do_slowly_on_slow, folder, 3, fail)
        )
    assert children() == []
    assert time.monotonic() - started < device_tasks.PATIENCE_S


def send_to_group(parent: "subprocess.Popen[str]", number: signal.Signals) -> None:
    os.killpg(parent.pid, number)


def send_to_parent(parent: "subprocess.Popen[str]", number: signal.Signals) -> None:
    parent.send_signal(number)


@pytest.mark.parametrize(
    ("send", "number", "code"),
    [
        (send_to_group, signal.SIGINT, 130),
        (send_to_parent, signal.SIGINT, 130),
        (send_to_parent, signal.SIGTERM, 143),
        (send_to_group, signal.SIGHUP, 129),
    ],
)
def test_a_signal_ends_all_workers_without_a_word(
    send: Callable[["subprocess.Popen[str]", signal.Signals], None],
    number: signal.Signals,
    code: int,
    folder: Path,
) -> None:
    with parent_of(device_tasks.wait_for_ever, folder) as parent:
        wait_until(lambda: len(noted(folder)) == 2)
        started = psutil.Process(parent.pid).children(recursive=True)
        send(parent, number)
        assert parent.communicate(timeout=5) == ("", "")
    assert parent.returncode == code
    assert len(started) >= 2
    wait_until(lambda: not any(map(lives, started)), 3.0)


def test_a_signal_while_workers_start_ends_them_without_a_word(folder: Path) -> None:
    with parent_of(device_tasks.wait_for_ever, folder) as parent:
        wait_until(lambda: len(psutil.Process(parent.pid).children()) >= 2)
        started = psutil.Process(parent.pid).children(recursive=True)
        send_to_group(parent, signal.SIGINT)
        assert parent.communicate(timeout=5) == ("", "")
    assert parent.returncode == 130
    wait_until(lambda: not any(map(lives, started)), 3.0)


def test_a_worker_that_does_not_end_when_told_is_killed(folder: Path) -> None:
    with parent_of(device_tasks.wait_stubbornly, folder) as parent:
        wait_until(lambda: len(noted(folder)) == 2)
        started = psutil.Process(parent.pid).children(recursive=True)
        send_to_group(parent, signal.SIGINT)
        assert parent.communicate(timeout=5) == ("", "")
    wait_until(lambda: not any(map(lives, started)), 3.0)
