"""Runs tasks on several devices, one process each, drawing from one queue.

Each worker has a pipe of its own and is told its next task when it has done the last one, so
uneven devices are all kept busy, and a worker that dies takes one task with it and no lock.
"""

import logging
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING

from bitextmine.engines.device_worker import (
    Assignment,
    Broken,
    Done,
    Logged,
    Message,
    Post,
    Ready,
    Refused,
    Reported,
    work,
)
from bitextmine.engines.engine import Step, Where
from bitextmine.engines.local import LocalEngine
from bitextmine.engines.worker_signals import held_signals, start_unsignalled
from bitextmine.errors import EncoderError
from bitextmine.machine import Limits, Resources
from bitextmine.progress import Advance

if TYPE_CHECKING:
    from multiprocessing.connection import Connection
    from multiprocessing.context import SpawnProcess

LOG = logging.getLogger(__name__)

_SPAWN = multiprocessing.get_context("spawn")  # CUDA does not survive a fork
_GRACE_S = 2.0  # to end when told to, before being killed
_GLANCE_S = 1.0  # between looks at workers whose pipes a process of their own keeps open


class DevicesEngine(LocalEngine):
    """Does tasks on the CPU in this process, those on devices in one process each.

    A single device needs no other process. Worker processes keep what they have loaded for all
    tasks of a step; however a step ends, none outlives it.

    Parameters
    ----------
    limits : Limits
        What it may use of this machine.
    """

    def usable_devices(self) -> tuple[str, ...]:
        """Return the devices that are used, each by a process of its own."""
        return self._limits.usable_devices()

    def resources(self, on: Where) -> Resources:
        """Return the whole machine for a task on the CPU, an equal share for one on a device."""
        if on == "cpu":
            return super().resources(on)
        devices = self.usable_devices()
        return self._limits.resources(devices[0], sharing=len(devices))

    def run(self, step: Step) -> None:
        """Run the tasks in order, each on whichever device is free."""
        devices = self.usable_devices() if step.on == "device" and step.arguments else ()
        if len(devices) > 1:
            run_on_devices(step, devices, self._limits)
        else:
            super().run(step)


def run_on_devices(step: Step, devices: Sequence[str], limits: Limits) -> None:
    """Run the tasks of a step in one spawned process a device.

    Parameters
    ----------
    step : Step
        Its bar goes back when a worker has died: what it had reported of its task does not
        count, since the second attempt reports all of it again.
    devices : sequence of str
        The same one may be named twice.
    limits : Limits
        What all of them together may use.

    Raises
    ------
    BitextmineError
        Whatever a task raised, in whichever process.
    EncoderError
        A worker died, and the one that tried its task again died too.
    RuntimeError
        A task in a worker raised anything else; holds the worker's traceback.
    """
    with step.progress() as advance:
        run = _Run(step, limits, advance)
        try:
            run.start(devices)
            while run.busy():
                run.listen()
        finally:
            with held_signals():
                run.end()


@dataclass(eq=False)
class _Worker:
    """A process on one device, and how far it is with its task."""

    device: str
    process: "SpawnProcess"
    connection: "Connection"
    task: int | None = None  # its place in the arguments; None when there is none left
    ready: bool = False
    reported: int = 0  # units of this task

    def death(self) -> str:
        """Say how the process ended."""
        self.process.join(_GRACE_S)
        if self.process.exitcode is None:  # alive, but it has closed its pipe
            self.process.kill()
            self.process.join(_GRACE_S)
        code = self.process.exitcode
        if code is None or code >= 0:
            return f"exit code {code}"
        killed = code == -signal.SIGKILL
        reason = "as when memory runs out" if killed else signal.strsignal(-code)
        return f"signal {-code}, {reason}"


