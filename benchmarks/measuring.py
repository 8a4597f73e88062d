"""Seconds, and the circumstances under which they were measured."""

import shlex
import sys
import time
from collections.abc import Callable, Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any, TypeVar

import numpy as np

from bitextmine.arrays import Floats
from bitextmine.machine import describe_machine

T = TypeVar("T")


def timed(compute: Callable[[], T]) -> tuple[T, float]:
    """A value and the seconds it took."""
    start = time.perf_counter()
    value = compute()
    return value, time.perf_counter() - start


def cosines(one: Floats, other: Floats) -> Floats:
    """Of corresponding rows, (n,), in float64: a cosine of 0.99999999 must not round to 1."""
    a, b = one.astype(np.float64), other.astype(np.float64)
    lengths = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    found: Floats = (a * b).sum(axis=1) / lengths
    return found


def circumstances(threads: int, packages: Sequence[str]) -> dict[str, Any]:
    """Machine, versions, date and command."""
    machine = describe_machine()
    return {
        "machine": f"{machine['cores']} x {machine['processor']}",
        "threads": threads,
        "python": machine["python"],
        "versions": {name: _version(name) for name in packages},
        "date": time.strftime("%Y-%m-%d"),
        "command": shlex.join(["python", *sys.argv]),
    }


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
