"""A run, and its card: everything needed to judge, repeat or explain a mining run, as JSON."""

import logging
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bitextmine.engines.engine import Engine
from bitextmine.files import Scratch, read_json
from bitextmine.machine import describe_machine
from bitextmine.version import __version__
from bitextmine.workdir import Workdir, opened_workdir

LOG = logging.getLogger(__name__)


@dataclass
class RunCard:
    """Collects the facts of a run as they become known.

    Attributes
    ----------
    facts : dict
        What will be written; plain JSON values.
    """

    facts: dict[str, Any] = field(default_factory=dict)
    _begun: float = field(default_factory=time.monotonic)

    def __post_init__(self) -> None:
        self.facts |= {
            "bitextmine": __version__,
            "command": shlex.join(sys.argv),
            "started": datetime.now(UTC).isoformat(timespec="seconds"),
            "seconds": {},
            "warnings": [],
        }

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Note how long a stage took."""
        begun = time.monotonic()
        yield
        self.facts["seconds"][stage] = round(time.monotonic() - begun, 3)

    @contextmanager
    def finishing(self, workdir: Workdir, stage: str) -> Iterator[None]:
        """Time a stage, mark it as finished, and take over what the run noted that finished it."""
        with self.timed(stage):
            yield
        seconds, warnings = self.facts["seconds"][stage], self.facts["warnings"]
        workdir.finish(stage, {"seconds": seconds, "warnings": warnings})
        self.recall(workdir, stage)

    def recall(self, workdir: Workdir, stage: str) -> None:
        """Take over the seconds and warnings of a stage that an earlier run finished."""
        noted = read_json(workdir.done(stage))
        self.facts["seconds"][stage] = noted["seconds"]
        warnings = self.facts["warnings"]
        warnings += [text for text in noted["warnings"] if text not in warnings]

    def show(self, warning: str) -> None:
        """Show a warning now, and keep it."""
        LOG.warning(warning)
        self.facts["warnings"].append(warning)

    def finished(self) -> dict[str, Any]:
        """Return all facts, with the time in all and the machine."""
        self.facts["seconds"]["total"] = round(time.monotonic() - self._begun, 3)
        return self.facts | {"machine": describe_machine()}


def card_path(out: Path) -> Path:
    """Return where the run card of an output file goes."""
    return out.with_name(f"{out.name}.run.json")


@dataclass(frozen=True)
class Run:
    """What every stage is handed.

    Attributes
    ----------
    workdir : Workdir
        Where everything is kept, locked for this run.
    engine : Engine
        Runs the tasks.
    card : RunCard
        Takes the facts.
    scratch : Scratch
        Room on the disk of the work directory, until the run ends.
    """

    workdir: Workdir
    engine: Engine
    card: RunCard
    scratch: Scratch


@contextmanager
def opened_run(
    root: Path | None, engine: Engine, *, make: bool = False, card: RunCard | None = None
) -> Iterator[Run]:
    """Yield a run over a work directory: the user's, or a private one that is removed at the end.

    Parameters
    ----------
    root : Path or None
        None for a private one.
    engine : Engine
        What runs the tasks.
    make : bool
        Whether the user's may be made if there is none.
    card : RunCard, optional
        A new one by default.

    Raises
    ------
    WorkdirError
        It does not exist, is something else, or is in use.
    """
    with (
        opened_workdir(root, make=make) as workdir,
        Scratch(workdir.root) as scratch,
    ):
        yield Run(workdir, engine, card or RunCard(), scratch)
