"""Token ids equal those of the libraries that the models were trained and published with."""

import io
import json
import shutil
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import sentencepiece
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
from tokenizers.processors import TemplateProcessing
from transformers import AutoTokenizer

from bitextmine.encoders.transformer.tokens import TokenIds, load_tokeniser
from bitextmine.errors import EncoderError
from bitextmine.models.t5_tokenizer import write_t5_tokenizer

# Written for this test.
TRAINING = [
    "The train was half an hour late because of the snow.",
    "Nobody knows where the key is, and nobody asks for it.",
    "How much does this book cost? It costs 12.50 or 398 crowns.",
    "Der Zug kam wegen des Schnees eine halbe Stunde zu spät.",
    "Niemand weiß, wo der Schlüssel ist, und niemand fragt danach.",
    "Le train avait une demi-heure de retard à cause de la neige.",
    "Поезд опоздал на полчаса из-за снега.",
    "Никто не знает, где лежит ключ, и никто не спрашивает.",
    "وصل القطار متأخرا نصف ساعة بسبب الثلج.",
    "火车因为下雪晚点了半个小时。",
    "雪のために列車は三十分遅れました。",
    "<0x0123456789ABCDEF> /s_</s_> <pad_> <unk_>",
]
HARD = [
    "", " ", "  the  train   was late  ", "\tkey\r\nbook\n", "\0", "a\0b", "\x01 the", "▁ key ▁▁",
    "龘龘𠮷野家 the 龘", "👩🏽\u200d💻👍🏽🇩🇪 1️⃣ ™️", "ﬁ ① ㍿ ｶﾞﾊﾟ ㄱㅏ", "שָׁלוֹם ᠮᠣᠩᠭᠣᠯ ትግርኛ",
    "x\u200bx\ufeffx\u00a0\u3000x",
    "Zug поезд 火车 القطار", "</s> the <pad> </s>", "<0x41><unk>", "e\u0301 u\u0308 \u0344",
]  # fmt: skip
END = 1


@cache
def sentencepiece_model(byte_fallback: bool) -> bytes:
    """A model with mT5's special ids and normalisation."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(TRAINING * 4),
        model_writer=model,
        vocab_size=600 if byte_fallback else 344,
        model_type="unigram",
        byte_fallback=byte_fallback,
        character_coverage=1.0,
        normalization_rule_name="nmt_nfkc",
        pad_id=0,
        eos_id=END,
        unk_id=2,
        bos_id=-1,
        hard_vocab_limit=False,
        num_threads=1,
        minloglevel=2,
    )
    return model.getvalue()


@cache
def processor(byte_fallback: bool) -> Any:
    return sentencepiece.SentencePieceProcessor(model_proto=sentencepiece_model(byte_fallback))


def slow_t5_ids(text: str, max_length: int, byte_fallback: bool) -> list[int]:
    """What transformers 4's T5Tokenizer does: text to pieces, pieces to ids, cut, end token."""
    pieces = processor(byte_fallback).encode(text, out_type=str)
    ids = [processor(byte_fallback).piece_to_id(piece) for piece in pieces]
    return [*ids[: max_length - 1], END]


def t5_folder(parent: Path, byte_fallback: bool = True) -> Path:
    folder = parent / "mT5 'klein' é"
    folder.mkdir()
    (folder / "spiece.model").write_bytes(sentencepiece_model(byte_fallback))
    (folder / "config.json").write_text('{"model_type": "mt5"}')
    return folder


