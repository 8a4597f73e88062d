"""Runs tasks one after another in this process."""

from collections.abc import Callable, Iterable


def run_tasks(task: Callable[..., None], arguments: Iterable[tuple[object, ...]]) -> None:
    """Call the task with each tuple of arguments.

    A task is an idempotent function of paths and settings: it does nothing when
    its result is on disk, so a run can be repeated, moved and resumed.
    """
    for each in arguments:
        task(*each)
