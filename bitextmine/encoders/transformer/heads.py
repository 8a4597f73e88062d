"""States of tokens -> the vector of a sentence: pooling, dense layers, unit length; all float32."""

import math
from collections.abc import Callable, Sequence
from typing import Literal, Self

import torch
from torch import Tensor, nn

from bitextmine.checkpoints.description import DenseLayer, Description
from bitextmine.checkpoints.tensors import open_checkpoint
from bitextmine.config import Pooling
from bitextmine.errors import EncoderError

_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "identity": nn.Identity,
    "tanh": nn.Tanh,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
    "sigmoid": nn.Sigmoid,
}
_WEIGHTS = ("model.safetensors", "pytorch_model.bin")  # which sentence-transformers reads
_REFETCH = "the folder is incomplete or damaged: fetch the model again"


def pool(hidden: Tensor, poolings: Sequence[Pooling], *, skip: int = 0) -> Tensor:
    """Turn the states of tokens into one vector a sentence, as sentence-transformers does.

    Parameters
    ----------
    hidden : Tensor of any float dtype, shape (B, L, d)
        Last hidden states of B sentences, each of exactly L tokens: no padding, so no mask.
    poolings : sequence of str
        Their results are concatenated in this order.
    skip : int
        Leading tokens that are left out: where the prompt is not pooled, as many as the prompt
        gives when it is tokenised alone, special tokens included, less one if the last of them
        is special. So "[CLS] query : [SEP]" gives 3, and [CLS] is left out too.

    Returns
    -------
    Tensor of float32, shape (B, d * len(poolings))
        Zeros for sentences that have no token beside those left out.
    """
    states = hidden.float()
    if skip >= states.shape[1]:
        return states.new_zeros(states.shape[0], states.shape[2] * len(poolings))
    # Where a token stood, the prompt's included; this is its weight in the weighted mean.
    places = torch.arange(1 + skip, 1 + states.shape[1], dtype=states.dtype, device=states.device)
    kept = states[:, skip:]
    return torch.cat([_pool(kept, pooling, places) for pooling in poolings], dim=-1)


def _pool(states: Tensor, pooling: Pooling, places: Tensor) -> Tensor:
    """Pool (B, L, d) to (B, d) in one way; the tokens stood at these places (L,)."""
    match pooling:
        case "mean":
            return states.mean(dim=1)
        case "cls":
            return states[:, 0]
        case "last":
            return states[:, -1]
        case "max":
            return states.amax(dim=1)
        case "mean_sqrt_len":
            return states.sum(dim=1) / math.sqrt(states.shape[1])
        case "weighted_mean":
            return (states * (places / places.sum()).unsqueeze(-1)).sum(dim=1)


class Head(nn.Module):
    """What follows pooling: dense layers and normalisation, in the order of the model's files.

    Parameters
    ----------
    steps : sequence of torch.nn.Module
        Each takes and gives vectors (B, d) in float32.
    """

    def __init__(self, steps: Sequence[nn.Module]) -> None:
        super().__init__()
        self.steps = nn.Sequential(*steps)
        self.requires_grad_(False)

    @classmethod
    def load(cls, description: Description) -> Self:
        """Load the weights of a head onto the CPU.

        Parameters
        ----------
        description : Description
            Says which layers there are and where their weights lie.

        Raises
        ------
        EncoderError
            Weights are missing, damaged or of another shape than described.
        """
        return cls([_load_step(step) for step in description.head])

    def forward(self, pooled: Tensor) -> Tensor:
        """Return the vectors of pooled sentences.

        Parameters
        ----------
        pooled : Tensor, shape (B, d)
            As `pool` gives them.

        Returns
        -------
        Tensor of float32, shape (B, dim)
        """
        vectors: Tensor = self.steps(pooled.float())
        return vectors


class _Normalise(nn.Module):
    """Brings vectors to unit length; a zero vector stays zero."""

    def forward(self, vectors: Tensor) -> Tensor:
        return nn.functional.normalize(vectors, dim=-1)


def _load_step(step: DenseLayer | Literal["normalise"]) -> nn.Module:
    if not isinstance(step, DenseLayer):
        return _Normalise()
    shapes: dict[str, tuple[int, ...]] = {"linear.weight": (step.out_dim, step.in_dim)}
    if step.bias:
        shapes["linear.bias"] = (step.out_dim,)
    checkpoint = open_checkpoint(step.weights, _WEIGHTS)
    found = {name: checkpoint.shape(name) for name in checkpoint.names()}
    if found != shapes:
        raise EncoderError(
            f"the weights in {step.weights} are {_listed(found)}, not {_listed(shapes)}",
            hint=_REFETCH,
        )
    linear = nn.Linear(step.in_dim, step.out_dim, bias=step.bias, dtype=torch.float32)
    linear.load_state_dict({name.removeprefix("linear."): checkpoint.get(name) for name in shapes})
    return nn.Sequential(linear, _ACTIVATIONS[step.activation]())


def _listed(shapes: dict[str, tuple[int, ...]]) -> str:
    """Name tensors and their shapes for people."""
    return ", ".join(f"{name} {shape}" for name, shape in sorted(shapes.items())) or "nothing"
