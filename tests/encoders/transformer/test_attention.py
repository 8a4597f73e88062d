"""Attention over sentences end to end equals attention sentence by sentence."""

import pytest
import torch
from torch import Tensor

from bitextmine.encoders.transformer.attention import attend

HEADS, D_HEAD = 3, 4
GROUPS = ((2, 5), (1, 3), (4, 1))
TOKENS = 17


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


def by_hand(qkv: Tensor, scale: float, bias: Tensor | None) -> Tensor:
    """Softmax of the products, times the values, for one sentence."""
    query, key, value = qkv.view(len(qkv), 3, HEADS, D_HEAD).permute(1, 2, 0, 3)
    products = query @ key.transpose(1, 2) * scale
    if bias is not None:
        products = products + bias[0, :, : len(qkv), : len(qkv)]
    mixed: Tensor = products.softmax(-1) @ value
    return mixed.transpose(0, 1).reshape(len(qkv), HEADS * D_HEAD)


@pytest.mark.parametrize("biased", [True, False])
def test_every_sentence_attends_to_itself_alone(biased: bool) -> None:
    qkv, bias = random(TOKENS, 3 * HEADS * D_HEAD), random(1, HEADS, 5, 5) if biased else None
    corner = None if bias is None else lambda length: bias[:, :, :length, :length]
    mixed = attend(qkv, GROUPS, HEADS, scale=0.7, bias=corner)
    lengths = [length for sentences, length in GROUPS for _ in range(sentences)]
    expected = [by_hand(part, 0.7, bias) for part in torch.split(qkv, lengths)]
    torch.testing.assert_close(mixed, torch.cat(expected))


def test_padding_gives_zeros() -> None:
    qkv = random(TOKENS + 6, 3 * HEADS * D_HEAD)
    mixed = attend(qkv, GROUPS, HEADS, scale=1.0, bias=None)
    assert mixed[TOKENS:].count_nonzero() == 0
    assert mixed[:TOKENS].count_nonzero() == TOKENS * HEADS * D_HEAD
