"""Two processes that do the same task at once, as happens on a cluster that lost sight of a node.

Locks of files do not reach across nodes everywhere, so here they do nothing.
"""

import fcntl
import multiprocessing
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

from here import here
from one_shard import SPEC
from toy import TOY_INFO, ToyEncoder

from bitextmine.encode import shards
from bitextmine.encoders.base import Encoded

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier

SPAWN = multiprocessing.get_context("spawn")


class SlowEncoder(ToyEncoder):
    """Takes its time over each of many small chunks."""

    info = replace(TOY_INFO, chunk_rows=5)

    def encode(self, sentences: Sequence[str]) -> Encoded:
        """Encode the sentences, and wait."""
        time.sleep(0.05)
        return super().encode(sentences)


def encode(root: Path) -> None:
    """Encode the first shard of src slowly."""
    slow = SlowEncoder()
    patch.object(shards, "shared_encoder", lambda spec, threads, device: slow).start()
    shards.encode_shard(root, "src", 0, SPEC, **here())


def _at(start: "Barrier", delay: float, task: Callable[[Path], None], root: Path) -> None:
    patch.object(fcntl, "flock", lambda *_: None).start()
    start.wait(60)
    time.sleep(delay)
    task(root)


def run_twins(task: Callable[[Path], None], root: Path, apart: float) -> list[int | None]:
    """Run a task twice, the second so many seconds after the first; return the exit codes."""
    start = SPAWN.Barrier(2)
    twins = [SPAWN.Process(target=_at, args=(start, delay, task, root)) for delay in (0, apart)]
    for twin in twins:
        twin.start()
    for twin in twins:
        twin.join(60)
    return [twin.exitcode for twin in twins]