@pytest.fixture(scope="module", params=[True, False], ids=["bytes", "unknown"])
def t5(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Any:
    return t5_folder(tmp_path_factory.mktemp("t5"), request.param), request.param


@pytest.fixture(scope="module")
def bert(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bert") / 'wörter "klein"'
    folder.mkdir()
    words = sorted({word for line in TRAINING for word in line.split()})
    letters = sorted({letter for line in TRAINING for letter in line})
    pieces = dict.fromkeys(["[PAD]", "[UNK]", "[CLS]", "[SEP]", *words, *letters])
    vocabulary = {piece: i for i, piece in enumerate(pieces)}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    tokenizer.save(str(folder / "tokenizer.json"))
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "pad_token": "[PAD]"}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    return folder


def as_lists(tokens: TokenIds) -> list[list[int]]:
    assert tokens.ids.dtype == np.int32 and tokens.starts.dtype == np.int64
    bounds = zip(tokens.starts[:-1], tokens.starts[1:], strict=True)
    return [tokens.ids[start:stop].tolist() for start, stop in bounds]


def encode(
    folder: Path,
    sentences: Sequence[str],
    *,
    model_type: str = "mt5",
    max_length: int = 512,
    threads: int = 1,
    **options: Any,
) -> TokenIds:
    tokeniser = load_tokeniser(
        folder, model_type=model_type, max_length=max_length, threads=threads, **options
    )
    return tokeniser.encode(sentences)


def test_t5_ids_equal_the_slow_tokenizer_on_hard_text(t5: tuple[Path, bool]) -> None:
    folder, byte_fallback = t5
    ids = as_lists(encode(folder, HARD + TRAINING))
    assert ids == [slow_t5_ids(text, 512, byte_fallback) for text in HARD + TRAINING]


def test_rare_characters_become_bytes_and_not_unknown(tmp_path: Path) -> None:
    (ids,) = as_lists(encode(t5_folder(tmp_path), ["龘"]))
    model = processor(True)
    assert [model.id_to_piece(i) for i in ids] == ["▁", "<0xE9>", "<0xBE>", "<0x98>", "</s>"]


@settings(max_examples=150, deadline=None)
@given(
    sentences=st.lists(st.one_of(st.text(max_size=30), st.sampled_from(HARD + TRAINING))),
    max_length=st.integers(2, 12),
)
def test_any_window_is_tokenised_and_cut_like_the_slow_tokenizer(
    t5: tuple[Path, bool], sentences: list[str], max_length: int
) -> None:
    folder, byte_fallback = t5
    tokens = encode(folder, sentences, max_length=max_length, threads=2)
    whole = [slow_t5_ids(text, 10**6, byte_fallback) for text in sentences]
    assert as_lists(tokens) == [slow_t5_ids(text, max_length, byte_fallback) for text in sentences]
    assert tokens.truncated == sum(len(ids) > max_length for ids in whole)
    assert tokens.lengths.tolist() == [min(len(ids), max_length) for ids in whole]
    assert len(tokens) == len(sentences)


def test_a_special_token_written_in_a_sentence_is_plain_text(tmp_path: Path) -> None:
    (ids,) = as_lists(encode(t5_folder(tmp_path), ["the </s> key"]))
    assert ids.count(END) == 1


def test_the_end_token_that_the_folder_names_is_used(tmp_path: Path) -> None:
    folder = t5_folder(tmp_path)
    config = {"eos_token": {"content": "<pad>", "__type": "AddedToken"}}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    (ids,) = as_lists(encode(folder, ["the key"]))
    assert ids[-1] == 0


def with_added(folder: Path, name: str, tokens: dict[str, int]) -> Path:
    """Write the folder's tokenizer for transformers, with added tokens said by one file."""
    write_t5_tokenizer(folder / "spiece.model", folder)
    content: Any = tokens
    if name != "added_tokens.json":
        content = json.loads((folder / name).read_text())
        flags = ("single_word", "lstrip", "rstrip", "normalized", "special")
        added = [dict.fromkeys(flags, False) | {"content": token} for token in tokens]
        if name == "tokenizer.json":
            ids = ({"id": place} for place in tokens.values())
            content["added_tokens"] += [one | at for one, at in zip(added, ids, strict=True)]
        else:
            content["added_tokens_decoder"] = dict(
                zip(map(str, tokens.values()), added, strict=True)
            )
    (folder / name).write_text(json.dumps(content))
    return folder


ADDING = ["tokenizer.json", "tokenizer_config.json", "added_tokens.json"]


@pytest.mark.parametrize("name", ADDING)
@pytest.mark.parametrize("byte_fallback", [True, False])
def test_tokens_added_to_a_t5_are_read_by_transformers(
    name: str, byte_fallback: bool, tmp_path: Path
) -> None:
    pieces = processor(byte_fallback).get_piece_size()
    folder = with_added(t5_folder(tmp_path, byte_fallback), name, {"<2cs>": pieces})
    (ids,) = as_lists(encode(folder, ["<2cs> the key 龘"]))
    assert ids == AutoTokenizer.from_pretrained(folder)("<2cs> the key 龘")["input_ids"]
    assert name == "added_tokens.json" or ids.count(pieces) == 1


def test_added_tokens_and_bytes_go_together_where_the_files_let_them(tmp_path: Path) -> None:
    pieces = processor(True).get_piece_size()
    folder = with_added(t5_folder(tmp_path), "tokenizer.json", {"<2cs>": pieces})
    (ids,) = as_lists(encode(folder, ["<2cs> 龘"]))
    spelt = [processor(True).piece_to_id(piece) for piece in ("<0xE9>", "<0xBE>", "<0x98>")]
    assert (ids.count(pieces), ids[-4:]) == (1, [*spelt, END])


@pytest.mark.parametrize("name", ADDING)
def test_added_tokens_that_turn_off_byte_fallback_are_refused(name: str, tmp_path: Path) -> None:
    pieces = processor(True).get_piece_size()
    folder = with_added(t5_folder(tmp_path), name, {"<2cs>": pieces, "zzz": pieces + 1})
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config |= {"tokenizer_class": "T5Tokenizer", "extra_ids": 0}
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(EncoderError, match=r"adds tokens \(<2cs>, zzz\).* off .* byte fallback"):
        encode(folder, ["<2cs> the key"])


def test_added_tokens_without_a_tokenizer_json_are_refused(tmp_path: Path) -> None:
    folder = t5_folder(tmp_path)
    (folder / "added_tokens.json").write_text('{"<2cs>": 10000}')
    with pytest.raises(EncoderError, match=r"adds tokens \(<2cs>\).* has no tokenizer\.json"):
        encode(folder, ["<2cs> the key"])


@pytest.mark.parametrize("name", ADDING)
@pytest.mark.parametrize(
    "tokens", [{"<extra_id_0>": 10_000, "▁<extra_id_1>": 10_001}, {"</s>": END, "the": 5}]
)
def test_sentinels_and_tokens_of_the_model_itself_change_nothing(
    name: str, tokens: dict[str, int], tmp_path: Path
) -> None:
    folder = with_added(t5_folder(tmp_path), name, tokens)
    assert as_lists(encode(folder, HARD)) == [slow_t5_ids(text, 512, True) for text in HARD]


def test_the_prompt_comes_first_and_both_are_lower_cased(tmp_path: Path) -> None:
    folder = t5_folder(tmp_path)
    prepared = encode(folder, ["The KEY ΟΔΟΣ"], prompt="Query: ", lowercase=True)
    assert as_lists(prepared) == as_lists(encode(folder, ["query: the key οδοσ"]))


@pytest.mark.parametrize("kind", ["t5", "bert"])
def test_a_lone_surrogate_counts_as_the_replacement_character(
    kind: str, bert: Path, tmp_path: Path
) -> None:
    folder, model_type = (t5_folder(tmp_path), "mt5") if kind == "t5" else (bert, "bert")
    broken = encode(folder, ["the \ud800 key", "key"], model_type=model_type)
    whole = encode(folder, ["the \ufffd key", "key"], model_type=model_type)
    assert as_lists(broken) == as_lists(whole)


@settings(max_examples=60, deadline=None)
@given(
    sentences=st.lists(st.one_of(st.text(max_size=30), st.sampled_from(HARD + TRAINING))),
    max_length=st.integers(3, 12),
)
def test_a_fast_tokenizer_gives_the_ids_of_transformers(
    bert: Path, sentences: list[str], max_length: int
) -> None:
    tokens = encode(bert, sentences, model_type="bert", max_length=max_length)
    reference = AutoTokenizer.from_pretrained(bert)
    cut, whole = (
        ([], [])
        if not sentences
        else (
            reference(sentences, truncation=True, max_length=max_length)["input_ids"],
            reference(sentences)["input_ids"],
        )
    )
    assert as_lists(tokens) == cut
    assert tokens.truncated == sum(len(ids) > max_length for ids in whole)


def test_threads_and_chunks_do_not_change_a_fast_tokenizers_ids(bert: Path) -> None:
    sentences = (HARD + TRAINING) * 40  # several chunks
    one = encode(bert, sentences, model_type="bert", max_length=8)
    two = encode(bert, sentences, model_type="bert", max_length=8, threads=2)
    assert np.array_equal(one.ids, two.ids) and np.array_equal(one.starts, two.starts)
    assert one.truncated == two.truncated > 0


def test_a_tokenizer_in_python_counts_and_cuts_like_transformers(tmp_path: Path) -> None:
    config = {"tokenizer_class": "ByT5Tokenizer", "extra_ids": 0}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "config.json").write_text('{"model_type": "t5"}')
    tokens = encode(tmp_path, ["abc", "abcd", "abcde", ""], model_type="t5", max_length=5)
    reference = AutoTokenizer.from_pretrained(tmp_path)
    cut = [reference(text, truncation=True, max_length=5)["input_ids"] for text in
           ["abc", "abcd", "abcde", ""]]  # fmt: skip
    assert as_lists(tokens) == cut
    assert tokens.truncated == 1


