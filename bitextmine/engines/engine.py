"""What an engine is: something that runs the tasks of a step, wherever it has workers.

A stage describes its work as steps and hands them to the engine it was given; it never knows
whether tasks run one after another in this process, on several devices, or on other machines.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

from bitextmine.machine import Hardware, Resources
from bitextmine.progress import Advance, bar

Task: TypeAlias = Callable[..., None]  # task(*arguments, resources=Resources, advance=Advance)
Arguments: TypeAlias = tuple[Any, ...]
Where: TypeAlias = Literal["device", "cpu"]


def _its_name(arguments: Arguments) -> str:
    return " ".join(map(str, arguments[1:3]))


@dataclass(frozen=True, kw_only=True)
class Step:
    """Tasks of one kind, none of which needs another one's result.

    Attributes
    ----------
    name : str
        What the step does: "split", "encode", "search".
    task : callable
        A function of a module, importable by name, called as
        ``task(*arguments, resources=..., advance=...)``. Idempotent: it does nothing when its
        result is on disk. Two processes that do the same task at once do no harm.
    arguments : sequence of tuple
        One a task; paths and settings, which can be pickled.
    units : sequence of int
        How much work each task is; their sum is the length of the bar. Empty if unknown.
    on : "device" or "cpu"
        A task on a device has it to itself, and a share of the machine; one on the CPU has the
        whole machine.
    label, unit : str
        What the bar says; no bar without a label.
    describe : callable
        Says what a task does, for messages: "encoding src shard 3".
    """

    name: str
    task: Task
    arguments: Sequence[Arguments]
    units: Sequence[int] = ()
    on: Where = "cpu"
    label: str = ""
    unit: str = ""
    describe: Callable[[Arguments], str] = _its_name

    @contextmanager
    def progress(self) -> Iterator[Advance]:
        """Show a bar while the block runs, if the step has a label; yields what moves it."""
        if not self.label:
            yield lambda units: None
            return
        with bar(self.label, total=sum(self.units) or None, unit=self.unit) as moving:
            yield moving.update


class Engine(Hardware, Protocol):
    """Runs steps; its workers may be anywhere, and its devices are theirs, one a task at once."""

    def run(self, step: Step) -> None:
        """Run all tasks of a step, and return when all are done.

        Raises
        ------
        BitextmineError
            Whatever a task raised, wherever it ran; or a worker died again and again.
        """
        ...

    def resources(self, on: Where) -> Resources:
        """Return what a task may use where it will run; on the weakest worker, if they differ."""
        ...
