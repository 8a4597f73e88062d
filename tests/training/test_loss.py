"""The loss against numbers computed by hand."""

import math

import pytest
import torch

from bitextmine.training.loss import contrastive_loss, triplet_accuracy

# Premises, entailments, contradictions; of other lengths than 1, which must not matter.
VECTORS = torch.tensor([[2.0, 0], [0, 3], [3, 4], [0, 1], [0, 5], [4, 3]])


def test_loss_matches_the_formula_computed_by_hand() -> None:
    # cosines of premise 0: entailments 0.6, 0; contradictions 0, 0.8. Of premise 1: 0.8, 1; 1, 0.6.
    t = 0.5
    first = math.log(sum(math.exp(c / t) for c in (0.6, 0, 0, 0.8))) - 0.6 / t
    second = math.log(sum(math.exp(c / t) for c in (0.8, 1, 1, 0.6))) - 1 / t
    assert float(contrastive_loss(VECTORS, t)) == pytest.approx((first + second) / 2, abs=1e-6)


def test_loss_is_that_of_msimcse_cl_forward() -> None:
    torch.manual_seed(1)
    vectors, t = torch.randn(12, 8), 0.05
    z1, z2, z3 = vectors.chunk(3)
    cosine = torch.nn.CosineSimilarity(dim=-1)
    scores = cosine(z1.unsqueeze(1), z2.unsqueeze(0)) / t
    hard = cosine(z1.unsqueeze(1), z3.unsqueeze(0)) / t
    expected = torch.nn.CrossEntropyLoss()(torch.cat([scores, hard], 1), torch.arange(4))
    torch.testing.assert_close(contrastive_loss(vectors, t), expected)


def test_loss_has_one_direction() -> None:
    swapped = torch.cat([VECTORS[2:4], VECTORS[:2], VECTORS[4:]])
    assert float(contrastive_loss(VECTORS, 0.5)) != pytest.approx(
        float(contrastive_loss(swapped, 0.5))
    )


def test_accuracy_counts_premises_nearer_to_what_follows() -> None:
    # premise 0: 0.6 against 0; premise 1: 1 against 0.6
    assert triplet_accuracy(VECTORS) == 1
    assert triplet_accuracy(torch.cat([VECTORS[:2], VECTORS[4:], VECTORS[2:4]])) == 0
