"""A mined pair with everything a writer may tell about it, and its parts as text."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from bitextmine.shard.sentences import Origin

# Every character at which some reader of lines or tab-separated columns would cut.
_BREAKS = re.compile("\r\n|[\t\n\v\f\r\x1c\x1d\x1e\x85\u2028\u2029]")


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


@dataclass(frozen=True)
class PairFormat:
    """One output stream: what comes before the pairs, for each of them, and after them."""

    line: Callable[[Pair], str]
    header: str = ""
    footer: str = ""


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
