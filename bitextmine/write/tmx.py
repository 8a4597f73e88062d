"""TMX 1.4, the exchange format of translation memories.

Defined in https://www.gala-global.org/tmx-14b. There is no DOCTYPE: the DTD is not public any more,
and parsers that obey one would go looking for it.
"""

import re
from xml.sax.saxutils import escape

from bitextmine.shard.sentences import Origin
from bitextmine.version import __version__
from bitextmine.write.options import OutputOptions
from bitextmine.write.records import Pair, PairFormat, decimal, one_line

# All that is no Char of XML 1.0, https://www.w3.org/TR/xml/#charsets; no escape makes it legal.
_ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def tmx_format(options: OutputOptions) -> PairFormat:
    """One ``tu`` a pair and line, with score, cosine and origins as properties."""
    src_lang, tgt_lang = _xml_lang(options.src_lang), _xml_lang(options.tgt_lang)

    def unit(pair: Pair) -> str:
        return (
            f"<tu>{_prop('score', decimal(pair.score))}{_prop('cosine', decimal(pair.cosine))}"
            f"{_variant(src_lang, pair.src, pair.src_origin)}"
            f"{_variant(tgt_lang, pair.tgt, pair.tgt_origin)}</tu>\n"
        )

    header = (
        '<?xml version="1.0" encoding="UTF-8"?>\n<tmx version="1.4">\n'
        f'<header creationtool="bitextmine" creationtoolversion="{__version__}" segtype="sentence" '
        f'o-tmf="bitextmine" adminlang="en" srclang="{src_lang}" datatype="plaintext"/>\n<body>\n'
    )
    return PairFormat(unit, header=header, footer="</body>\n</tmx>\n")


def _variant(lang: str, sentence: str, origin: Origin) -> str:
    """One side of a pair."""
    key = "" if origin.key is None else _prop("id", origin.key)
    return (
        f'<tuv xml:lang="{lang}">{_prop("file", origin.file)}{_prop("line", str(origin.line))}{key}'
        f"<seg>{_xml_text(sentence)}</seg></tuv>"
    )


def _prop(name: str, text: str) -> str:
    """A property; TMX asks for "x-" before names that it does not define itself."""
    return f'<prop type="x-{name}">{_xml_text(text)}</prop>'


def _xml_text(text: str) -> str:
    """The text as it may stand inside an XML element."""
    return escape(text if text.isprintable() else _ILLEGAL.sub("", one_line(text)))


def _xml_lang(lang: str) -> str:
    """A BCP 47 tag: "und" is its word for an unknown language, and it has no underscores."""
    return lang.replace("_", "-") or "und"
