"""What tests hand to tasks that they call themselves, and to stages."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from bitextmine.config import limits_of
from bitextmine.engines.devices import DevicesEngine
from bitextmine.machine import Resources
from bitextmine.progress import Advance
from bitextmine.runcard import Run, opened_run


class Here(TypedDict):
    """The keywords of every task."""

    resources: Resources
    advance: Advance


def here(advance: Advance = id, *, memory: int = 1 << 30, threads: int = 1) -> Here:
    """Return what a task may use in a test: one core, a gibibyte."""
    return {"resources": Resources("cpu", threads, memory), "advance": advance}


@contextmanager
def run_over(root: Path, config: Any = None, *, make: bool = False) -> Iterator[Run]:
    """Open a run over a work directory, with the limits of a config."""
    with opened_run(root, DevicesEngine(limits_of(config)), make=make) as run:
        yield run
