"""Tasks under one progress bar."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bitextmine.engines.devices import Task, run_on_devices
from bitextmine.progress import Advance, bar


@contextmanager
def shown(label: str, *, total: int, unit: str) -> Iterator[Advance]:
    """Show a bar while the block runs; yields what tasks tell of their work."""
    with bar(label, total=total, unit=unit) as progress:

        def report(units: int) -> None:
            progress.update(units)

        yield report


def run_shown(
    task: Task,
    arguments: Sequence[tuple[object, ...]],
    devices: Sequence[str],
    *,
    label: str,
    total: int,
    unit: str,
    name: Callable[[tuple[object, ...]], str],
) -> None:
    """Run tasks as `run_on_devices` does, and show how many of their units are done.

    Parameters
    ----------
    task, arguments, devices, name
        As those of `run_on_devices`.
    label, unit : str
        What the bar says.
    total : int
        Units of all tasks.
    """
    with shown(label, total=total, unit=unit) as report:
        run_on_devices(task, arguments, devices, report=report, name=name)
