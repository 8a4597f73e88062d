"""JSON lines: one object a pair with all that is known of it, and the text as it was read."""

import json
import re

from bitextmine.write.records import Pair, PairFormat

_encode = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
# JSON may hold these unescaped, but readers that follow Unicode would start a new line at them.
_BREAKS = re.compile("[\x7f\x85\u2028\u2029]")


def jsonl_format() -> PairFormat:
    """One object a line, in UTF-8."""
    return PairFormat(_object)


def _object(pair: Pair) -> str:
    """One pair as one line."""
    fields = {
        "score": _rounded(pair.score),
        "cosine": _rounded(pair.cosine),
        "src": pair.src,
        "tgt": pair.tgt,
        "src_id": pair.src_origin.id,
        "src_file": pair.src_origin.file,
        "src_line": pair.src_origin.line,
        "tgt_id": pair.tgt_origin.id,
        "tgt_file": pair.tgt_origin.file,
        "tgt_line": pair.tgt_origin.line,
    }
    line = _encode(fields)
    if not line.isprintable():
        line = _BREAKS.sub(lambda found: f"\\u{ord(found[0]):04x}", line)
    return line + "\n"


def _rounded(score: float) -> float:
    """The number that the other formats show; adding 0.0 turns -0.0 into 0.0."""
    return round(float(score), 6) + 0.0
