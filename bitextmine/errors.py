"""Everything that can go wrong for a reason outside this program, told in two lines."""

from functools import partial
from typing import Any


class BitextmineError(Exception):
    """A failure that we can explain: what is wrong, and what to do about it.

    Parameters
    ----------
    problem : str
        One line: the cause, with the file, line or value concerned.
    hint : str
        One line: what the user can do next.
    """

    def __init__(self, problem: str, *, hint: str) -> None:
        super().__init__(problem)
        self.hint = hint

    def __reduce__(self) -> tuple[Any, ...]:
        """Survive the way from a worker process: pickle would call the class without a hint."""
        return partial(type(self), hint=self.hint), self.args, self.__dict__


class UsageError(BitextmineError):
    """The request contradicts itself or asks for what does not exist; nothing was written."""


class InputError(BitextmineError):
    """An input cannot be read as what it claims to be."""


class OutputError(BitextmineError):
    """A result cannot be written where it should go."""


class WorkdirError(BitextmineError):
    """A work directory belongs to another run, another version or another process."""


class EncoderError(BitextmineError):
    """An encoder is unknown, not installed, or gave vectors nobody can use."""
