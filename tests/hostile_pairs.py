"""Pairs that are hard to write, and what every format does with them."""

import io

from hypothesis import strategies as st

from bitextmine.config import OutputFormat
from bitextmine.shard.sentences import Origin
from bitextmine.write.destination import write_pairs
from bitextmine.write.options import OutputOptions
from bitextmine.write.records import Pair

HOSTILE = (
    'tab\there "quotes" <b>&amp;</b> 🙂 \x07 CRLF\r\n NEL\x85 LS\u2028 PS\u2029 VT\v FF\f FS\x1c.'
)
HOSTILE_ON_ONE_LINE = (
    'tab here "quotes" <b>&amp;</b> 🙂 \x07 CRLF  NEL  LS  PS  VT  FF  FS .'  # a space each
)
PAIRS = (
    Pair(1.25, 0.75, "Guten Tag.", "Good day.", Origin("a b/de.txt", 3), Origin("en.txt", 9)),
    Pair(
        1.125, 0.5, HOSTILE, "x", Origin("de\t\udcff.txt", 4, "de-4"), Origin("en.txt", 1, "en\n1")
    ),
    Pair(-1e-9, -0.25, "Größe", "size", Origin("de.txt", 1), Origin("en.txt", 2)),
)
ONE_FILE_FORMATS: tuple[OutputFormat, ...] = ("laser", "tsv", "tmx", "jsonl")


def written(options: OutputOptions, pairs: tuple[Pair, ...] = PAIRS) -> str:
    """What goes to stdout."""
    sink = io.BytesIO()
    assert write_pairs(pairs, sink, options) == len(pairs)
    return sink.getvalue().decode()


# Of what could break a line, a cell, a string of JSON or XML, there is much more than by chance.
_BREAKERS = st.sampled_from([*"\t\n\v\f\r\x1c\x1d\x1e\x1f\x85\u2028\u2029", "\r\n", "<&>", "]]>"])
_CHARACTERS = st.characters(exclude_categories=["Cs"])
_ESCAPED_BYTES = st.characters(min_codepoint=0xDC80, max_codepoint=0xDCFF)  # as in file names

texts = st.lists(_CHARACTERS | _BREAKERS, max_size=20).map("".join)
file_names = st.lists(_CHARACTERS | _BREAKERS | _ESCAPED_BYTES, max_size=20).map("".join)
origins = st.builds(
    Origin, file_names, st.integers(1, 10**12), st.none() | texts.filter(lambda key: key != "")
)
float32s = st.floats(-10, 10, width=32)
hostile_pairs = st.builds(Pair, float32s, float32s, texts, texts, origins, origins)
