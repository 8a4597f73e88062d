"""The encoder while it is trained: its vectors are those of mining, and what is trained of it."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models
import torch

from bitextmine.checkpoints.description import describe
from bitextmine.errors import UsageError
from bitextmine.training.choices import TrainConfig
from bitextmine.training.trainee import (
    Vectoriser,
    encode_sentences,
    load_trainee,
    make_vectoriser,
)

SENTENCES = ["Yes.", "Most je od pondělí uzavřen.", "", "Children play in the yard."]


def trainee(folder: Path, config: TrainConfig) -> tuple[Any, Vectoriser]:
    """Load a model to be trained, and what surrounds it."""
    description = describe(folder, max_length=32)
    vectoriser = make_vectoriser(description, config, 0)
    return load_trainee(description, config, torch.float32), vectoriser


def test_vectors_of_a_fresh_adapter_are_those_that_mining_would_make(
    config: TrainConfig, mt5: Path
) -> None:
    model, vectoriser = trainee(mt5, config)
    library = small_models.library("sentence_transformers")
    expected = library.SentenceTransformer(str(mt5)).encode(SENTENCES)
    found = encode_sentences(model, vectoriser, SENTENCES)
    np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_encoding_leaves_the_model_in_the_mode_it_was_in(config: TrainConfig, mt5: Path) -> None:
    model, vectoriser = trainee(mt5, config)
    for training in (True, False):
        model.train(training)
        encode_sentences(model, vectoriser, SENTENCES)
        assert model.training is training


def test_tokens_are_padded_at_the_end(config: TrainConfig, mt5: Path) -> None:
    _, vectoriser = trainee(mt5, config)
    tokens = vectoriser.tokens(SENTENCES)
    lengths = tokens["attention_mask"].sum(1)
    assert int(lengths.max()) == tokens["input_ids"].shape[1]
    for row, length in enumerate(lengths.tolist()):
        assert (tokens["input_ids"][row, length:] == vectoriser.padding).all()


@pytest.mark.parametrize(
    ("pooling", "skip", "expected"),
    [
        ("mean", 0, [2.0, 6.0]),
        ("mean", 1, [3.0, 7.0]),
        ("cls", 0, [1.0, 4.0]),
        ("cls", 1, [3.0, 6.0]),
    ],
)
def test_padding_and_tokens_that_are_skipped_are_not_pooled(
    config: TrainConfig, mt5: Path, pooling: str, skip: int, expected: list[float]
) -> None:
    _, whole = trainee(mt5, config)
    vectoriser = replace(whole, pooling=pooling, skip=skip)
    hidden = torch.tensor([[1.0, 3.0, 99.0], [4.0, 6.0, 8.0]]).unsqueeze(-1)  # one dimension
    mask = torch.tensor([[1, 1, 0], [1, 1, 1]])
    assert vectoriser.vectors(hidden, mask).squeeze(-1).tolist() == pytest.approx(expected)


def test_with_lora_only_the_adapter_is_trained(config: TrainConfig, mt5: Path) -> None:
    model, _ = trainee(mt5, config)
    trained = [name for name, weight in model.named_parameters() if weight.requires_grad]
    assert trained
    assert all("lora_" in name for name in trained)


def test_in_full_all_weights_are_trained_in_float32(config: TrainConfig, mt5: Path) -> None:
    description = describe(mt5, max_length=32)
    model = load_trainee(description, replace(config, method="full"), torch.bfloat16)
    weights = list(model.parameters())
    assert all(weight.requires_grad for weight in weights)
    assert {weight.dtype for weight in weights} == {torch.float32}


def test_layers_that_the_model_lacks_are_named(config: TrainConfig, mt5: Path) -> None:
    with pytest.raises(UsageError, match="has no modules nonesuch"):
        trainee(mt5, replace(config, lora_targets=("nonesuch",)))


def test_a_pooling_that_cannot_be_trained_is_refused(config: TrainConfig, mt5: Path) -> None:
    description = replace(describe(mt5, max_length=32), poolings=("max",))
    with pytest.raises(UsageError, match="pools by max") as raised:
        make_vectoriser(description, config, 0)
    assert "the mean or the first token" in raised.value.hint
