"""The machine that a run has: its cores, memory and versions."""

import os
import platform
import resource
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("torch", "numpy", "transformers", "peft", "click", "zstandard", "sentencepiece")


def usable_threads(asked: int) -> int:
    """Return the number of threads to use: what was asked for, or every core of this job."""
    return asked or len(os.sched_getaffinity(0))


def allow_open_files() -> None:
    """Let this process open as many files as it may: a side has up to some thousand shards."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def describe_machine() -> dict[str, Any]:
    """Tell what hardware and which versions computed a result."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": usable_threads(0),
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
