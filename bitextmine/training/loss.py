"""The loss of mSimCSE: a premise must find its own hypothesis among all of the batch.

Large batches fit into little memory: vectors first, their gradients next, the network's in parts.
The loss of a batch needs all of its vectors at once, but the gradient of a sentence's vector is
enough to go through the network with that sentence alone (GradCache, Gao et al. 2021,
https://aclanthology.org/2021.repl4nlp-1.31). Each part is computed twice, with the same dropout.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from math import log

import torch
from torch import Tensor
from torch.nn import functional

Inputs = dict[str, Tensor]
"""``input_ids`` and ``attention_mask``, int64 (n, length)."""


def contrastive_loss(vectors: Tensor, temperature: float) -> Tensor:
    """Return the cross-entropy of premises over all hypotheses of a batch.

    With p, e and c of unit length, row i has the logits ``p[i] @ e.T / t`` and ``p[i] @ c.T / t``,
    end to end, and the label i: every other entailment and every contradiction of the batch is a
    negative, and hypotheses do not search for premises. This is ``cl_forward`` of
    https://github.com/yaushian/mSimCSE with its default of no extra weight for hard negatives.

    Parameters
    ----------
    vectors : Tensor of float32, shape (3 * b, d)
        Of b premises, then their entailed hypotheses, then their contradictions; of any length.
    temperature : float
        t; cosines are divided by it.

    Returns
    -------
    Tensor of float32, shape ()
        The mean over the rows, in nats.
    """
    units = functional.normalize(vectors.float(), dim=-1)
    premises, hypotheses = units[: len(units) // 3], units[len(units) // 3 :]
    logits = premises @ hypotheses.T / temperature  # (b, 2 * b)
    labels = torch.arange(len(premises), device=logits.device)
    return functional.cross_entropy(logits, labels)


def guessing_loss(batch_size: int) -> float:
    """Return the loss of a model to which all sentences are alike, in nats."""
    return log(2 * batch_size)


def triplet_accuracy(vectors: Tensor) -> float:
    """Return the share of premises that are closer to the entailment than to the contradiction.

    Parameters
    ----------
    vectors : Tensor, shape (3 * b, d)
        As for `contrastive_loss`.
    """
    premises, entailed, contradicted = functional.normalize(vectors.float(), dim=-1).chunk(3)
    closer = (premises * entailed).sum(-1) > (premises * contradicted).sum(-1)
    return float(closer.double().mean())


def cached_backward(
    inputs: Inputs,
    *,
    part_rows: int,
    embed: Callable[[Inputs], Tensor],
    loss: Callable[[Tensor], Tensor],
    backward: Callable[[Tensor], object],
    unsynced: Callable[[], AbstractContextManager[object]],
) -> Tensor:
    """Add the gradients of a batch to the weights', and return its loss.

    Parameters
    ----------
    inputs : Inputs
        Of the whole batch.
    part_rows : int
        Sentences that go through the network at once.
    embed : callable
        Gives vectors (n, dim) of some rows.
    loss : callable
        Of the vectors of all rows.
    backward : callable
        Takes a number whose gradient is wanted.
    unsynced : callable
        A context in which processes do not exchange gradients; for all parts but the last.
    """
    parts = list(_parts(inputs, part_rows))
    states, vectors = [], []
    with torch.no_grad():
        for part in parts:
            states.append(_random_state(part["input_ids"]))
            vectors.append(embed(part))
    whole = torch.cat(vectors).detach().requires_grad_()
    total = loss(whole)
    (gradient_of_whole,) = torch.autograd.grad(total, whole)
    gradients = torch.split(gradient_of_whole, [len(part["input_ids"]) for part in parts])
    for number, (part, gradient) in enumerate(zip(parts, gradients, strict=True)):
        if number + 1 < len(parts):
            with unsynced():
                backward((_again(embed, part, states[number]) * gradient).sum())
        else:
            backward((_again(embed, part, states[number]) * gradient).sum())
    return total.detach()


def _parts(inputs: Inputs, rows: int) -> Iterator[Inputs]:
    """Cut a batch, and the padding that only longer rows needed."""
    for start in range(0, len(inputs["input_ids"]), rows):
        part = {name: tensor[start : start + rows] for name, tensor in inputs.items()}
        longest = int(part["attention_mask"].sum(1).max())
        yield {name: tensor[:, :longest] for name, tensor in part.items()}


def _random_state(tensor: Tensor) -> tuple[Tensor, Tensor | None]:
    """Return the state that dropout draws from, of the CPU and of the tensor's GPU."""
    on_gpu = tensor.is_cuda
    return torch.get_rng_state(), torch.cuda.get_rng_state(tensor.device) if on_gpu else None


def _again(
    embed: Callable[[Inputs], Tensor], part: Inputs, state: tuple[Tensor, Tensor | None]
) -> Tensor:
    """Compute a part once more with the dropout it had, this time for its gradient."""
    device = part["input_ids"].device
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.set_rng_state(state[0])
        if state[1] is not None:
            torch.cuda.set_rng_state(state[1], device)
        return embed(part)
