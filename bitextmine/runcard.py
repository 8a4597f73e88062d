"""The run card: everything needed to judge, repeat or explain a mining run, as JSON."""

import os
import platform
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from bitextmine.version import __version__

_PACKAGES = ("torch", "numpy", "transformers", "peft", "click", "zstandard", "sentencepiece")


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


def describe_machine() -> dict[str, Any]:
    """Tell what hardware and which versions computed a result."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def card_path(out: Path) -> Path:
    """Return where the run card of an output file goes."""
    return out.with_name(f"{out.name}.run.json")
