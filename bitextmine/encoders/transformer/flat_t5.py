"""The encoder of T5 and mT5 over a flat row of tokens: no padding, fused weights, one static shape.

The same function as transformers' ``T5EncoderModel``, in fewer and larger steps: queries, keys and
values come from one product, as do both halves of the gated feed-forward; the position bias is
computed once; all steps but attention see one shape, so each is compiled once. The residual
stream is float32 whatever the weights are: activations of T5 reach 10^5 (they overflow float16),
where bfloat16 has steps of a thousand.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bitextmine.checkpoints.model_kinds import T5_SHARED_BIAS
from bitextmine.encoders.transformer.attention import Compiled, attend
from bitextmine.encoders.transformer.batches import Groups

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu_new": partial(functional.gelu, approximate="tanh"),
    "gelu": functional.gelu,
    "relu": functional.relu,
    "silu": functional.silu,
}
_FIRST_BIAS = 64  # tokens a side of the position bias made at first; it grows by doubling


@dataclass(frozen=True)
class _Layer:
    """Weights of a layer; products are in the compute dtype, norms in float32."""

    attention_norm: Tensor  # (d,)
    qkv: Tensor  # (3 * inner, d)
    out: Tensor  # (d, inner)
    feed_norm: Tensor  # (d,)
    up: Tensor  # (2 * d_ff, d) if gated, else (d_ff, d)
    down: Tensor  # (d, d_ff)


class FlatT5:
    """The encoder of a T5 or mT5 checkpoint.

    Parameters
    ----------
    model : T5EncoderModel or MT5EncoderModel
        Loaded by transformers on the CPU; its layers are taken apart one by one.
    device : str
        Where to compute.
    dtype : torch.dtype
        Of the matrix products.
    """

    static = True

    def __init__(self, model: Any, device: str, dtype: torch.dtype) -> None:
        config = model.config
        self.dim: int = config.d_model
        self.vocabulary: int = model.get_input_embeddings().num_embeddings
        self._heads: int = config.num_heads
        self._eps: float = config.layer_norm_epsilon
        self._activation = _ACTIVATIONS[config.dense_act_fn]
        self._gated: bool = config.is_gated_act
        self._embedding = model.get_input_embeddings().weight.detach().to(device, dtype)
        self._attention: Any = model.encoder.block[0].layer[0].SelfAttention
        self._layers = [_layer(block, device, dtype) for block in model.encoder.block]
        self._norm = model.encoder.final_layer_norm.weight.detach().to(device, torch.float32)
        self._bias = self._position_bias(_FIRST_BIAS)
        self._enter = Compiled(_into_attention)
        self._leave = Compiled(_out_of_attention)

    @staticmethod
    def fits(config: Any) -> bool:
        """Tell whether this class computes a model of this configuration."""
        return config.model_type in T5_SHARED_BIAS and config.dense_act_fn in _ACTIVATIONS

    def __call__(self, ids: Tensor, groups: Groups) -> Tensor:
        """Return the last hidden states.

        Parameters
        ----------
        ids : Tensor of int64, shape (tokens,)
        groups : tuple of (int, int)
            See `bitextmine.encoders.transformer.batches`.

        Returns
        -------
        Tensor of float32, shape (tokens, dim)
        """
        x = functional.embedding(ids, self._embedding).float()
        for layer in self._layers:
            qkv = self._enter(x, layer.attention_norm, layer.qkv, self._eps)
            mixed = attend(qkv, groups, self._heads, scale=1.0, bias=self._bias_of)
            x = self._leave(x, mixed, layer, self._eps, self._activation, self._gated)
        return functional.rms_norm(x, (self.dim,), self._norm, self._eps)

    @torch.inference_mode()
    def compile(self, tokens: int) -> None:
        """Compile for batches of this many tokens; see `Compiled.prepare` for errors."""
        x = torch.zeros(tokens, self.dim, device=self._norm.device)
        layer = self._layers[0]
        mixed = torch.zeros(
            tokens, layer.out.shape[1], dtype=layer.out.dtype, device=self._norm.device
        )
        self._enter.prepare(x, layer.attention_norm, layer.qkv, self._eps)
        self._leave.prepare(x, mixed, layer, self._eps, self._activation, self._gated)

    def _bias_of(self, length: int) -> Tensor:
        """The bias of two tokens depends on their distance alone: a corner of the largest."""
        bias = self._bias
        if length > bias.shape[2]:
            self._bias = bias = self._position_bias(max(length, 2 * bias.shape[2]))
        return bias[:, :, :length, :length]

    def _position_bias(self, length: int) -> Tensor:
        """(1, heads, length, length); its rows are aligned, which fused attention asks for."""
        rounded = -(-length // 8) * 8
        with torch.inference_mode():
            bias = self._attention.compute_bias(rounded, rounded)
        aligned: Tensor = bias.to(self._embedding.device, self._embedding.dtype).contiguous()
        return aligned


def _layer(block: Any, device: str, dtype: torch.dtype) -> _Layer:
    """Take a layer apart and fuse its weights, on the device."""
    attention, feed = block.layer[0].SelfAttention, block.layer[-1].DenseReluDense
    ups = [feed.wi_0, feed.wi_1] if hasattr(feed, "wi_0") else [feed.wi]

    def fused(*linears: Any) -> Tensor:
        return torch.cat([linear.weight.detach() for linear in linears]).to(device, dtype)

    layer = _Layer(
        attention_norm=block.layer[0].layer_norm.weight.detach().to(device, torch.float32),
        qkv=fused(attention.q, attention.k, attention.v),
        out=fused(attention.o),
        feed_norm=block.layer[-1].layer_norm.weight.detach().to(device, torch.float32),
        up=fused(*ups),
        down=fused(feed.wo),
    )
    for linear in (attention.q, attention.k, attention.v, attention.o, feed.wo, *ups):
        linear.weight = None  # or memory would hold the weights twice
    return layer


def _into_attention(x: Tensor, norm: Tensor, qkv: Tensor, eps: float) -> Tensor:
    normed = functional.rms_norm(x, (x.shape[1],), norm, eps).to(qkv.dtype)
    return functional.linear(normed, qkv)


def _out_of_attention(
    x: Tensor,
    mixed: Tensor,
    layer: _Layer,
    eps: float,
    activation: Callable[[Tensor], Tensor],
    gated: bool,
) -> Tensor:
    x = x + functional.linear(mixed, layer.out)
    normed = functional.rms_norm(x, (x.shape[1],), layer.feed_norm, eps).to(mixed.dtype)
    hidden = functional.linear(normed, layer.up)
    if gated:
        gate, linear = hidden.chunk(2, dim=1)
        fed = activation(gate) * linear
    else:
        fed = activation(hidden)
    return x + functional.linear(fed, layer.down)
