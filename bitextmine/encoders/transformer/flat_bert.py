"""BERT and (XLM-)RoBERTa over a flat row of tokens: no padding, no mask, fused weights."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from bitextmine.encoders.transformer.attention import Compiled, attend
from bitextmine.encoders.transformer.batches import Groups

_ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "gelu": functional.gelu,
    "gelu_new": partial(functional.gelu, approximate="tanh"),
    "relu": functional.relu,
    "silu": functional.silu,
}
_TYPES = ("bert", "roberta", "xlm-roberta", "camembert")


@dataclass(frozen=True)
class _Linear:
    """Weights of a product, in the compute dtype."""

    weight: Tensor  # (out, in)
    bias: Tensor  # (out,)

    def __call__(self, x: Tensor) -> Tensor:
        return functional.linear(x.to(self.weight.dtype), self.weight, self.bias)


@dataclass(frozen=True)
class _Norm:
    """A layer norm, in float32."""

    weight: Tensor  # (d,)
    bias: Tensor  # (d,)
    eps: float

    def __call__(self, x: Tensor) -> Tensor:
        return functional.layer_norm(x, self.weight.shape, self.weight, self.bias, self.eps)


@dataclass(frozen=True)
class _Layer:
    qkv: _Linear
    out: _Linear
    attention_norm: _Norm
    up: _Linear
    down: _Linear
    feed_norm: _Norm


class FlatBert:
    """The encoder of a BERT, RoBERTa or XLM-R checkpoint; the residual stream is float32.

    Parameters
    ----------
    model : BertModel, RobertaModel or XLMRobertaModel
        Loaded by transformers on the CPU.
    device : str
        Where to compute.
    dtype : torch.dtype
        Of the matrix products.
    """

    static = True

    def __init__(self, model: Any, device: str, dtype: torch.dtype) -> None:
        config = model.config
        self.dim: int = config.hidden_size
        self.vocabulary: int = model.get_input_embeddings().num_embeddings
        self._heads: int = config.num_attention_heads
        self._scale: float = (self.dim // self._heads) ** -0.5
        self._activation = _ACTIVATIONS[config.hidden_act]
        self._embed: Any = model.embeddings.to(device, torch.float32).eval()
        self._layers = [_layer(layer, device, dtype) for layer in model.encoder.layer]
        self._device = device
        self._enter = Compiled(_into_attention)
        self._leave = Compiled(_out_of_attention)

    @staticmethod
    def fits(config: Any) -> bool:
        """Tell whether this class computes a model of this configuration."""
        return (
            config.model_type in _TYPES
            and config.hidden_act in _ACTIVATIONS
            and getattr(config, "position_embedding_type", "absolute") in ("absolute", None)
            and not getattr(config, "is_decoder", False)
        )

    def __call__(self, ids: Tensor, groups: Groups) -> Tensor:
        """Return the last hidden states: as `FlatT5.__call__`."""
        x = self._embedded(ids, groups)
        for layer in self._layers:
            qkv = self._enter(x, layer.qkv)
            mixed = attend(qkv, groups, self._heads, scale=self._scale, bias=None)
            x = self._leave(x, mixed, layer, self._activation)
        return x

    def _embedded(self, ids: Tensor, groups: Groups) -> Tensor:
        """Transformers' own embeddings, which count positions in their own ways."""
        x = torch.zeros(len(ids), self.dim, device=ids.device)
        start = 0
        for sentences, length in groups:
            stop = start + sentences * length
            embedded = self._embed(input_ids=ids[start:stop].view(sentences, length))
            x[start:stop] = embedded.reshape(-1, self.dim)
            start = stop
        return x

    @torch.inference_mode()
    def compile(self, tokens: int) -> None:
        """Compile for batches of this many tokens; see `Compiled.prepare` for errors."""
        layer = self._layers[0]
        x = torch.zeros(tokens, self.dim, device=self._device)
        self._enter.prepare(x, layer.qkv)
        mixed = torch.zeros_like(x, dtype=layer.out.weight.dtype)
        self._leave.prepare(x, mixed, layer, self._activation)


def _layer(layer: Any, device: str, dtype: torch.dtype) -> _Layer:
    """Take a layer apart and fuse its weights, on the device."""
    attention = layer.attention

    def linear(*parts: Any) -> _Linear:
        weight = torch.cat([part.weight.detach() for part in parts]).to(device, dtype)
        return _Linear(weight, torch.cat([part.bias.detach() for part in parts]).to(device, dtype))

    def norm(part: Any) -> _Norm:
        weight, bias = part.weight.detach(), part.bias.detach()
        return _Norm(weight.to(device, torch.float32), bias.to(device, torch.float32), part.eps)

    taken = _Layer(
        qkv=linear(attention.self.query, attention.self.key, attention.self.value),
        out=linear(attention.output.dense),
        attention_norm=norm(attention.output.LayerNorm),
        up=linear(layer.intermediate.dense),
        down=linear(layer.output.dense),
        feed_norm=norm(layer.output.LayerNorm),
    )
    for part in (
        attention.self.query,
        attention.self.key,
        attention.self.value,
        attention.output.dense,
        layer.intermediate.dense,
        layer.output.dense,
    ):
        part.weight = None  # or memory would hold the weights twice
    return taken


def _into_attention(x: Tensor, qkv: _Linear) -> Tensor:
    return qkv(x)


def _out_of_attention(
    x: Tensor, mixed: Tensor, layer: _Layer, activation: Callable[[Tensor], Tensor]
) -> Tensor:
    x = layer.attention_norm(x + layer.out(mixed))
    fed = layer.down(activation(layer.up(x)))
    return layer.feed_norm(x + fed)
