"""A mined pair, the table of all that is told of it, and what a format of pairs has to do."""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from bitextmine.config import FieldName
from bitextmine.files import ByteSink
from bitextmine.shard.sentences import Origin

# Every character at which some reader of lines or tab-separated columns would cut.
_BREAKS = re.compile("\r\n|[\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029]")

Value = TypeVar("Value", float, int, str)
Subject = Literal["pair", "texts", "src", "tgt"]  # what a field tells of


@dataclass(frozen=True, slots=True)
class Pair:
    """Two sentences found to be translations of each other.

    Attributes
    ----------
    score : float
        The margin; unitless.
    cosine : float
        Similarity of the two vectors, -1 to 1.
    src, tgt : str
        The sentences.
    src_origin, tgt_origin : Origin
        Where they were read.
    """

    score: float
    cosine: float
    src: str
    tgt: str
    src_origin: Origin
    tgt_origin: Origin


def one_line(text: str) -> str:
    """Replace every tab and every kind of line break by one space."""
    # No break is printable, and asking is several times faster than searching.
    return text if text.isprintable() else _BREAKS.sub(" ", text)


def decimal(score: float) -> str:
    """Show a score or a cosine with six decimals, so that numbers sort as the pairs do.

    Scores are float32, whose own precision near 1 is 1e-7; the last digits differ between devices.
    Rounding never swaps two scores, at most it makes them equal. "z" turns -0.000000 into 0.000000.
    """
    return f"{score:z.6f}"


_SHOW: dict[type, Callable[[Any], str]] = {float: decimal, int: str, str: one_line}


@dataclass(frozen=True, slots=True)
class Field(Generic[Value]):
    """One thing that is told of a pair.

    Attributes
    ----------
    about : str
        What it tells of: the pair, what was read, or where a side of it was read.
    kind : type
        float, int or str.
    value : callable
        What a pair has there.
    """

    about: Subject
    kind: type[Value]
    value: Callable[[Pair], Value]

    @property
    def show(self) -> Callable[[Any], str]:
        """What turns a value of this kind into text on one line, without tabs."""
        return _SHOW[self.kind]


AnyField = Field[float] | Field[int] | Field[str]

# All that is told of a pair, and the one place that says how: every format draws from this table.
# To add a field, name it in `config.FieldName` and describe it here, at the same place of the
# order; `Pair` gets an attribute if it cannot be told from those that there are.
FIELDS: dict[FieldName, AnyField] = {
    "score": Field("pair", float, lambda pair: pair.score),
    "src": Field("texts", str, lambda pair: pair.src),
    "tgt": Field("texts", str, lambda pair: pair.tgt),
    "cosine": Field("pair", float, lambda pair: pair.cosine),
    "src_id": Field("src", str, lambda pair: pair.src_origin.id),
    "tgt_id": Field("tgt", str, lambda pair: pair.tgt_origin.id),
    "src_file": Field("src", str, lambda pair: pair.src_origin.file),
    "src_line": Field("src", int, lambda pair: pair.src_origin.line),
    "tgt_file": Field("tgt", str, lambda pair: pair.tgt_origin.file),
    "tgt_line": Field("tgt", int, lambda pair: pair.tgt_origin.line),
}


def fields_about(subject: Subject) -> dict[FieldName, AnyField]:
    """Return the fields that tell of the pair, its texts or one side, in their order."""
    return {name: field for name, field in FIELDS.items() if field.about == subject}


class PairFormat(Protocol):
    """A way to write pairs to a file, or to several files that belong together.

    It is told nothing of names, compression or disks, and so no format can leave half a file.
    """

    @property
    def endings(self) -> Sequence[str]:
        """What each file adds to the name that the user gave; "" is a file of that very name."""
        ...

    def write(self, pairs: Iterable[Pair], sinks: Sequence[ByteSink]) -> int:
        """Write the files from their first byte to their last, and return the number of pairs.

        Parameters
        ----------
        pairs : iterable of Pair
            Best first. To be taken a few at a time, so that memory does not grow with their number.
        sinks : sequence of ByteSink
            One for each of ``endings``; they stay open.
        """
        ...


@dataclass(frozen=True)
class TextStream:
    """A file of text: what comes before the pairs, for each of them, and after them."""

    line: Callable[[Pair], str]
    header: str = ""
    footer: str = ""


@dataclass(frozen=True)
class TextFormat:
    """A format of one file of text or of several, in which line n is about the same pair.

    Attributes
    ----------
    streams : mapping
        The files by ending.
    """

    streams: Mapping[str, TextStream]

    @property
    def endings(self) -> tuple[str, ...]:
        """What each file adds to the name that the user gave."""
        return tuple(self.streams)

    def write(self, pairs: Iterable[Pair], sinks: Sequence[ByteSink]) -> int:
        """Write every pair to every file, in lockstep, and count the pairs."""
        n_pairs = 0
        streams = list(zip(sinks, self.streams.values(), strict=True))
        for sink, stream in streams:
            sink.write(_utf8(stream.header))
        outputs = [(sink.write, stream.line) for sink, stream in streams]
        for pair in pairs:
            for write, line in outputs:
                write(_utf8(line(pair)))
            n_pairs += 1
        for sink, stream in streams:
            sink.write(_utf8(stream.footer))
        return n_pairs


def _utf8(text: str) -> bytes:
    """Encode text; only a file name that is not UTF-8 holds anything to put a backslash before."""
    return text.encode("utf-8", "backslashreplace")
