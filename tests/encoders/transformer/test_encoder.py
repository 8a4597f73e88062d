"""Vectors equal those of sentence-transformers, in order, however the work is cut up."""

import gc
import itertools
import json
import shutil
import threading
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models
import torch
from small_models import library
from tiny_t5 import SHAPES, adapted, save_base

from bitextmine.arrays import Floats
from bitextmine.config import EncoderOptions
from bitextmine.encoders.base import Encoder, StreamingEncoder
from bitextmine.encoders.spec import load_spec, resolve_spec
from bitextmine.encoders.transformer.encoder import TransformerEncoder, chunk_rows
from bitextmine.machine import Limits
from bitextmine.models.pull import pull

BASES = {
    "bert": small_models.bert,
    "xlm_roberta": small_models.xlm_roberta,
    "modernbert": small_models.modernbert,
    "mt5": small_models.mt5,
}
LAYOUTS: dict[str, Callable[[Path, Path], Path]] = {
    "plain_mean": small_models.plain_mean,
    "labse": small_models.labse,
    "e5": small_models.e5,
    "bge_m3": small_models.bge_m3,
}
SENTENCES = [*small_models.SENTENCES, "A bridge. " * 40, "🎉 ŁÓDŹ", "x", "", "Yes."]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("Modelle, 'klein' \"é\"")
    return cache(lambda name: BASES[name](root / name))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "Ein Netz 'für' \"Sätze\""


def load(folder: Path, *, threads: int = 2, **options: Any) -> Encoder:
    """Load as the stage encode does."""
    spec = resolve_spec(str(folder), EncoderOptions(**options), Limits(("cpu",)))
    return load_spec(spec, threads=threads, device="cpu")


def theirs(folder: Path, sentences: Sequence[str] = SENTENCES, **how: Any) -> Floats:
    model = library("sentence_transformers").SentenceTransformer(str(folder), device="cpu")
    return np.asarray(model.encode(list(sentences), **how), dtype=np.float32)


def cosines(ours: Floats, theirs: Floats) -> Floats:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    found: Floats = (ours * theirs).sum(axis=1) / lengths
    return found


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", BASES)
def test_vectors_equal_those_of_sentence_transformers(
    base: Callable[[str], Path], folder: Path, name: str, layout: str
) -> None:
    LAYOUTS[layout](base(name), folder)
    ours, expected = load(folder).encode(SENTENCES), theirs(folder)
    assert ours.embeddings.dtype == np.float32
    assert cosines(ours.embeddings, expected).min() >= 0.99999
    assert ours.embeddings == pytest.approx(expected, rel=1e-4, abs=1e-5)
    assert ours.truncated == 1


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("include", [True, False])
def test_prompts_are_those_of_sentence_transformers(
    base: Callable[[str], Path], folder: Path, name: str, include: bool
) -> None:
    small_models.e5(base(name), folder, include_prompt=include, query="query: ", other="Most je ")
    assert cosines(load(folder).encode(SENTENCES).embeddings, theirs(folder)).min() >= 0.99999
    for prompt in ("Most je ", ""):
        ours = load(folder, prompt=prompt).encode(SENTENCES).embeddings
        assert cosines(ours, theirs(folder, prompt=prompt)).min() >= 0.99999


@pytest.fixture(scope="module", params=["xlm_roberta", "mt5", "modernbert"])
def e5(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("e5 'é'")
    return small_models.e5(BASES[request.param](root / "base"), root / "e5", query="query: ")


MANY = [" ".join(pair) for pair in itertools.permutations(small_models.SENTENCES, 2)] + SENTENCES


def windows(size: int) -> Iterator[list[str]]:
    return (MANY[at : at + size] for at in range(0, len(MANY), size))


@pytest.fixture(scope="module")
def whole(e5: Path) -> Floats:
    return load(e5, threads=1).encode(MANY).embeddings


@pytest.mark.parametrize("threads", [1, 2])
@pytest.mark.parametrize("size", [1, 7, 1000])
def test_windows_and_threads_do_not_change_what_is_stored(
    e5: Path, whole: Floats, size: int, threads: int
) -> None:
    """In float16, to the bit, where a batch always has the same shape.

    ModernBERT is computed by transformers in batches of varying shapes, whose rounding differs.
    """
    encoder = load(e5, threads=threads)
    assert isinstance(encoder, StreamingEncoder)
    stream = [encoded.embeddings for encoded in encoder.encode_stream(windows(size))]
    assert [len(part) for part in stream] == [len(window) for window in windows(size)]
    found = np.concatenate(stream)
    if "modernbert" in json.loads((e5 / "config.json").read_text())["model_type"]:
        assert found == pytest.approx(whole, abs=1e-5)
    else:
        assert np.array_equal(found.view(np.uint32), whole.view(np.uint32))


def test_vectors_do_not_depend_on_the_tokens_of_a_batch_beyond_rounding(
    e5: Path, whole: Floats
) -> None:
    small = load(e5, batch_tokens=20).encode(MANY).embeddings
    assert cosines(small, whole).min() >= 0.999999


def test_a_sentence_gets_the_same_vector_wherever_it_stands(e5: Path) -> None:
    vectors = load(e5).encode(["Yes.", *MANY, "Yes."]).embeddings
    assert vectors[0] == pytest.approx(vectors[-1], abs=1e-6)


def test_cut_sentences_are_counted_window_by_window(e5: Path) -> None:
    encoder = load(e5, prompt="", max_length=12)
    assert isinstance(encoder, StreamingEncoder)
    long, short = small_models.SENTENCES[1], "x"
    stream = encoder.encode_stream([[long, short], [short], [long, long]])
    assert [encoded.truncated for encoded in stream] == [1, 0, 2]


def test_an_empty_window_and_an_empty_stream_give_nothing(e5: Path) -> None:
    encoder = load(e5)
    assert isinstance(encoder, StreamingEncoder)
    assert encoder.encode([]).embeddings.shape == (0, encoder.info.dim)
    shapes = [part.embeddings.shape for part in encoder.encode_stream([[], ["x"], []])]
    assert shapes == [(rows, encoder.info.dim) for rows in (0, 1, 0)]
    assert list(encoder.encode_stream([])) == []


def slowed(encoder: Encoder, computed: list[int]) -> StreamingEncoder:
    """Make the backbone of an encoder wait a little, and count its batches."""
    assert isinstance(encoder, TransformerEncoder)
    network: Any = encoder._runner._network
    backbone = network._backbone

    class Slow:
        dim, static = backbone.dim, backbone.static

        def __call__(self, *batch: Any) -> Any:
            computed.append(1)
            threading.Event().wait(0.02)
            return backbone(*batch)

    network._backbone = Slow()
    return encoder


@pytest.mark.parametrize("end", ["closed", "interrupted"])
def test_a_stream_that_ends_early_leaves_no_work_behind(e5: Path, end: str) -> None:
    computed: list[int] = []
    encoder = slowed(load(e5, threads=1, batch_tokens=64), computed)
    stream = encoder.encode_stream(windows(40))
    next(stream)
    if end == "closed":
        stream.close()
    else:
        with pytest.raises(KeyboardInterrupt):
            stream.throw(KeyboardInterrupt)
    begun = len(computed)
    encoder.encode(["x"])  # comes after all that is still to be done
    assert len(computed) <= begun + 2  # the batch in hand, and this one
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("tokenise")]


