"""Progress bars on stderr: only where a person watches, and only when the command asks."""

import sys
from collections.abc import Callable
from typing import Any

from tqdm import tqdm

Advance = Callable[[int], object]  # told how many more units of work are done

_bars_are_shown = False


def show_bars(shown: bool) -> None:
    """Allow progress bars in this process; a library call shows none by itself."""
    global _bars_are_shown  # one switch a process, set once by the command line
    _bars_are_shown = shown and sys.stderr.isatty()


def bar(label: str, *, total: int | None, unit: str) -> "tqdm[Any]":
    """Return a progress bar, silent unless bars are shown.

    Parameters
    ----------
    label : str
        What is being done.
    total : int or None
        Units of work in all; None if unknown.
    unit : str
        What is counted: "B" for bytes, "sentences", …
    """
    return tqdm(
        total=total,
        desc=f"{label:<12}",
        unit=unit if unit == "B" else f" {unit}",
        unit_scale=True,
        file=sys.stderr,
        disable=not _bars_are_shown,
        dynamic_ncols=True,
        leave=True,
    )
