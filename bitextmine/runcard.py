"""The run card: everything needed to judge, repeat or explain a mining run, as JSON."""

import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bitextmine.machine import describe_machine
from bitextmine.version import __version__


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
        """Note how long a stage took in this run; next to nothing if it was resumed."""
        begun = time.monotonic()
        yield
        self.facts["seconds"][stage] = round(time.monotonic() - begun, 3)

    def warn(self, text: str) -> None:
        """Keep a warning that was shown."""
        self.facts["warnings"].append(text)

    def finished(self) -> dict[str, Any]:
        """Return all facts, with the time in all and the machine."""
        self.facts["seconds"]["total"] = round(time.monotonic() - self._begun, 3)
        return self.facts | {"machine": describe_machine()}


def card_path(out: Path) -> Path:
    """Return where the run card of an output file goes."""
    return out.with_name(f"{out.name}.run.json")