def test_another_use_of_the_encoder_does_not_disturb_a_stream(e5: Path, whole: Floats) -> None:
    encoder = load(e5, threads=1)
    assert isinstance(encoder, StreamingEncoder)
    stream = encoder.encode_stream(windows(20))
    parts = []
    for part in stream:
        parts.append(part.embeddings)
        encoder.encode(["x"])
    assert np.concatenate(parts) == pytest.approx(whole, abs=1e-5)


def test_an_error_in_the_windows_comes_through(e5: Path) -> None:
    def broken() -> Iterator[list[str]]:
        yield ["x"]
        raise OSError("the disk is gone")

    encoder = load(e5)
    assert isinstance(encoder, StreamingEncoder)
    with pytest.raises(OSError, match="the disk is gone"):
        list(encoder.encode_stream(broken()))


def test_encoders_that_nobody_uses_end_their_threads(e5: Path) -> None:
    before = threading.active_count()
    load(e5).encode(["x"])
    gc.collect()
    for thread in threading.enumerate():
        if thread.name.startswith("encode"):
            thread.join(1)
    assert threading.active_count() <= before


@pytest.mark.parametrize(
    ("multiplied", "on_cpu", "rows"),
    [
        (5_650_000_000, False, 16_384),  # mT5-xxl
        (21_000_000, True, 1024),  # multilingual-e5-small
        (21_000_000, False, 65_536),
        (10**13, True, 256),
        (0, True, 65_536),
    ],
)
def test_a_chunk_is_some_seconds_of_work(multiplied: int, on_cpu: bool, rows: int) -> None:
    assert chunk_rows(multiplied, on_cpu=on_cpu) == rows


# What follows is the proof for m-st5: a small mT5 with a real adapter, as on the model card.

RIVER = [
    "the old river runs past seven quiet houses",
    "der alte Fluss zieht an Häusern vorbei",
    "🐟 橋は月曜日から閉鎖されています。",
    "Sieben!",
    "the old river " * 30,
]


def card_vectors(model: Any, folder: Path) -> Floats:
    """Compute as the model card does: the mean over all tokens that the mask has, </s> too."""
    tokenizer = library("transformers").AutoTokenizer.from_pretrained(folder)
    tokens = tokenizer(RIVER, return_tensors="pt", padding=True)
    with torch.inference_mode():
        hidden = model(
            input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"]
        ).last_hidden_state
    mask = tokens["attention_mask"][..., None]
    vectors: Floats = ((hidden * mask).sum(1) / mask.sum(1)).numpy()
    return vectors


def peft_model(parts: Path) -> Any:
    """Put the adapter on the base as the model card does."""
    encoder = library("transformers").MT5EncoderModel.from_pretrained(
        parts / "base", dtype=torch.float32
    )
    return library("peft").PeftModel.from_pretrained(encoder, parts / "adapter").eval()


@pytest.fixture(scope="module", params=SHAPES)
def parts(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A base and an adapter, and m-st5 pulled from them: in bfloat16, and whole in float32."""
    folder = tmp_path_factory.mktemp("Teile d'été")
    adapted(save_base(folder / "base", **SHAPES[request.param]), folder / "adapter")
    pull("m-st5", out=folder / "pulled", base=str(folder / "base"), adapter=str(folder / "adapter"))
    return folder


def test_m_st5_in_float32_equals_the_model_card(parts: Path, folder: Path) -> None:
    # All but the weights, which bfloat16 has rounded.
    rounded = shutil.ignore_patterns("*.safetensors", "*.index.json", "bitextmine.json")
    shutil.copytree(parts / "pulled", folder, ignore=rounded)
    peft_model(parts).merge_and_unload().save_pretrained(folder)
    ours = load(folder, dtype="float32").encode(RIVER).embeddings
    assert cosines(ours, card_vectors(peft_model(parts), folder)).min() >= 0.9999


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_m_st5_as_pulled_is_near_the_model_card(parts: Path, dtype: str) -> None:
    ours = load(parts / "pulled", dtype=dtype).encode(RIVER).embeddings
    assert cosines(ours, card_vectors(peft_model(parts), parts / "pulled")).min() >= 0.999
