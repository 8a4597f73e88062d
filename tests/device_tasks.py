"""Tasks for the tests of devices: at the top of a module, so that a spawned worker finds them.

Each notes what it does in a file of the folder it is given, since workers share nothing else.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from bitextmine.cli.terminal import Terminated, start
from bitextmine.engines.devices import DevicesEngine
from bitextmine.engines.engine import Step, Task
from bitextmine.errors import EncoderError
from bitextmine.machine import Limits, Resources
from bitextmine.progress import Advance

PATIENCE_S = 20.0


class NamedDevices(DevicesEngine):
    """Has the devices that it is told, whether they are there or not."""

    def __init__(self, devices: Sequence[str]) -> None:
        super().__init__(Limits(tuple(devices)))

    def usable_devices(self) -> tuple[str, ...]:
        """Return them."""
        return self._limits.devices


@dataclass(frozen=True, kw_only=True)
class WatchedStep(Step):
    """A step whose progress goes to a function."""

    watch: Advance

    @contextmanager
    def progress(self) -> Iterator[Advance]:
        """Yield the function."""
        yield self.watch


def shards_of(task: Task, folder: Path, shards: int, watch: Advance = id) -> Step:
    """Describe the task on shards of 10 units."""
    return WatchedStep(
        name="encode",
        task=task,
        arguments=[(folder, shard) for shard in range(shards)],
        on="device",
        describe=lambda arguments: f"encoding src shard {arguments[1]}",
        watch=watch,
    )


def note(folder: Path, device: str, shard: int) -> None:
    """Add a line to the log of tasks: device, process, shard."""
    with (folder / "log").open("a") as log:
        log.write(f"{device} {os.getpid()} {shard}\n")


def noted(folder: Path) -> list[list[str]]:
    """Return the fields of every line that tasks have noted."""
    log = folder / "log"
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def do(folder: Path, shard: int, *, resources: Resources, advance: Advance) -> None:
    """Do a shard of 10 units."""
    advance(4)
    note(folder, resources.device, shard)
    advance(6)


def do_slowly_on_slow(folder: Path, shard: int, *, resources: Resources, advance: Advance) -> None:
    """Do a shard; on the slow device only once the other has done five."""
    if resources.device == "cpu:slow":
        wait_until(lambda: len(noted(folder)) >= 5)
    do(folder, shard, resources=resources, advance=advance)


def die_once_on_2(folder: Path, shard: int, *, resources: Resources, advance: Advance) -> None:
    """Do a shard; the first to try shard 2 is killed half way."""
    mark = folder / "died"
    if shard == 2 and not mark.exists():
        advance(4)
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    do(folder, shard, resources=resources, advance=advance)


def die_on_1(folder: Path, shard: int, *, resources: Resources, advance: Advance) -> None:
    """Do a shard, or leave without a word."""
    if shard == 1:
        advance(4)
        os._exit(7)
    do(folder, shard, resources=resources, advance=advance)


def refuse(folder: Path, shard: int, *, resources: Resources, advance: Advance) -> None:
    """Raise what a person can mend."""
    raise EncoderError(f"»{resources.device}« is too small", hint="use a 'larger' one")


def blunder(folder: Path, shard: int, *, resources: Resources, advance: Advance) -> None:
    """Raise what is our bug."""
    raise KeyError("no such tensor")


def warn(folder: Path, shard: int, *, resources: Resources, advance: Advance) -> None:
    """Say something at two levels."""
    log = logging.getLogger("bitextmine.encode.shards")
    log.info("nobody asked for this")
    log.warning("%d sentences were cut", 3)


def talk(folder: Path, shard: int, *, resources: Resources, advance: Advance) -> None:
    """Print, as libraries do."""
    print("loading weights")


def note_torch(folder: Path, shard: int, *, resources: Resources, advance: Advance) -> None:
    """Note whether torch came with the task."""
    (folder / f"torch {shard}").write_text(str("torch" in sys.modules))


def note_resources(folder: Path, shard: int, *, resources: Resources, advance: Advance) -> None:
    """Note what the task may use."""
    (folder / f"resources {shard}").write_text(repr(resources))


def wait_for_ever(folder: Path, shard: int, *, resources: Resources, advance: Advance) -> None:
    """Note the start, then never end."""
    note(folder, resources.device, shard)
    time.sleep(1000)


def wait_stubbornly(folder: Path, shard: int, *, resources: Resources, advance: Advance) -> None:
    """Never end, not even when told to."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wait_for_ever(folder, shard, resources=resources, advance=advance)


def wait_until(true: Callable[[], bool], patience_s: float = PATIENCE_S) -> None:
    """Look again and again; raises AssertionError when it takes too long."""
    deadline = time.monotonic() + patience_s
    while not true():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def main() -> None:
    """Run the task named first in the folder named second, as a command does: the parent."""
    start(quiet=False, verbose=False)
    signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in a shell's background
    task, folder = globals()[sys.argv[1]], Path(sys.argv[2])
    (folder / "parent").write_text(str(os.getpid()))
    try:
        NamedDevices(("cpu", "cpu")).run(shards_of(task, folder, 4))
    except KeyboardInterrupt:
        sys.exit(130)
    except Terminated as signalled:
        sys.exit(signalled.exit_code)
