"""The benchmark's encoding of both sides, and its averages over languages."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from tatoeba import evaluate_tatoeba, macro_average
from toy import ToyEncoder

from bitextmine.encoders.base import Encoded
from bitextmine.errors import EncoderError
from bitextmine.evaluation.tatoeba import Accuracy


def test_languages_count_the_same_in_a_macro_average() -> None:
    assert macro_average([Accuracy(90, 80), Accuracy(50, 100)]) == Accuracy(70, 90)


def test_an_encoder_that_gives_the_same_for_both_is_always_right(tmp_path: Path) -> None:
    for side in ("deu", "eng"):
        text = "the bridge is closed\nyes\nno rain today\n"
        (tmp_path / f"tatoeba.deu-eng.{side}").write_text(text, "utf-8")
    assert evaluate_tatoeba(ToyEncoder(), tmp_path, "deu") == Accuracy(100, 100)


def test_vectors_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    class Broken(ToyEncoder):
        def encode(self, sentences: Sequence[str]) -> Encoded:
            return Encoded(np.full((2, 3), np.nan, dtype=np.float32))

    for side in ("deu", "eng"):
        (tmp_path / f"tatoeba.deu-eng.{side}").write_text("Ja.\n", "utf-8")
    with pytest.raises(EncoderError, match="not finite"):
        evaluate_tatoeba(Broken(), tmp_path, "deu")
