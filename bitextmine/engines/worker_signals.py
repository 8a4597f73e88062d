"""Signals while worker processes start, run and end: the parent alone decides what they mean."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing import resource_tracker
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from multiprocessing.context import SpawnProcess

# What a terminal sends to a whole process group.
_PARENT_DECIDES = frozenset({signal.SIGINT, signal.SIGHUP})


def start_unsignalled(process: "SpawnProcess") -> None:
    """Start a worker that notices no Ctrl-C before it calls `leave_signals_to_parent`."""
    resource_tracker.ensure_running()  # some Pythons unblock the signals when they start it
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _PARENT_DECIDES)
    try:
        process.start()
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def leave_signals_to_parent() -> None:
    """Ignore, in a worker, what the parent acts on, and end at once when the parent says so."""
    for number in _PARENT_DECIDES:
        signal.signal(number, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _PARENT_DECIDES)


@contextmanager
def held_signals() -> Iterator[None]:
    """Let signals wait whose handlers may raise, while a step must not be cut in two."""
    if threading.current_thread() is not threading.main_thread():
        yield  # Python runs signal handlers in the main thread only
        return
    arrived: list[int] = []

    def note(number: int, frame: FrameType | None) -> None:
        arrived.append(number)

    usual = {
        number: handler
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
        if callable(handler := signal.getsignal(number))
    }
    try:
        for number in usual:
            signal.signal(number, note)
        yield
    finally:
        for number, handler in usual.items():
            signal.signal(number, handler)
        if arrived:
            signal.raise_signal(arrived[0])
