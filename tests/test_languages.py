"""Languages are named in many ways, and recognised in text."""

import pytest

from bitextmine.encoders.base import EncoderInfo
from bitextmine.encoders.registry import encoder_infos
from bitextmine.languages import (
    LanguageGuess,
    identify_language,
    language_name,
    normalise_language,
)

GERMAN = [
    "Am Morgen regnete es in Strömen.",
    "Die Kinder warteten unter dem Dach der Haltestelle.",
    "Als der Bus endlich kam, waren alle Plätze besetzt.",
    "Niemand beschwerte sich darüber.",
] * 10
TURKISH = [
    "Sabah çok kuvvetli bir ya\u011fmur vard\u0131.",
    "Çocuklar durakta bekliyordu.",
    "Sonunda otobüs geldi ama bütün koltuklar doluydu.",
    "Hiç kimse \u015fikayet etmedi.",
] * 10


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("de", "de"),
        ("DEU", "de"),
        ("ger", "de"),
        ("zh-TW", "zh"),
        ("zho", "zh"),
        ("cmn", "zh"),
        ("zh_Hant", "zh"),
        ("eng_Latn", "en"),
        ("pt-BR", "pt"),
        ("swa", "sw"),
        ("swh_Latn", "sw"),
        ("nob", "no"),
        ("nno", "no"),
        ("nb", "no"),
        ("arb_Arab", "ar"),
        ("fil", "tl"),
        ("ekk", "et"),
        (" en ", "en"),
        ("XYZ-Latn", "xyz"),
        ("", ""),
    ],
)
def test_a_code_is_brought_to_iso_639_1(code: str, expected: str) -> None:
    assert normalise_language(code) == expected


@pytest.mark.parametrize("info", encoder_infos(), ids=lambda info: info.name)
def test_every_language_of_an_encoder_has_a_name_and_is_its_own_code(info: EncoderInfo) -> None:
    assert {code for code in info.languages if normalise_language(code) != code} == set()
    assert {code for code in info.languages if language_name(code) == code} == set()


def test_a_language_is_named_with_its_code() -> None:
    assert language_name("ces_Latn") == "Czech (cs)"
    assert language_name("xyz") == "xyz"


def test_a_clean_corpus_is_identified() -> None:
    assert identify_language(GERMAN) == LanguageGuess("de", 1.0, 40)


def test_a_mixed_corpus_has_a_small_share() -> None:
    mixed = [sentence for pair in zip(GERMAN, TURKISH, strict=True) for sentence in pair]
    guess = identify_language(mixed)
    assert guess.code in {"de", "tr"}
    assert 0.4 < guess.share < 0.6
    assert guess.sampled == 80


def test_a_large_corpus_is_sampled() -> None:
    guess = identify_language(GERMAN * 100)
    assert guess.code == "de"
    assert guess.sampled == 400


@pytest.mark.parametrize("sentences", [[], ["", "  "]])
def test_no_text_has_no_language(sentences: list[str]) -> None:
    assert identify_language(sentences) == LanguageGuess("und", 0.0, 0)
