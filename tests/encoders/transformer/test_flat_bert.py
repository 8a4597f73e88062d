"""The flat BERT equals transformers' BERT, RoBERTa and XLM-R, at every place in a batch."""

import copy
from collections.abc import Iterator
from functools import cache
from typing import Any

import pytest
import torch
from flat_batches import in_a_row, random_ids, states_of
from hypothesis import given, settings
from hypothesis import strategies as st
from small_models import library

from bitextmine.encoders.transformer.flat_bert import FlatBert

GROUPS = ((1, 50), (3, 17), (2, 8), (5, 1))
VOCABULARY = 200
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 48,
    "num_hidden_layers": 3,
    "num_attention_heads": 4,
    "intermediate_size": 80,
    "max_position_embeddings": 64,
    "initializer_range": 0.1,
}
CLASSES = ("Bert", "Roberta", "XLMRoberta", "Camembert")


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute as a worker of the CPU does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def model_of(kind: str = "Bert", **changes: Any) -> Any:
    transformers = library("transformers")
    torch.manual_seed(3)
    config = getattr(transformers, f"{kind}Config")(**(SIZES | changes))
    model = getattr(transformers, f"{kind}Model")(config).eval()
    for name, parameter in model.named_parameters():
        if name.endswith("bias") or "LayerNorm" in name:  # or they would be zeros and ones
            torch.nn.init.normal_(parameter, mean=0.3, std=0.3)
    return model


def flat(model: Any, dtype: torch.dtype = torch.float32) -> FlatBert:
    """The same in one row; it takes a model apart, so it gets a copy."""
    return FlatBert(copy.deepcopy(model), "cpu", dtype)


def assert_equal_to_theirs(model: Any) -> None:
    ids = random_ids(GROUPS, VOCABULARY)
    found, expected = in_a_row(flat(model), ids, GROUPS, 128), states_of(model, ids, GROUPS)
    torch.testing.assert_close(found, expected, atol=2e-5, rtol=2e-5)


@pytest.mark.parametrize("kind", CLASSES)
def test_states_are_those_of_transformers(kind: str) -> None:
    assert_equal_to_theirs(model_of(kind))


@pytest.mark.parametrize("activation", ["gelu", "gelu_new", "relu", "silu"])
def test_states_are_those_of_transformers_for_every_activation(activation: str) -> None:
    assert_equal_to_theirs(model_of(hidden_act=activation))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_is_near_float32(dtype: torch.dtype) -> None:
    ids, model = random_ids(GROUPS, VOCABULARY), model_of("XLMRoberta")
    found, expected = (in_a_row(flat(model, kind), ids, GROUPS) for kind in (dtype, torch.float32))
    assert torch.nn.functional.cosine_similarity(found, expected, dim=1).min() >= 0.999


@pytest.mark.parametrize(
    "changes",
    [
        {"hidden_act": "mish"},
        {"position_embedding_type": "relative_key"},
        {"is_decoder": True},
        {"model_type": "electra"},
    ],
)
def test_what_it_does_not_compute_does_not_fit(changes: dict[str, Any]) -> None:
    config = copy.deepcopy(model_of().config)
    assert FlatBert.fits(config)
    for name, value in changes.items():
        setattr(config, name, value)
    assert not FlatBert.fits(config)


@pytest.fixture(scope="module")
def backbone() -> FlatBert:
    return flat(model_of())


@settings(max_examples=40, deadline=None)
@given(
    others=st.lists(st.integers(1, 20), max_size=4),
    place=st.integers(0, 4),
    length=st.integers(1, 16),
    seed=st.integers(0, 9),
)
def test_a_state_does_not_depend_on_the_rest_of_its_batch_bit_for_bit(
    backbone: FlatBert, others: list[int], place: int, length: int, seed: int
) -> None:
    sentence = random_ids(((1, length),), VOCABULARY, seed)
    lengths = [*others[:place], length, *others[place:]]
    groups, start = tuple((1, n) for n in lengths), sum(others[:place])
    ids = random_ids(groups, VOCABULARY, sum(others))
    ids[start : start + length] = sentence
    among = in_a_row(backbone, ids, groups, 96)[start : start + length]
    assert torch.equal(among, in_a_row(backbone, sentence, ((1, length),), 96))
