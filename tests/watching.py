"""A terminal that somebody watches, for tests of what is shown there."""

import io
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bitextmine import progress


class Terminal(io.StringIO):
    """Keeps what a person would see."""

    def isatty(self) -> bool:
        return True

    def last(self) -> str:
        """Return the bar as it was drawn last."""
        return self.getvalue().rstrip().rpartition("\r")[2]


@contextmanager
def watched(*, by_command: bool = True) -> Iterator[Terminal]:
    """Let stderr be a terminal while the block runs, where a command asks for bars."""
    terminal = Terminal()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "stderr", terminal)
        patch.setattr(progress, "_bars_are_shown", False)
        if by_command:
            progress.show_bars(True)
        yield terminal