class _Run:
    """The tasks that are waiting, the workers that do them, and what became of both."""

    def __init__(self, step: Step, limits: Limits, advance: Advance) -> None:
        self._step, self._limits, self._advance = step, limits, advance
        self._waiting = deque(range(len(step.arguments)))
        self._sharing = 1
        self._tried: set[int] = set()  # tasks whose worker has died once
        self._workers: list[_Worker] = []

    def start(self, devices: Sequence[str]) -> None:
        """Give each device a worker and each worker a task, as long as there are tasks."""
        self._sharing = len(devices)
        for device in devices[: len(self._step.arguments)]:
            self._start_worker(device, self._waiting.popleft())

    def busy(self) -> list[_Worker]:
        """Return the workers that have not done their task yet."""
        return [worker for worker in self._workers if worker.task is not None]

    def listen(self) -> None:
        """Wait until a worker says something or dies, and act on it."""
        busy = self.busy()
        heard = set(wait([worker.connection for worker in busy], _GLANCE_S))
        for worker in busy:
            if worker.connection in heard:
                try:
                    message: Message = worker.connection.recv()
                except (EOFError, OSError):
                    self._bury(worker)
                else:
                    self._hear(worker, message)
            elif worker.process.exitcode is not None and not worker.connection.poll():
                self._bury(worker)

    def end(self) -> None:
        """End every worker: the busy ones are told, the others end when their pipe does."""
        for worker in self.busy():
            worker.process.terminate()
        for worker in self._workers:
            worker.connection.close()
        deadline = time.monotonic() + _GRACE_S
        for worker in self._workers:
            worker.process.join(max(0.0, deadline - time.monotonic()))
            if worker.process.is_alive():
                worker.process.kill()
                worker.process.join(_GRACE_S)

    def _start_worker(self, device: str, task: int) -> None:
        with held_signals():  # a process that is started is in the list
            ours, theirs = _SPAWN.Pipe()
            level = logging.getLogger("bitextmine").getEffectiveLevel()
            process = _SPAWN.Process(
                target=work,
                args=(theirs, Post(device, self._limits, self._sharing), level),
                name=f"bitextmine {device}",
            )
            with theirs:
                start_unsignalled(process)
            worker = _Worker(device, process, ours)
            self._workers.append(worker)
        self._assign(worker, task)

    def _assign(self, worker: _Worker, task: int | None) -> None:
        worker.task, worker.reported = task, 0
        assignment = (
            None if task is None else Assignment(self._step.task, self._step.arguments[task])
        )
        with suppress(BrokenPipeError, ConnectionResetError):  # listen() will see that it died
            worker.connection.send(assignment)

    def _hear(self, worker: _Worker, message: Message) -> None:
        match message:
            case Ready():
                worker.ready = True
            case Reported(units):
                worker.reported += units
                self._advance(units)
            case Logged(logger, level, text):
                logging.getLogger(logger).log(level, "%s: %s", worker.device, text)
            case Done():
                self._assign(worker, self._waiting.popleft() if self._waiting else None)
            case Refused(error):
                raise error
            case Broken(traceback):
                raise RuntimeError(
                    f"{self._current(worker)} on {worker.device} failed in its worker:"
                    f"\n\n{traceback}"
                )

    def _bury(self, worker: _Worker) -> None:
        """Try the task of a dead worker once more on its device, or give up."""
        death, task = worker.death(), worker.task
        assert task is not None, "only busy workers are listened to"
        self._workers.remove(worker)
        worker.connection.close()
        if worker.reported:
            self._advance(-worker.reported)
        when = "while" if worker.ready else "before it could begin with"
        what = f"{when} {self._current(worker)}"
        if task in self._tried:
            raise EncoderError(
                f"the worker on {worker.device} died twice {what}; the second time by {death}",
                hint=_remedy(worker),
            )
        LOG.warning("the worker on %s died (%s) %s; trying once more", worker.device, death, what)
        self._tried.add(task)
        self._start_worker(worker.device, task)

    def _current(self, worker: _Worker) -> str:
        assert worker.task is not None
        return self._step.describe(self._step.arguments[worker.task])


def _remedy(worker: _Worker) -> str:
    if worker.ready:
        return (
            "give the job more memory or use a smaller --batch-tokens or --memory; dmesg tells of "
            "processes that were killed for memory"
        )
    return (
        "see what it said above; a script of your own that uses several devices needs "
        'if __name__ == "__main__": around what it runs'
    )
