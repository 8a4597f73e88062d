"""The written tokenizer gives transformers and sentence-transformers the SentencePiece ids."""

import importlib
import io
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import sentencepiece
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from transformers import AutoTokenizer

from bitextmine.encoders.transformer.tokens import load_tokeniser
from bitextmine.errors import EncoderError
from bitextmine.models.t5_tokenizer import write_t5_tokenizer

# Written for this test.
TRAINING = [
    "The train was half an hour late because of the snow.",
    "Nobody knows where the key is, and nobody asks for it.",
    "How much does this book cost? It costs 12.50 or 398 crowns.",
    "Der Zug kam wegen des Schnees eine halbe Stunde zu spät.",
    "Le train avait une demi-heure de retard à cause de la neige.",
    "Поезд опоздал на полчаса из-за снега.",
    "وصل القطار متأخرا نصف ساعة بسبب الثلج.",
    "火车因为下雪晚点了半个小时。",
    "雪のために列車は三十分遅れました。",
    "<0x0123456789ABCDEF> /s_</s_> <pad_> <unk_>",
]
HARD = [
    "", " ", "  the  train   was late  ", "\tkey\r\nbook\n", "\0", "a\0b", "\x01 the", "▁ key ▁▁",
    "龘龘𠮷野家 the 龘", "👩🏽\u200d💻👍🏽🇩🇪 1️⃣ ™️", "ﬁ ① ㍿ ｶﾞﾊﾟ ㄱㅏ", "שָׁלוֹם ᠮᠣᠩᠭᠣᠯ ትግርኛ",
    "x\u200bx\ufeffx\u00a0\u3000x",
    "Zug поезд 火车 القطار", "</s> the <pad> </s>", "<0x41><unk>", "e\u0301 u\u0308 \u00a0\u0301",
]  # fmt: skip


@cache
def sentencepiece_model(byte_fallback: bool, model_type: str = "unigram") -> bytes:
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TRAINING * 4),
        model_writer=model,
        vocab_size=600 if byte_fallback else 344,
        model_type=model_type,
        byte_fallback=byte_fallback,
        character_coverage=1.0,
        normalization_rule_name="nmt_nfkc",
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


@pytest.fixture(scope="module", params=[True, False], ids=["bytes", "unknown"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    parent = tmp_path_factory.mktemp("written")
    spiece = parent / "base.model"
    spiece.write_bytes(sentencepiece_model(request.param))
    out = parent / "m-ST5 'fertig' é"
    out.mkdir()
    (out / "config.json").write_text('{"model_type": "mt5"}')
    write_t5_tokenizer(spiece, out)
    return out


def our_ids(folder: Path, sentences: list[str], max_length: int = 512) -> list[list[int]]:
    tokeniser = load_tokeniser(folder, model_type="mt5", max_length=max_length, threads=1)
    tokens = tokeniser.encode(sentences)
    bounds = zip(tokens.starts[:-1], tokens.starts[1:], strict=True)
    return [tokens.ids[start:stop].tolist() for start, stop in bounds]


@cache
def auto_tokenizer(folder: Path) -> Any:
    return AutoTokenizer.from_pretrained(folder)


def test_transformers_gives_our_ids_on_hard_text(folder: Path) -> None:
    sentences = HARD + TRAINING
    assert auto_tokenizer(folder)(sentences)["input_ids"] == our_ids(folder, sentences)


def test_the_loader_of_sentence_transformers_gives_our_ids(folder: Path) -> None:
    transformers: Any = importlib.import_module("transformers")
    processor = transformers.AutoProcessor.from_pretrained(folder, model_max_length=9)
    ids = processor(HARD, truncation=True)["input_ids"]
    assert ids == our_ids(folder, HARD, max_length=9)


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40))
def test_transformers_gives_our_ids_for_any_text_without_odd_marks(folder: Path, text: str) -> None:
    # Where the library's table and Unicode compose marks differently, ids may differ.
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    normalised = auto_tokenizer(folder).backend_tokenizer.normalizer.normalize_str(text)
    assume(normalised == processor.normalize(text))
    assert auto_tokenizer(folder)(text)["input_ids"] == our_ids(folder, [text])[0]


def test_special_ids_are_those_of_the_model(folder: Path) -> None:
    tokenizer = auto_tokenizer(folder)
    ids = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
    assert ids == (0, 1, 2)


def test_the_vocabulary_keeps_its_size(folder: Path) -> None:
    processor = sentencepiece.SentencePieceProcessor(model_file=str(folder / "spiece.model"))
    assert len(auto_tokenizer(folder)) == len(processor)


def test_decoding_gives_the_text_back(folder: Path) -> None:
    tokenizer = auto_tokenizer(folder)
    ids = tokenizer("the key  поезд")["input_ids"]
    assert tokenizer.decode(ids, skip_special_tokens=True) == "the key поезд"


def test_the_sentencepiece_file_is_kept_as_it_is(folder: Path) -> None:
    content = (folder / "spiece.model").read_bytes()
    assert content in (sentencepiece_model(True), sentencepiece_model(False))


def test_a_model_that_is_not_unigram_is_refused(tmp_path: Path) -> None:
    spiece = tmp_path / "bpe.model"
    spiece.write_bytes(sentencepiece_model(True, "bpe"))
    with pytest.raises(EncoderError, match="not a SentencePiece model of T5's kind"):
        write_t5_tokenizer(spiece, tmp_path)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "spiece.model").write_bytes(b"nothing of the kind")
    with pytest.raises(EncoderError, match="cannot be read"):
        write_t5_tokenizer(tmp_path / "spiece.model", tmp_path)
