"""Description, transformer, pooling and head together equal the sentence-transformers library."""

import json
import os
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import library

from bitextmine.checkpoints.description import DenseLayer, Description, describe
from bitextmine.config import Pooling
from bitextmine.encoders.transformer.heads import Head, pool
from bitextmine.errors import EncoderError

ALL: tuple[Pooling, ...] = ("cls", "max", "mean", "mean_sqrt_len", "weighted_mean", "last")
BASES = {
    "bert": small_models.bert,
    "xlm_roberta": small_models.xlm_roberta,
    "modernbert": small_models.modernbert,
    "mt5": small_models.mt5,
    "t5": small_models.t5,
}
LAYOUTS: dict[str, Callable[[Path, Path], Path]] = {
    "plain_mean": small_models.plain_mean,
    "labse": small_models.labse,
    "e5": small_models.e5,
    "bge_m3": small_models.bge_m3,
    "all_poolings": small_models.all_poolings,
}
SENTENCES = [*small_models.SENTENCES, "A bridge. " * 40, "🎉 ŁÓDŹ", "x"]


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    root = tmp_path_factory.mktemp("Modelle, 'klein' \"é\"")
    return cache(lambda name: BASES[name](root / name))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "Ein Kopf 'für' \"Sätze\""


@cache
def their_model(folder: Path) -> Any:
    return library("sentence_transformers").SentenceTransformer(str(folder), device="cpu")


@cache
def our_model(folder: Path, model_type: str) -> tuple[Any, Any]:
    """Load a tokenizer and a transformer with plain transformers."""
    transformers = library("transformers")
    names = {"mt5": "MT5EncoderModel", "t5": "T5EncoderModel"}
    model_class = getattr(transformers, names.get(model_type, "AutoModel"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return tokenizer, model_class.from_pretrained(folder).eval()


def theirs(folder: Path, **how: Any) -> "np.ndarray[Any, Any]":
    """Encode with sentence-transformers."""
    return np.asarray(their_model(folder).encode(SENTENCES, **how), dtype=np.float32)


def ours(folder: Path, **how: Any) -> "np.ndarray[Any, Any]":
    """Encode as the description says, each sentence alone: no padding."""
    described = describe(folder, **how)
    tokenizer, model = our_model(described.folder, described.model_type)
    head = Head.load(described)

    def tokenise(text: str) -> list[int]:
        text = text.lower() if described.lowercase else text
        ids = tokenizer(text, truncation=True, max_length=described.max_length)["input_ids"]
        return list(ids)

    skip = 0
    if described.prompt and not described.pool_prompt:
        ids = tokenise(described.prompt)
        skip = len(ids) - (ids[-1] in tokenizer.all_special_ids)
    rows = []
    with torch.inference_mode():
        for sentence in SENTENCES:
            batch = torch.tensor([tokenise(described.prompt + sentence)])
            hidden = model(input_ids=batch).last_hidden_state
            rows.append(head(pool(hidden, described.poolings, skip=skip)))
    vectors = torch.cat(rows)
    assert vectors.shape == (len(SENTENCES), described.dim)
    assert vectors.dtype == torch.float32
    return vectors.numpy()


def assert_equal(ours: "np.ndarray[Any, Any]", theirs: "np.ndarray[Any, Any]") -> None:
    lengths = np.linalg.norm(ours, axis=1) * np.linalg.norm(theirs, axis=1)
    assert ((ours * theirs).sum(axis=1) / lengths).min() >= 0.99999
    assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", BASES)
def test_vectors_equal_those_of_sentence_transformers(
    base: Callable[[str], Path], folder: Path, name: str, layout: str
) -> None:
    LAYOUTS[layout](base(name), folder)
    mine = ours(folder)
    assert_equal(mine, theirs(folder))
    units = mine / np.linalg.norm(mine, axis=1, keepdims=True)
    assert (units @ units.T - 2 * np.eye(len(units))).max() < 0.9999  # they tell sentences apart


@pytest.mark.parametrize("name", BASES)
@pytest.mark.parametrize("include", [True, False])
def test_prompts_are_pooled_or_left_out_as_in_sentence_transformers(
    base: Callable[[str], Path], folder: Path, name: str, include: bool
) -> None:
    small_models.e5(base(name), folder, include_prompt=include, query="query: ", other="Most je ")
    assert describe(folder).prompt == "query: "
    assert_equal(ours(folder), theirs(folder))
    assert_equal(ours(folder, prompt="Most je "), theirs(folder, prompt_name="other"))
    assert_equal(ours(folder, prompt=""), theirs(folder, prompt=""))
    assert np.abs(ours(folder) - ours(folder, prompt="")).max() > 1e-3


@pytest.mark.parametrize("name", ["bert", "mt5"])
def test_every_pooling_leaves_the_prompt_out(
    base: Callable[[str], Path], folder: Path, name: str
) -> None:
    small_models.all_poolings(base(name), folder)
    path = folder / "1_Pooling" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | {"include_prompt": False}))
    assert_equal(ours(folder, prompt="query: "), theirs(folder, prompt="query: "))


