"""The encoder of a T5 or mT5 checkpoint: its tensors, their shapes, and the configs beside it."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitextmine.checkpoints.layout import CONFIG
from bitextmine.checkpoints.model_kinds import T5_CLASSES, T5_SHARED_BIAS
from bitextmine.checkpoints.tensors import Checkpoint
from bitextmine.errors import EncoderError

_SHARED = "shared.weight"
_EMBEDDING_NAMES = (_SHARED, "encoder.embed_tokens.weight")  # one tensor, saved under either name
_SIZES = ("d_model", "d_kv", "d_ff", "num_layers", "num_heads", "vocab_size")
# The tokenizer itself says of which class it is.
_DECODER_KEYS = ("num_decoder_layers", "decoder_start_token_id", "tokenizer_class")


def read_t5_config(folder: Path) -> dict[str, Any]:
    """Read the ``config.json`` of a T5 or mT5 model.

    Raises
    ------
    EncoderError
        It is missing, unreadable, or of another kind of model.
    """
    path = folder / CONFIG
    try:
        config = json.loads(path.read_bytes())
        kind = config.get("model_type")
    except (OSError, ValueError, AttributeError) as error:
        raise EncoderError(
            f"cannot read {path}: {error}", hint="the base is a folder as transformers writes it"
        ) from error
    wrong = [key for key in _SIZES if not isinstance(config.get(key), int)]
    if kind not in T5_SHARED_BIAS or wrong:
        what = (
            f"model_type is {kind!r}" if kind not in T5_SHARED_BIAS else f"{wrong[0]} is no number"
        )
        raise EncoderError(
            f"{folder} is no T5 or mT5 model: {what}",
            hint="give a base such as google/mt5-xxl",
        )
    return dict(config)


def encoder_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name every tensor of the encoder, with its shape, from the embedding upwards."""
    d, ff, inner = config["d_model"], config["d_ff"], config["num_heads"] * config["d_kv"]
    gated = str(config.get("feed_forward_proj", "relu")).startswith("gated")
    shapes: dict[str, tuple[int, ...]] = {_SHARED: (config["vocab_size"], d)}
    for block in range(config["num_layers"]):
        attention = f"encoder.block.{block}.layer.0."
        feed_forward = f"encoder.block.{block}.layer.1."
        for name in "qkv":
            shapes[f"{attention}SelfAttention.{name}.weight"] = (inner, d)
        shapes[f"{attention}SelfAttention.o.weight"] = (d, inner)
        if block == 0:
            buckets = config.get("relative_attention_num_buckets", 32)
            bias = f"{attention}SelfAttention.relative_attention_bias.weight"
            shapes[bias] = (buckets, config["num_heads"])
        shapes[f"{attention}layer_norm.weight"] = (d,)
        for name in ("wi_0", "wi_1") if gated else ("wi",):
            shapes[f"{feed_forward}DenseReluDense.{name}.weight"] = (ff, d)
        shapes[f"{feed_forward}DenseReluDense.wo.weight"] = (d, ff)
        shapes[f"{feed_forward}layer_norm.weight"] = (d,)
    shapes["encoder.final_layer_norm.weight"] = (d,)
    return shapes


def stored_name(checkpoint: Checkpoint, name: str) -> str:
    """Return the name under which a checkpoint holds a tensor of the encoder."""
    if name == _SHARED:
        return next((found for found in _EMBEDDING_NAMES if found in checkpoint), name)
    return name


def encoder_names(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the tensors of the encoder alone: what each is called there, by its own name."""
    inside = (name for name in checkpoint.names() if name.startswith("encoder."))
    named = {name: name for name in inside if name not in _EMBEDDING_NAMES}
    return {_SHARED: stored_name(checkpoint, _SHARED)} | named


def check_shapes(checkpoint: Checkpoint, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a checkpoint whose tensors are not those that its config promises.

    Raises
    ------
    EncoderError
        Names the first tensor that is missing or has another shape.
    """
    for name, shape in shapes.items():
        found = checkpoint.shape(stored_name(checkpoint, name))
        if found != shape:
            raise EncoderError(
                f"{name} in {checkpoint.folder} has shape {found}, its config.json says {shape}",
                hint="take config.json and weights from the same model",
            )


def encoder_config(config: Mapping[str, Any], *, dtype: str = "") -> dict[str, Any]:
    """Turn the config of the whole model into one of its encoder alone.

    Parameters
    ----------
    config : mapping
        As in ``config.json``.
    dtype : str
        Of the weights, where it is another than the config says.
    """
    kept = {key: value for key, value in config.items() if key not in _DECODER_KEYS}
    return (
        kept
        | {"architectures": [T5_CLASSES[config["model_type"]]]}
        | ({"dtype": dtype} if dtype else {})
        | {"is_encoder_decoder": False, "use_cache": False}
    )
