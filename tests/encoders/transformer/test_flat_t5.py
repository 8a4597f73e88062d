"""The flat T5 equals transformers' own, at every size, length and place in a batch."""

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
from tiny_t5 import SHAPES, SMALL, VOCABULARY
from torch import Tensor

from bitextmine.encoders.transformer.flat_t5 import FlatT5

GROUPS = ((1, 30), (3, 17), (2, 8), (5, 1))


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """Compute as a worker of the CPU does."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@cache
def model_of(size: str = "small", kind: str = "MT5", **changes: Any) -> Any:
    """A random encoder; ``relu`` is T5 of the first kind."""
    transformers = library("transformers")
    torch.manual_seed(3)
    config = getattr(transformers, f"{kind}Config")(
        vocab_size=VOCABULARY, **(SHAPES[size] | changes)
    )
    return getattr(transformers, f"{kind}EncoderModel")(config).eval()


def flat(model: Any, dtype: torch.dtype = torch.float32) -> FlatT5:
    """The same in one row; it takes a model apart, so it gets a copy."""
    return FlatT5(copy.deepcopy(model), "cpu", dtype)


def assert_equal_to_theirs(model: Any, groups: tuple[tuple[int, int], ...] = GROUPS) -> None:
    ids = random_ids(groups, VOCABULARY)
    found, expected = in_a_row(flat(model), ids, groups, 100), states_of(model, ids, groups)
    torch.testing.assert_close(found, expected, atol=3e-5, rtol=3e-5)


@pytest.mark.parametrize("size", SHAPES)
def test_states_are_those_of_transformers_at_every_size(size: str) -> None:
    assert_equal_to_theirs(model_of(size))


@pytest.mark.parametrize("activation", ["relu", "gated-gelu", "gated-silu", "gelu", "gated-relu"])
def test_states_are_those_of_transformers_for_every_feed_forward(activation: str) -> None:
    assert_equal_to_theirs(model_of("base", "T5", feed_forward_proj=activation))


@pytest.mark.parametrize("length", [63, 64, 65, 128, 129, 200])
def test_long_sentences_beyond_the_first_table_of_positions_are_equal(length: int) -> None:
    assert_equal_to_theirs(model_of(), ((2, length), (1, 3)))


def test_the_table_of_positions_grows_while_it_is_used() -> None:
    model, backbone = model_of(), flat(model_of())
    for length in (5, 150, 6, 500, 70):
        ids = random_ids(((1, length),), VOCABULARY, length)
        expected = states_of(model, ids, ((1, length),))
        torch.testing.assert_close(in_a_row(backbone, ids, ((1, length),)), expected)


def test_bfloat16_is_near_float32() -> None:
    ids, model = random_ids(GROUPS, VOCABULARY), model_of("xxl")
    found, expected = (in_a_row(flat(model, t), ids, GROUPS) for t in (torch.bfloat16, torch.float))
    assert torch.nn.functional.cosine_similarity(found, expected, dim=1).min() >= 0.999


def test_the_weights_are_not_held_twice() -> None:
    model = copy.deepcopy(model_of())
    FlatT5(model, "cpu", torch.float32)
    left = {name for name, _ in model.encoder.block.named_parameters()}
    assert not any(".wi" in name or ".wo" in name or name.endswith("q.weight") for name in left)


@pytest.mark.parametrize("kind", ["T5", "MT5"])
def test_a_t5_with_a_known_activation_fits(kind: str) -> None:
    config = model_of(kind=kind).config
    assert FlatT5.fits(config)
    other = copy.deepcopy(config)
    other.dense_act_fn = "mish"
    assert not FlatT5.fits(other)
    # UMT5 has a position bias in every layer.
    assert not FlatT5.fits(library("transformers").UMT5Config())


TOTAL = 96
LENGTHS = st.lists(st.integers(1, 20), max_size=4)


def states_among(backbone: FlatT5, sentence: Tensor, others: list[int], place: int) -> Tensor:
    """States of a sentence that stands among others in a batch of ``TOTAL`` tokens."""
    lengths = [*others[:place], len(sentence), *others[place:]]
    groups = tuple((1, length) for length in lengths)
    ids = random_ids(groups, VOCABULARY, sum(others))
    start = sum(others[:place])
    ids[start : start + len(sentence)] = sentence
    return in_a_row(backbone, ids, groups, TOTAL)[start : start + len(sentence)]


@pytest.fixture(scope="module")
def backbones() -> list[FlatT5]:
    return [flat(model_of(size)) for size in ("small", "xxl")]


@settings(max_examples=40, deadline=None)
@given(others=LENGTHS, place=st.integers(0, 4), length=st.integers(1, 16), seed=st.integers(0, 9))
def test_a_state_does_not_depend_on_the_rest_of_its_batch_bit_for_bit(
    backbones: list[FlatT5],
    others: list[int],
    place: int,
    length: int,
    seed: int,
) -> None:
    sentence = random_ids(((1, length),), VOCABULARY, seed)
    for backbone in backbones:
        alone = states_among(backbone, sentence, [], 0)
        assert torch.equal(states_among(backbone, sentence, others, place), alone)


@settings(max_examples=30, deadline=None)
@given(count=st.integers(1, 9), place=st.integers(0, 8), length=st.integers(1, 10))
def test_a_state_does_not_depend_on_how_many_sentences_share_its_length(
    backbones: list[FlatT5], count: int, place: int, length: int
) -> None:
    groups = ((count, length),)
    ids, row = random_ids(groups, VOCABULARY, count), min(place, count - 1)
    sentence = ids[row * length : (row + 1) * length]
    for backbone in backbones:
        together = in_a_row(backbone, ids, groups, TOTAL).view(count, length, -1)[row]
        assert torch.equal(together, states_among(backbone, sentence, [], 0))


def test_small_has_heads_of_another_width_than_its_states() -> None:
    assert SMALL["num_heads"] * SMALL["d_kv"] != SMALL["d_model"]
