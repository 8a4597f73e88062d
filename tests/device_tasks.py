"""Tasks for the tests of devices: at the top of a module, so that a spawned worker finds them.

Each notes what it does in a file of the folder it is given, since workers share nothing else.
"""

import logging
import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path

from bitextmine.cli.terminal import Terminated, start
from bitextmine.engines.devices import run_on_devices
from bitextmine.errors import EncoderError
from bitextmine.progress import Advance

PATIENCE_S = 20.0


def note(folder: Path, device: str, shard: int) -> None:
    """Add a line to the log of tasks: device, process, shard."""
    with (folder / "log").open("a") as log:
        log.write(f"{device} {os.getpid()} {shard}\n")


def noted(folder: Path) -> list[list[str]]:
    """Return the fields of every line that tasks have noted."""
    log = folder / "log"
    return [line.split() for line in log.read_text().splitlines()] if log.exists() else []


def do(folder: Path, shard: int, *, device: str, report: Advance) -> None:
    """Do a shard of 10 units."""
    report(4)
    note(folder, device, shard)
    report(6)


def do_slowly_on_slow(folder: Path, shard: int, *, device: str, report: Advance) -> None:
    """Do a shard; on the slow device only once the other has done five."""
    if device == "cpu:slow":
        wait_until(lambda: len(noted(folder)) >= 5)
    do(folder, shard, device=device, report=report)


def die_once_on_2(folder: Path, shard: int, *, device: str, report: Advance) -> None:
    """Do a shard; the first to try shard 2 is killed half way."""
    mark = folder / "died"
    if shard == 2 and not mark.exists():
        report(4)
        mark.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    do(folder, shard, device=device, report=report)


def die_on_1(folder: Path, shard: int, *, device: str, report: Advance) -> None:
    """Do a shard, or leave without a word."""
    if shard == 1:
        report(4)
        os._exit(7)
    do(folder, shard, device=device, report=report)


def refuse(folder: Path, shard: int, *, device: str, report: Advance) -> None:
    """Raise what a person can mend."""
    raise EncoderError(f"»{device}« is too small", hint="use a 'larger' one")


def blunder(folder: Path, shard: int, *, device: str, report: Advance) -> None:
    """Raise what is our bug."""
    raise KeyError("no such tensor")


def warn(folder: Path, shard: int, *, device: str, report: Advance) -> None:
    """Say something at two levels."""
    log = logging.getLogger("bitextmine.encode.shards")
    log.info("nobody asked for this")
    log.warning("%d sentences were cut", 3)


def talk(folder: Path, shard: int, *, device: str, report: Advance) -> None:
    """Print, as libraries do."""
    print("loading weights")


def note_torch(folder: Path, shard: int, *, device: str, report: Advance) -> None:
    """Note whether torch came with the task."""
    (folder / f"torch {shard}").write_text(str("torch" in sys.modules))


def wait_for_ever(folder: Path, shard: int, *, device: str, report: Advance) -> None:
    """Note the start, then never end."""
    note(folder, device, shard)
    time.sleep(1000)


def wait_stubbornly(folder: Path, shard: int, *, device: str, report: Advance) -> None:
    """Never end, not even when told to."""
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    wait_for_ever(folder, shard, device=device, report=report)


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
        run_on_devices(
            task,
            [(folder, shard) for shard in range(4)],
            ("cpu", "cpu"),
            report=lambda units: None,
            name=lambda arguments: f"src shard {arguments[1]}",
        )
    except KeyboardInterrupt:
        sys.exit(130)
    except Terminated as signalled:
        sys.exit(signalled.exit_code)
