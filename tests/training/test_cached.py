"""Gradients in parts are those of the whole."""

from contextlib import nullcontext
from functools import partial

import torch
from torch import Tensor, nn

from bitextmine.training.cached import Inputs, cached_backward
from bitextmine.training.loss import contrastive_loss


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
