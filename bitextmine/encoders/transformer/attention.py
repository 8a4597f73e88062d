"""What all flat models share: attention over sentences that lie end to end, and compiled steps."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

from bitextmine.encoders.transformer.batches import Groups


def attend(
    qkv: Tensor, groups: Groups, heads: int, *, scale: float, bias: Callable[[int], Tensor] | None
) -> Tensor:
    """Mix the values of every sentence's tokens; each group of equal length in one call.

    Parameters
    ----------
    qkv : Tensor, shape (tokens, 3 * heads * d_head)
        Queries, keys and values of each token; tokens after the last group are padding.
    groups : tuple of (int, int)
        Sentences and their tokens each, end to end.
    heads : int
    scale : float
        Of the products of queries and keys.
    bias : callable, optional
        Returns what is added to these for sentences of a length: (1, heads, length, length).

    Returns
    -------
    Tensor, shape (tokens, heads * d_head)
        Zero for padding.
    """
    inner = qkv.shape[1] // 3
    mixed = torch.empty(len(qkv), inner, dtype=qkv.dtype, device=qkv.device)
    start = 0
    for sentences, length in groups:
        stop = start + sentences * length
        parts = qkv[start:stop].view(sentences, length, 3, heads, inner // heads)
        query, key, value = parts.permute(2, 0, 3, 1, 4)
        group = scaled_dot_product_attention(
            query, key, value, attn_mask=bias(length) if bias is not None else None, scale=scale
        )
        mixed[start:stop].view(sentences, length, heads, -1).copy_(group.transpose(1, 2))
        start = stop
    mixed[start:] = 0
    return mixed


class Compiled:
    """A step of a network that runs compiled for one shape, and as it is for all others.

    Parameters
    ----------
    step : callable
        A pure function of tensors, the first of shape (tokens, d).
    """

    def __init__(self, step: Callable[..., Tensor]) -> None:
        self._step = step
        self._compiled: Callable[..., Tensor] | None = None
        self._tokens = -1

    def prepare(self, *arguments: Any) -> None:
        """Compile for the shapes of these arguments.

        The arguments must be made as those of later calls are, in inference mode too, or the
        compiler takes them for another kind and compiles again.

        Raises
        ------
        RuntimeError
            There is no working compiler here, or memory does not suffice.
        """
        self._tokens = -1
        self._compiled = torch.compile(self._step, dynamic=False, fullgraph=True)
        self._compiled(*arguments)
        self._tokens = len(arguments[0])

    def __call__(self, *arguments: Any) -> Tensor:
        """Run the step."""
        if self._compiled is not None and len(arguments[0]) == self._tokens:
            return self._compiled(*arguments)
        return self._step(*arguments)
