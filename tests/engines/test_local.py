"""Tasks in this process, one after another; devices are asked for only where one is needed."""

import os
import subprocess
import sys
from pathlib import Path

import device_tasks
import pytest
import torch
from device_tasks import noted, shards_of

from bitextmine.engines.local import LocalEngine
from bitextmine.errors import EncoderError
from bitextmine.machine import PROGRAM_BYTES, Limits, Resources


def test_tasks_run_here_in_order(folder: Path) -> None:
    reported: list[int] = []
    LocalEngine(Limits(("cpu",))).run(shards_of(device_tasks.do, folder, 3, reported.append))
    assert noted(folder) == [["cpu", str(os.getpid()), str(shard)] for shard in range(3)]
    assert reported == [4, 6] * 3


def test_what_a_task_raises_ends_the_step(folder: Path) -> None:
    def refuse_1(*task: object, **where: object) -> None:
        device_tasks.note(folder, "cpu", len(noted(folder)))
        if len(noted(folder)) == 2:
            raise EncoderError("too small", hint="use a larger one")

    with pytest.raises(EncoderError, match="too small"):
        LocalEngine(Limits(("cpu",))).run(shards_of(refuse_1, folder, 3))
    assert len(noted(folder)) == 2


def test_only_the_first_device_is_used_and_shares_with_none(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    engine = LocalEngine(Limits(("cuda:1", "cuda:0"), threads=5, memory=4 << 30))
    assert engine.usable_devices() == ("cuda:1",)
    assert engine.resources("device") == Resources(
        "cuda:1", 5, (4 << 30) - PROGRAM_BYTES, 1, ("cuda:1", "cuda:0")
    )


def test_a_device_that_is_not_there_is_refused_when_one_is_needed(folder: Path) -> None:
    with pytest.raises(EncoderError, match="there is no cuda:99 here"):
        LocalEngine(Limits(("cuda:99",))).run(shards_of(device_tasks.do, folder, 1))
    assert noted(folder) == []


# Whoever looks for devices imports torch, and would find that this one is not there.
WITHOUT_DEVICES = """
import sys
from pathlib import Path
from device_tasks import blunder, note_torch
from bitextmine.engines.engine import Step
from bitextmine.engines.{module} import {name}
from bitextmine.machine import Limits

engine = {name}(Limits(("cuda:99", "cuda:98")))
step = Step({step})
engine.run(step)
print("torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("module", "name"), [("local", "LocalEngine"), ("devices", "DevicesEngine")]
)
@pytest.mark.parametrize(
    "step",
    [
        'name="split", task=note_torch, arguments=[(Path(sys.argv[1]), 1)]',
        'name="encode", task=blunder, arguments=[], on="device", label="encode"',
    ],
    ids=["on the cpu", "without arguments"],
)
def test_a_step_that_needs_no_device_asks_for_none(
    module: str, name: str, step: str, folder: Path
) -> None:
    code = WITHOUT_DEVICES.format(module=module, name=name, step=step)
    tests = str(Path(device_tasks.__file__).parent)
    done = subprocess.run(
        [sys.executable, "-c", code, str(folder)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([tests, *sys.path])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("False\n", "")
