"""TMX: any XML parser reads it, whatever the text, and finds there what was written."""

from dataclasses import replace
from xml.etree import ElementTree

from hostile_pairs import HOSTILE, PAIRS, hostile_pairs, written
from hypothesis import given
from hypothesis import strategies as st

from bitextmine.write.options import OutputOptions
from bitextmine.write.records import Pair, one_line

XML_LANG = "{http://www.w3.org/XML/1998/namespace}lang"
SURROGATES = {chr(code) for code in range(0xD800, 0xE000)}
NO_CHARACTERS = {"\ufffe", "\uffff"}


def test_tmx_is_read_back_by_an_xml_parser() -> None:
    options = OutputOptions(format="tmx", src_lang="de", tgt_lang="eng_Latn")
    root = ElementTree.fromstring(written(options).encode())
    assert (root.tag, root.get("version")) == ("tmx", "1.4")
    header = root.find("header")
    assert header is not None
    assert header.get("srclang") == "de"
    units = root.findall("body/tu")
    assert [unit.findtext("prop[@type='x-score']") for unit in units] == [
        "1.250000", "1.125000", "0.000000",
    ]  # fmt: skip
    src, tgt = units[1].findall("tuv")
    assert (src.get(XML_LANG), tgt.get(XML_LANG)) == ("de", "eng-Latn")
    # XML 1.0 has no bell and no file separator, escaped or not.
    without_controls = HOSTILE.replace("\x07", "").replace("\x1c", " ").replace("\r\n", " ")
    assert src.findtext("seg") == without_controls.translate(
        {ord(c): " " for c in "\t\v\f\x85\u2028\u2029"}
    )
    assert src.findtext("prop[@type='x-file']") == "de .txt"
    assert src.findtext("prop[@type='x-line']") == "4"
    assert src.findtext("prop[@type='x-id']") == "de-4"
    assert units[0].find("tuv/prop[@type='x-id']") is None


def test_tmx_of_unknown_languages_says_und() -> None:
    root = ElementTree.fromstring(written(OutputOptions(format="tmx")))
    assert {variant.get(XML_LANG) for variant in root.iter("tuv")} == {"und"}


@given(src=st.text(st.characters(exclude_categories=["Cs"])))
def test_tmx_is_well_formed_whatever_the_text(src: str) -> None:
    ElementTree.fromstring(written(OutputOptions(format="tmx"), (replace(PAIRS[0], src=src),)))


def as_parsed(text: str) -> str:
    """A text on one line, without what XML has no place for: controls, surrogates, U+FFFE."""
    return "".join(c for c in one_line(text) if c >= " " and c not in SURROGATES | NO_CHARACTERS)


@given(pair=hostile_pairs)
def test_what_was_written_comes_back(pair: Pair) -> None:
    root = ElementTree.fromstring(written(OutputOptions(format="tmx"), (pair,)).encode())
    (unit,) = root.findall("body/tu")
    props = {prop.get("type"): prop.text for prop in unit.findall("prop")}
    assert props == {"x-score": f"{pair.score:z.6f}", "x-cosine": f"{pair.cosine:z.6f}"}
    sides = (pair.src, pair.src_origin), (pair.tgt, pair.tgt_origin)
    for variant, (text, origin) in zip(unit.findall("tuv"), sides, strict=True):
        assert variant.findtext("seg") == as_parsed(text)
        props = {prop.get("type"): prop.text or "" for prop in variant.findall("prop")}
        key = {} if origin.key is None else {"x-id": as_parsed(origin.key)}
        assert props == {"x-file": as_parsed(origin.file), "x-line": str(origin.line), **key}