@pytest.mark.parametrize("model_type", ["bert", "mt5", "xlm-roberta", "modernbert"])
def test_a_folder_without_tokenizer_is_refused(model_type: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": model_type}))
    with pytest.raises(EncoderError, match="holds no tokenizer"):
        encode(tmp_path, ["key"], model_type=model_type)


@pytest.mark.parametrize("content", [b"", b"not a model", b"\n\xff\xff"])
def test_a_damaged_sentencepiece_file_is_named(content: bytes, tmp_path: Path) -> None:
    folder = t5_folder(tmp_path)
    (folder / "spiece.model").write_bytes(content)
    with pytest.raises(EncoderError, match=r"spiece\.model cannot be read"):
        encode(folder, ["key"])


@pytest.mark.parametrize("content", ["", "{", '{"model": 1}'])
def test_a_damaged_tokenizer_json_is_explained(content: str, tmp_path: Path) -> None:
    (tmp_path / "tokenizer.json").write_text(content)
    (tmp_path / "config.json").write_text('{"model_type": "xlm-roberta"}')
    with pytest.raises(EncoderError, match="cannot be loaded"):
        encode(tmp_path, ["key"], model_type="xlm-roberta")


def test_a_config_that_is_wrong_is_not_blamed_on_the_tokenizer(bert: Path, tmp_path: Path) -> None:
    folder = tmp_path / "falsch"
    shutil.copytree(bert, folder)
    (folder / "tokenizer_config.json").unlink()
    config = {"model_type": "bert", "num_hidden_layers": "two"}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(
        EncoderError, match=r"config\.json .*'num_hidden_layers' expected int"
    ) as told:
        encode(folder, ["key"], model_type="bert")
    assert "\n" not in str(told.value)
    assert told.value.hint.startswith("config.json is wrong")


def test_a_tokenizer_config_that_is_not_json_is_named(tmp_path: Path) -> None:
    folder = t5_folder(tmp_path)
    (folder / "tokenizer_config.json").write_text("{")
    with pytest.raises(EncoderError, match=r"tokenizer_config\.json is not JSON"):
        encode(folder, ["key"])


def test_a_tokenizer_that_needs_its_own_code_is_refused_without_the_flag(tmp_path: Path) -> None:
    mark = tmp_path / "ran"
    (tmp_path / "own.py").write_text(f"open({str(mark)!r}, 'w')\nclass Own: pass\n")
    config = {"tokenizer_class": "Own", "auto_map": {"AutoTokenizer": ["own.Own", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    (tmp_path / "config.json").write_text('{"model_type": "own"}')
    with pytest.raises(EncoderError, match="code of its own"):
        encode(tmp_path, ["key"], model_type="own")
    assert not mark.exists()


def test_a_length_without_room_for_a_sentence_is_refused(bert: Path) -> None:
    with pytest.raises(EncoderError, match="no room"):
        encode(bert, ["key"], model_type="bert", max_length=2)
