"""Files of a checkpoint without weights, as tests of what is read from them want them."""

import json
from pathlib import Path
from typing import Any

OLD = "sentence_transformers.models."
BERT = {"model_type": "bert", "hidden_size": 8, "max_position_embeddings": 512}
MT5 = {"model_type": "mt5", "d_model": 8, "is_encoder_decoder": True}
MEAN = {"pooling_mode_mean_tokens": True}
Files = dict[str, Any]


def write(folder: Path, files: Files) -> Path:
    """Write files; what is not a string is written as JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return folder


def modules(*names: str, prefix: str = OLD, transformer: str = "") -> list[dict[str, Any]]:
    """List modules as modules.json does, the transformer first."""
    places = [transformer, *(f"{i}_{name}" for i, name in enumerate(names, 1))]
    return [
        {"idx": i, "name": str(i), "path": place, "type": prefix + name}
        for i, (name, place) in enumerate(zip(("Transformer", *names), places, strict=True))
    ]


def pooled(pooling: Files, **more: Any) -> Files:
    """Files of a BERT with this pooling, and more files."""
    return {
        "config.json": BERT,
        "modules.json": modules("Pooling"),
        "1_Pooling/config.json": pooling,
    } | more


def with_dense(**changes: Any) -> Files:
    """Files of a BERT with mean pooling and a dense layer."""
    dense = {
        "in_features": 8,
        "out_features": 4,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    listed = modules("Pooling", "Dense")
    kept = {name: value for name, value in (dense | changes).items() if value != "absent"}
    return pooled(MEAN) | {"modules.json": listed, "2_Dense/config.json": kept}
