"""What tests hand to tasks that they call themselves, and to stages."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypedDict

from bitextmine.config import limits_of
from bitextmine.engines.devices import DevicesEngine
from bitextmine.engines.engine import Engine, Step
from bitextmine.engines.local import LocalEngine
from bitextmine.machine import Limits, Resources
from bitextmine.progress import Advance
from bitextmine.runcard import Run, opened_run


class Here(TypedDict):
    """The keywords of every task."""

    resources: Resources
    advance: Advance


def here(advance: Advance = id, *, memory: int = 1 << 30, threads: int = 1) -> Here:
    """Return what a task may use in a test: one core, a gibibyte."""
    return {"resources": Resources("cpu", threads, memory), "advance": advance}


class NotingEngine(LocalEngine):
    """Runs every step, and notes it."""

    def __init__(self, limits: Limits | None = None) -> None:
        super().__init__(limits)
        self.steps: list[Step] = []

    def run(self, step: Step) -> None:
        """Run the tasks in order."""
        self.steps.append(step)
        super().run(step)


@contextmanager
def run_over(
    root: Path, config: Any = None, *, make: bool = False, engine: Engine | None = None
) -> Iterator[Run]:
    """Open a run over a work directory, by default with the limits of a config."""
    with opened_run(root, engine or DevicesEngine(limits_of(config)), make=make) as run:
        yield run
