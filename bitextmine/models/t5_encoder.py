"""The encoder of a T5 or mT5 checkpoint: its tensors, their shapes, and the configs beside it."""

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from bitextmine.checkpoints.layout import CONFIG
from bitextmine.checkpoints.tensors import Checkpoint
from bitextmine.errors import EncoderError

SHARED = "shared.weight"
_EMBEDDING_NAMES = (SHARED, "encoder.embed_tokens.weight")  # one tensor, saved under either name
_CLASSES = {"mt5": "MT5EncoderModel", "t5": "T5EncoderModel"}
_SIZES = ("d_model", "d_kv", "d_ff", "num_layers", "num_heads", "vocab_size")
_DECODER_KEYS = {"num_decoder_layers", "decoder_start_token_id", "output_past", "torch_dtype"}
_LONGEST = 512  # tokens read of a sentence; T5 itself has no limit


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
    if kind not in _CLASSES or wrong:
        what = f"model_type is {kind!r}" if kind not in _CLASSES else f"{wrong[0]} is no number"
        raise EncoderError(
            f"{folder} is no T5 or mT5 model: {what}",
            hint="give a base such as google/mt5-xxl",
        )
    return dict(config)


def encoder_shapes(config: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Name every tensor of the encoder, with its shape, from the embedding upwards."""
    d, ff, inner = config["d_model"], config["d_ff"], config["num_heads"] * config["d_kv"]
    gated = str(config.get("feed_forward_proj", "relu")).startswith("gated")
    shapes: dict[str, tuple[int, ...]] = {SHARED: (config["vocab_size"], d)}
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
    if name == SHARED:
        return next((found for found in _EMBEDDING_NAMES if found in checkpoint), name)
    return name


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


def encoder_config(config: Mapping[str, Any]) -> dict[str, Any]:
    """Turn the config of the whole model into one of its encoder alone, in bfloat16."""
    kept = {key: value for key, value in config.items() if key not in _DECODER_KEYS}
    kept.pop("tokenizer_class", None)  # the tokenizer says so itself
    return kept | {
        "architectures": [_CLASSES[config["model_type"]]],
        "dtype": "bfloat16",
        "is_encoder_decoder": False,
        "use_cache": False,
    }


def pooling_files(dim: int) -> dict[str, Any]:
    """Return what tells sentence-transformers to take the mean over all tokens, by file name."""
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    return {
        "modules.json": [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(modules)
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": dim,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
        "sentence_bert_config.json": {"max_seq_length": _LONGEST, "do_lower_case": False},
    }


def plan_shards(sizes: Mapping[str, int], limit: int) -> dict[str, list[str]]:
    """Distribute tensors over files of at most ``limit`` bytes; a larger one has a file to itself.

    Returns
    -------
    dict
        File name to tensor names, in the order given.
    """
    groups: list[list[str]] = []
    room = 0
    for name, size in sizes.items():
        if size > room or not groups:
            groups.append([])
            room = limit
        groups[-1].append(name)
        room -= size
    return {_shard_name(i, len(groups)): names for i, names in enumerate(groups, 1)}


def _shard_name(number: int, count: int) -> str:
    return f"model-{number:05d}-of-{count:05d}.safetensors"


def index_of(shards: Mapping[str, Iterable[str]], total_bytes: int) -> dict[str, Any]:
    """Return the content of ``model.safetensors.index.json``."""
    return {
        "metadata": {"total_size": total_bytes},
        "weight_map": {name: shard for shard, names in shards.items() for name in names},
    }
