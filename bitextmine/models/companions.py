"""Everything of a model folder but its weights: config, tokenizer, pooling, prompt."""

import json
import shutil
from pathlib import Path
from typing import Any

from bitextmine.checkpoints.description import Description, describe
from bitextmine.checkpoints.layout import CONFIG, MODULES, is_weights, local_files
from bitextmine.checkpoints.model_kinds import T5_TYPES
from bitextmine.checkpoints.tokenizer_files import SPIECE
from bitextmine.files import atomic_write, write_json
from bitextmine.models.t5_encoder import encoder_config
from bitextmine.models.t5_tokenizer import write_t5_tokenizer

_PROMPTS = "config_sentence_transformers.json"


def companion_files(base: Path, description: Description, out: Path) -> None:
    """Write everything of a model but its weights: config, tokenizer, pooling, prompt.

    Parameters
    ----------
    base : Path
        The model that was trained.
    description : Description
        How it was used in training.
    out : Path
        An existing folder.

    Raises
    ------
    EncoderError
        A file of the base is damaged.
    OutputError
        The folder cannot be written.
    """
    for name in local_files(base):
        if not is_weights(name) or not _beside_transformer(base / name, description):
            if name.endswith(".index.json"):
                continue
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base / name, out / name)
    transformer = out / description.folder.relative_to(base)
    if description.model_type in T5_TYPES:
        config = json.loads((transformer / CONFIG).read_bytes())
        write_json(transformer / CONFIG, encoder_config(config))
        if (transformer / SPIECE).is_file():
            write_t5_tokenizer(description.folder / SPIECE, transformer)
    if not (base / MODULES).exists():
        _write_pooling(out, description)
    _write_prompt(out / _PROMPTS, description.prompt)


def _beside_transformer(path: Path, description: Description) -> bool:
    """Tell whether weights are the transformer's, not a dense layer's behind it."""
    return path.parent == description.folder


def _write_pooling(out: Path, description: Description) -> None:
    """Write for sentence-transformers what it would otherwise guess."""
    files = pooling_files(
        description.hidden_dim,
        max_length=describe(description.folder).max_length,  # its own, not that of training
        pool_cls=description.poolings == ("cls",),
        lowercase=description.lowercase,
    )
    for name, content in files.items():
        (out / name).parent.mkdir(exist_ok=True)
        with atomic_write(out / name) as file:
            file.write(json.dumps(content, indent=2).encode() + b"\n")


def pooling_files(
    dim: int,
    *,
    max_length: int,
    pool_cls: bool = False,
    lowercase: bool = False,
    normalise: bool = False,
) -> dict[str, Any]:
    """Return what tells sentence-transformers how to pool, by file name.

    Parameters
    ----------
    dim : int
        Of a token's last hidden state.
    max_length : int
        Tokens read of a sentence.
    pool_cls : bool
        Whether a sentence's vector is that of its first token, not the mean over all of them.
    lowercase : bool
        Whether text is lower-cased first.
    normalise : bool
        Whether vectors are brought to length 1.
    """
    modules = [("", "Transformer"), ("1_Pooling", "Pooling")]
    modules += [("2_Normalize", "Normalize")] if normalise else []
    return {
        MODULES: [
            {"idx": i, "name": str(i), "path": path, "type": f"sentence_transformers.models.{kind}"}
            for i, (path, kind) in enumerate(modules)
        ],
        "1_Pooling/config.json": {
            "word_embedding_dimension": dim,
            "pooling_mode_cls_token": pool_cls,
            "pooling_mode_mean_tokens": not pool_cls,
            "pooling_mode_max_tokens": False,
            "pooling_mode_mean_sqrt_len_tokens": False,
        },
        "sentence_bert_config.json": {"max_seq_length": max_length, "do_lower_case": lowercase},
    }


def _write_prompt(path: Path, prompt: str) -> None:
    """Make the prompt of training the default, if it is not."""
    settings = json.loads(path.read_bytes()) if path.exists() else {}
    prompts = settings.get("prompts") or {}
    if prompt == (prompts.get(settings.get("default_prompt_name")) or ""):
        return
    known = next((name for name, text in prompts.items() if text == prompt), "training")
    prompts = prompts | {known: prompt}
    write_json(path, settings | {"prompts": prompts, "default_prompt_name": known})