def test_old_files_with_lower_casing_and_a_length_give_the_same_vectors(
    base: Callable[[str], Path], folder: Path
) -> None:
    small_models.plain_mean(base("bert"), folder)
    old = {"max_seq_length": 12, "do_lower_case": True}
    (folder / "sentence_bert_config.json").write_text(json.dumps(old))
    flags = {"word_embedding_dimension": 32, "pooling_mode_max_tokens": True}
    flags |= {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(flags))
    described = describe(folder)
    assert (described.max_length, described.poolings) == (12, ("cls", "max"))
    assert_equal(ours(folder), theirs(folder))


def test_a_plain_checkpoint_is_what_sentence_transformers_makes_of_it(
    base: Callable[[str], Path],
) -> None:
    assert_equal(ours(base("xlm_roberta")), theirs(base("xlm_roberta")))


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 9), st.integers(0, 8), st.lists(st.sampled_from(ALL), min_size=1))
def test_poolings_equal_their_definitions(length: int, skip: int, poolings: list[Pooling]) -> None:
    hidden = torch.randn(3, length, 4, generator=torch.Generator().manual_seed(length))
    if skip >= length:
        assert not pool(hidden, poolings, skip=skip).any()
        return
    kept = hidden[:, skip:].double()
    places = torch.arange(1, length + 1, dtype=torch.float64)[skip:, None]
    expected = {
        "cls": kept[:, 0],
        "last": kept[:, -1],
        "max": kept.max(dim=1).values,
        "mean": kept.sum(dim=1) / (length - skip),
        "mean_sqrt_len": kept.sum(dim=1) / (length - skip) ** 0.5,
        "weighted_mean": (kept * places).sum(dim=1) / places.sum(),
    }
    whole = torch.cat([expected[pooling] for pooling in poolings], dim=1)
    assert torch.allclose(pool(hidden, poolings, skip=skip).double(), whole, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_pooling_is_exact_whatever_the_states_are(dtype: torch.dtype) -> None:
    hidden = torch.randn(2, 300, 8, generator=torch.Generator().manual_seed(1)).to(dtype)
    pooled = pool(hidden, ALL)
    assert pooled.dtype == torch.float32
    assert torch.equal(pooled, pool(hidden.float(), ALL))


def dense(folder: Path, **changes: Any) -> DenseLayer:
    layer: dict[str, Any] = {"in_dim": 3, "out_dim": 2, "bias": True, "activation": "identity"}
    return DenseLayer(weights=folder, **layer | changes)


def description(folder: Path, *head: Any) -> Description:
    return Description(
        folder=folder,
        model_type="bert",
        hidden_dim=3,
        lowercase=False,
        prompt="",
        prompts=(),
        pool_prompt=True,
        max_length=8,
        poolings=("mean",),
        head=head,
        dim=2,
        remote_code=False,
    )


WEIGHTS = {
    "linear.weight": torch.tensor([[1.0, 2.0, 3.0], [-1.0, 0.5, 0.0]]),
    "linear.bias": torch.tensor([0.5, -4.0]),
}
VECTORS = torch.tensor([[1.0, 0.0, 2.0]])  # -> [7.5, -5.0]


def save(folder: Path, weights: dict[str, torch.Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    library("safetensors.torch").save_file(weights, folder / "model.safetensors")
    return folder


@pytest.mark.parametrize(
    ("activation", "expected"),
    [
        ("identity", [7.5, -5.0]),
        ("tanh", [1.0, -0.9999]),
        ("relu", [7.5, 0.0]),
        ("gelu", [7.5, 0.0]),
        ("sigmoid", [0.9994, 0.0067]),
    ],
)
def test_a_dense_layer_matches_hand_computation(
    folder: Path, activation: str, expected: list[float]
) -> None:
    head = Head.load(description(folder, dense(save(folder, WEIGHTS), activation=activation)))
    assert head(VECTORS)[0].tolist() == pytest.approx(expected, abs=1e-4)


def test_the_steps_of_a_head_keep_their_order(folder: Path) -> None:
    layer = dense(save(folder, WEIGHTS))
    after = Head.load(description(folder, layer, "normalise"))(VECTORS)
    before = Head.load(description(folder, "normalise", layer))(VECTORS)
    assert after.norm().item() == pytest.approx(1.0)
    assert before[0].tolist() == pytest.approx([0.5 + 7 / 5**0.5, -4 - 1 / 5**0.5])


def test_half_precision_weights_and_a_pickle_of_tensors_are_read(folder: Path) -> None:
    folder.mkdir()
    torch.save({name: w.half() for name, w in WEIGHTS.items()}, folder / "pytorch_model.bin")
    vectors = Head.load(description(folder, dense(folder)))(VECTORS.half())
    assert vectors.dtype == torch.float32
    assert vectors[0].tolist() == [7.5, -5.0]


def test_a_layer_without_bias_is_read(folder: Path) -> None:
    save(folder, {"linear.weight": WEIGHTS["linear.weight"]})
    assert Head.load(description(folder, dense(folder, bias=False)))(VECTORS).tolist() == [[7, -1]]


@pytest.mark.parametrize(
    ("weights", "changes"),
    [
        ({"linear.weight": WEIGHTS["linear.weight"]}, {}),
        ({"linear.bias": WEIGHTS["linear.bias"]}, {}),
        ({}, {}),
        (WEIGHTS, {"in_dim": 4}),
        (WEIGHTS, {"out_dim": 3}),
        (WEIGHTS, {"bias": False}),
    ],
)
def test_weights_that_do_not_fit_are_told(
    folder: Path, weights: dict[str, torch.Tensor], changes: dict[str, Any]
) -> None:
    layer = dense(save(folder, weights), **changes)
    with pytest.raises(EncoderError, match=r"the weights in .* are"):
        Head.load(description(folder, layer))


class Dangerous:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("new_format", [True, False])
def test_a_pickle_with_code_in_it_is_refused_and_not_run(folder: Path, new_format: bool) -> None:
    folder.mkdir()
    content = {"linear.weight": Dangerous(folder / "ran")}
    torch.save(content, folder / "pytorch_model.bin", _use_new_zipfile_serialization=new_format)
    with pytest.raises(EncoderError, match="holds code, not only tensors; none of it was run"):
        Head.load(description(folder, dense(folder)))
    assert not (folder / "ran").exists()


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
@pytest.mark.parametrize("content", [b"", b"\x80", b"not weights at all"])
def test_damaged_weights_are_told(folder: Path, name: str, content: bytes) -> None:
    folder.mkdir()
    (folder / name).write_bytes(content)
    with pytest.raises(EncoderError, match=f"{name} is truncated or damaged"):
        Head.load(description(folder, dense(folder)))


def test_truncated_weights_are_told(folder: Path) -> None:
    path = save(folder, WEIGHTS) / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(EncoderError, match="is truncated or damaged"):
        Head.load(description(folder, dense(folder)))


def test_missing_weights_are_told(folder: Path) -> None:
    with pytest.raises(EncoderError, match="no weights in"):
        Head.load(description(folder, dense(folder)))
