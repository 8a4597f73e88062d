"""TMX 1.4, the exchange format of translation memories.

Defined in https://www.gala-global.org/tmx-14b. There is no DOCTYPE: the DTD is not public any more,
and parsers that obey one would go looking for it.
"""

import re
from collections.abc import Callable
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from bitextmine.version import __version__
from bitextmine.workdir import Side
from bitextmine.write.options import OutputOptions
from bitextmine.write.records import (
    FIELDS,
    Pair,
    Subject,
    TextFormat,
    TextStream,
    fields_about,
    one_line,
)

# All that is no Char of XML 1.0, https://www.w3.org/TR/xml/#charsets; no escape makes it legal.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


class _Slot(NamedTuple):
    """Markup with a gap, %s, and what fills it."""

    markup: str
    show: Callable[[Any], str]
    value: Callable[[Pair], Any]


def tmx_format(options: OutputOptions) -> TextFormat:
    """One ``tu`` a pair and line, with score, cosine and origins as properties."""
    src_lang, tgt_lang = _xml_lang(options.src_lang), _xml_lang(options.tgt_lang)
    src_key = _Slot("%s", _key, lambda pair: pair.src_origin.key)
    tgt_key = _Slot("%s", _key, lambda pair: pair.tgt_origin.key)
    unit = [
        "<tu>",
        *_props("pair"),
        *_variant("src", src_lang, src_key),
        *_variant("tgt", tgt_lang, tgt_key),
        "</tu>\n",
    ]
    slots = [part for part in unit if isinstance(part, _Slot)]
    template = "".join([part.markup if isinstance(part, _Slot) else part for part in unit])

    def line(pair: Pair) -> str:
        return template % tuple([show(value(pair)) for _, show, value in slots])

    header = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<tmx version="1.4">\n'
        f'<header creationtool="bitextmine" creationtoolversion="{__version__}" segtype="sentence" '
        f'o-tmf="bitextmine" adminlang="en" srclang="{src_lang}" datatype="plaintext"/>\n<body>\n'
    )
    return TextFormat({"": TextStream(line, header=header, footer="</body>\n</tmx>\n")})


def _variant(side: Side, lang: str, key: _Slot) -> list[str | _Slot]:
    """One side of a pair."""
    seg = _Slot("<seg>%s</seg>", _xml_text, FIELDS[side].value)
    return [f'<tuv xml:lang="{lang}">', *_props(side), key, seg, "</tuv>"]


def _props(subject: Subject) -> list[_Slot]:
    """All that is told of a pair or of where a side was read, but for the id, which is `_key`'s."""
    return [
        _Slot(
            _prop(name.removeprefix(f"{subject}_"), "%s"),
            _xml_text if field.kind is str else field.show,
            field.value,
        )
        for name, field in fields_about(subject).items()
        if name not in ("src_id", "tgt_id")
    ]


def _key(key: str | None) -> str:
    """The user's own id of a sentence, if it has one."""
    return "" if key is None else _prop("id", _xml_text(key))


def _prop(name: str, content: str) -> str:
    """A property; TMX asks for "x-" before names that it does not define itself."""
    return f'<prop type="x-{name}">{content}</prop>'


def _xml_text(text: str) -> str:
    """The text as it may stand inside an XML element."""
    legal = text if text.isprintable() else _ILLEGAL.sub("", one_line(text))
    # Most text needs no escapes, and to look for them is much faster than to replace them.
    return escape(legal) if "&" in legal or "<" in legal or ">" in legal else legal


def _xml_lang(lang: str) -> str:
    """A BCP 47 tag: "und" is its word for an unknown language, and it has no underscores."""
    return lang.replace("_", "-") or "und"
