"""What a worker process does: one device, task after task, everything told to the parent.

A worker and its parent share one pipe and no lock, so a worker that is killed at any instant
leaves nothing behind that another could wait for.
"""

import contextlib
import logging
import multiprocessing
import os
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import wait
from typing import TYPE_CHECKING, TypeAlias

from bitextmine.engines.engine import Arguments, Task
from bitextmine.engines.worker_signals import leave_signals_to_parent
from bitextmine.errors import BitextmineError
from bitextmine.machine import Limits

if TYPE_CHECKING:
    from multiprocessing.connection import Connection


@dataclass(frozen=True)
class Assignment:
    """What the parent asks of a worker; None instead of it asks the worker to end."""

    task: Task
    arguments: Arguments


@dataclass(frozen=True)
class Post:
    """Where a worker works: on its own device, beside others on the same machine."""

    device: str
    limits: Limits
    sharing: int


@dataclass(frozen=True)
class Ready:
    """The worker has started."""


@dataclass(frozen=True)
class Reported:
    """Units of work are done."""

    units: int


@dataclass(frozen=True)
class Logged:
    """A log record, already formatted, since its arguments need not survive the journey."""

    logger: str
    level: int
    text: str


@dataclass(frozen=True)
class Done:
    """The task has returned."""


@dataclass(frozen=True)
class Refused:
    """The task raised an error that we can explain."""

    error: BitextmineError


@dataclass(frozen=True)
class Broken:
    """The task raised what it should not have."""

    traceback: str


Outcome: TypeAlias = Done | Refused | Broken
Message: TypeAlias = Ready | Reported | Logged | Outcome


def work(connection: "Connection", post: Post, log_level: int) -> None:
    """Do what the parent assigns until it assigns None; runs in a process of its own.

    Parameters
    ----------
    connection : Connection
        Brings an `Assignment` or None, takes every `Message`.
    post : Post
        What each task may use.
    log_level : int
        Of the parent's logger ``bitextmine``.
    """
    leave_signals_to_parent()
    _end_with_parent()
    with contextlib.suppress(OSError):  # stderr is closed
        os.dup2(2, 1)  # stdout carries the parent's data
    send = _Sender(connection)
    _forward_logs(send, log_level)
    send(Ready())
    while outcome := _next_outcome(connection, post, send):
        send(outcome)


class _Sender:
    """Sends messages of any thread whole and one after another."""

    def __init__(self, connection: "Connection") -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def __call__(self, message: Message) -> None:
        with self._lock:
            try:
                self._connection.send(message)
            except (BrokenPipeError, ConnectionResetError):
                os._exit(1)  # the parent has gone


def _next_outcome(connection: "Connection", post: Post, send: _Sender) -> Outcome | None:
    """Do one task; None if there is none left."""
    try:
        # Unpickling imports the task's module, which can fail as the task can.
        assignment: Assignment | None = connection.recv()
        if assignment is None:
            return None
        assignment.task(
            *assignment.arguments,
            resources=post.limits.resources(post.device, sharing=post.sharing),
            advance=lambda units: send(Reported(units)),
        )
    except BitextmineError as error:
        return Refused(error)
    except BaseException:  # SystemExit too: only the parent ends a worker
        return Broken(traceback.format_exc())
    return Done()


def _end_with_parent() -> None:
    """End this process soon after the parent, even one that was killed."""
    parent = multiprocessing.parent_process()
    assert parent is not None, "a worker is always started by a parent"
    sentinel = parent.sentinel

    def watch() -> None:
        wait([sentinel])
        os._exit(1)

    threading.Thread(target=watch, name="watch parent", daemon=True).start()


class _Forward(logging.Handler):
    """Sends log records to the parent, which alone talks on stderr."""

    def __init__(self, send: _Sender) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send(Logged(record.name, record.levelno, self.format(record)))


def _forward_logs(send: _Sender, level: int) -> None:
    log = logging.getLogger("bitextmine")
    log.handlers = [_Forward(send)]
    log.setLevel(level)
    log.propagate = False
