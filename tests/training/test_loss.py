"""The loss against numbers computed by hand; gradients in parts are those of the whole."""

import math
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from torch import Tensor, nn

from bitextmine.training.loss import Inputs, cached_backward, contrastive_loss, triplet_accuracy

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


class Bag(nn.Module):
    """The smallest encoder that has padding and dropout."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(3)
        self.table = nn.Embedding(20, 8)
        self.dropout = nn.Dropout(0.0)

    def forward(self, inputs: Inputs) -> Tensor:
        mask = inputs["attention_mask"].unsqueeze(-1)
        states = self.dropout(self.table(inputs["input_ids"])) * mask
        total: Tensor = states.sum(1)
        return total


def batch() -> Inputs:
    torch.manual_seed(4)
    mask = (torch.arange(6) < torch.randint(1, 7, (12, 1))).long()
    return {"input_ids": torch.randint(20, (12, 6)), "attention_mask": mask}


def gradients_in_parts(model: Bag, rows: int) -> tuple[Tensor, Tensor]:
    model.zero_grad()
    loss = cached_backward(
        batch(),
        part_rows=rows,
        embed=model,
        loss=partial(contrastive_loss, temperature=0.05),
        backward=torch.autograd.backward,
        unsynced=nullcontext,
    )
    assert model.table.weight.grad is not None
    return loss, model.table.weight.grad.clone()


def test_parts_give_the_gradient_of_the_whole_batch() -> None:
    model = Bag()
    whole = contrastive_loss(model(batch()), 0.05)
    (expected,) = torch.autograd.grad(whole, model.table.weight)
    for rows in (1, 5, 12):
        loss, gradient = gradients_in_parts(model, rows)
        torch.testing.assert_close(loss, whole.detach())
        torch.testing.assert_close(gradient, expected)


def test_a_part_has_the_same_dropout_both_times() -> None:
    model = Bag()
    model.dropout.p = 0.5
    torch.manual_seed(5)
    seen: list[Tensor] = []
    model.register_forward_hook(lambda module, given, vectors: seen.append(vectors.detach()))
    gradients_in_parts(model, 4)
    torch.testing.assert_close(torch.cat(seen[:3]), torch.cat(seen[3:]))
    assert not torch.equal(seen[0], seen[1])
