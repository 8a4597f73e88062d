"""The loss of mSimCSE: a premise must find its own hypothesis among all of the batch."""

from math import log

import torch
from torch import Tensor
from torch.nn import functional


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
