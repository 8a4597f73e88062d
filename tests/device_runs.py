"""Engines at work: tasks on several devices, here or in a process of its own that can be ended."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from device_tasks import NamedDevices, shards_of

from bitextmine.engines.engine import Task

TESTS = Path(__file__).parent


def run(
    task: Task, folder: Path, devices: Sequence[str] = ("cpu", "cpu"), shards: int = 4
) -> list[int]:
    """Run the task on shards of 10 units; returns what was reported."""
    reported: list[int] = []
    NamedDevices(devices).run(shards_of(task, folder, shards, reported.append))
    return reported


def children() -> list[psutil.Process]:
    """Return the workers of this process; the resource tracker stays until the end."""
    found = psutil.Process().children(recursive=True)
    return [child for child in found if "resource_tracker" not in " ".join(child.cmdline())]


def lives(process: psutil.Process) -> bool:
    """Tell whether a process runs; what has ended may wait long for an init that reaps it."""
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


@contextmanager
def parent_of(task: Task, folder: Path) -> Iterator["subprocess.Popen[str]"]:
    """Run the task on two devices in a process group of its own."""
    command = [sys.executable, "-c", "import device_tasks; device_tasks.main()"]
    with subprocess.Popen(
        [*command, task.__name__, str(folder)],
        env=os.environ | {"PYTHONPATH": str(TESTS)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as parent:
        yield parent
