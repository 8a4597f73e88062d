"""JSON lines: one object a pair with all that is known of it, and the text as it was read."""

import json
import re
from collections.abc import Callable
from math import isfinite
from typing import Any, get_args

from bitextmine.write.records import Pair, Subject, TextFormat, TextStream, fields_about

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
# JSON may hold these unescaped, but readers that follow Unicode would start a new line at them.
_BREAKS = re.compile("[\x7f\x85\u2028\u2029]")


def jsonl_format() -> TextFormat:
    """One object a line, in UTF-8: first what tells of the pair, then its texts, then each side."""
    fields = [item for subject in get_args(Subject) for item in fields_about(subject).items()]
    template = "{" + ", ".join([f'"{name}": %s' for name, _ in fields]) + "}"
    cells = [(_ENCODE[field.kind], field.value) for _, field in fields]

    def line(pair: Pair) -> str:
        text = template % tuple([encode(value(pair)) for encode, value in cells])
        return (text if text.isprintable() else _BREAKS.sub(_escape, text)) + "\n"

    return TextFormat({"": TextStream(line)})


def _escape(found: re.Match[str]) -> str:
    return f"\\u{ord(found[0]):04x}"


def _encode_decimal(score: float) -> str:
    """The number that the other formats show; adding 0.0 turns -0.0 into 0.0."""
    rounded = round(float(score), 6) + 0.0
    return repr(rounded) if isfinite(rounded) else _encode(rounded)  # which refuses it


_ENCODE: dict[type, Callable[[Any], str]] = {float: _encode_decimal, int: str, str: _encode}
