"""Fetch an encoder into a folder of its own: m-st5 merged from its parts, others copied."""

import tempfile
from pathlib import Path

import torch

from bitextmine.checkpoints.layout import (
    ADAPTER_CONFIG,
    CONFIG,
    MODEL_WEIGHTS,
    README,
    default_folder,
    local_files,
)
from bitextmine.checkpoints.tensors import open_checkpoint
from bitextmine.checkpoints.tokenizer_files import SPIECE
from bitextmine.config import M_ST5, M_ST5_ADAPTER, M_ST5_BASE
from bitextmine.encoders.presets import preset_of
from bitextmine.errors import EncoderError
from bitextmine.models import weight_files
from bitextmine.models.adapter import LoraAdapter
from bitextmine.models.companions import pooling_files
from bitextmine.models.ingredients import Ingredient, find_ingredient
from bitextmine.models.merge import MergedWeights
from bitextmine.models.model_folder import ModelFolder, make_model
from bitextmine.models.t5_encoder import (
    check_shapes,
    encoder_config,
    encoder_shapes,
    read_t5_config,
    stored_name,
)
from bitextmine.models.t5_tokenizer import write_t5_tokenizer
from bitextmine.models.weight_files import plan_files, write_weights
from bitextmine.progress import bar

M_ST5_LICENCE = "CC-BY-NC-4.0"
_DTYPE = "bfloat16"
_LONGEST = 512  # tokens read of a sentence; T5 itself has no limit
_OLD_KEYS = ("output_past", "torch_dtype")  # which transformers 5 writes no more
_BASE_FILES = (CONFIG, SPIECE, "*.safetensors", "*.bin", "*.index.json")
_ADAPTER_FILES = (ADAPTER_CONFIG, "adapter_model.*")


def pull(
    name: str, *, out: Path | None = None, base: str = M_ST5_BASE, adapter: str = M_ST5_ADAPTER
) -> Path:
    """Fetch a model into a folder that needs no network afterwards.

    Parameters
    ----------
    name : str
        "m-st5" or another preset, a hub id, perhaps with "@revision", or a folder.
    out : Path, optional
        By default ``default_folder(name)``.
    base, adapter : str
        What m-st5 is made of; see ``pull_m_st5``.

    Returns
    -------
    Path
        The folder. If it was complete before, nothing is written.

    Raises
    ------
    EncoderError
        An ingredient is missing, damaged or does not fit.
    OutputError
        The folder is in use, made from other ingredients, or the disk is full.
    """
    if name == M_ST5:
        return pull_m_st5(base=base, adapter=adapter, out=out)
    preset = None if Path(name).is_dir() else preset_of(name)
    known_as = preset.info.name if preset else name
    model = find_ingredient("model", preset.repo if preset else name, asked=known_as)
    called = known_as if model.revision else Path(model.label).name
    open_checkpoint(model.folder)  # refuses what is truncated or incomplete
    return make_model(
        out or default_folder(called),
        [model],
        name=called,
        licence=model.licence(),
        fill=lambda destination: _copy(model.folder, destination),
    )


def _copy(model: Path, destination: ModelFolder) -> None:
    """Copy the needed files and the README, except what an earlier run has copied."""
    names = [*local_files(model), README]
    sizes = {name: (model / name).stat().st_size for name in names if (model / name).is_file()}
    destination.check_space(sizes)
    with bar("copying", total=sum(sizes.values()), unit="B") as progress:
        for name, size in sizes.items():
            if destination.has(name):
                progress.update(size)
            else:
                destination.copy(name, model / name, progress.update)


def pull_m_st5(
    *, base: str = M_ST5_BASE, adapter: str = M_ST5_ADAPTER, out: Path | None = None
) -> Path:
    """Merge the encoder of mT5 with the adapter m-ST5, and write it in bfloat16.

    The encoder's tensors are read one at a time, merged in float32 and written at once, so that
    memory holds one tensor: for mt5-xxl at most the embedding, 4.1 GB in float32 and 2.0 GB
    in bfloat16. An interrupted run leaves finished files, and the next goes on behind them.

    Parameters
    ----------
    base, adapter : str
        A folder or a hub id, perhaps with "@revision".
    out : Path, optional
        By default ``default_folder("m-st5")``.

    Returns
    -------
    Path
        A folder for this package, for transformers and for sentence-transformers.

    Raises
    ------
    EncoderError
        An ingredient is missing, damaged, no T5 model, or the adapter is for another base.
    OutputError
        The folder is in use, made from other ingredients, or the disk is full.
    """
    added = find_ingredient("adapter", adapter, allow=_ADAPTER_FILES, asked=M_ST5)
    lora = LoraAdapter.read(added.folder)  # before 50 GB are fetched
    changed = find_ingredient("base", base, allow=_BASE_FILES, asked=M_ST5)
    return make_model(
        out or default_folder(M_ST5),
        [changed, added],
        name=M_ST5,
        licence=M_ST5_LICENCE,
        dtype=_DTYPE,
        fill=lambda destination: _fill(destination, changed, added, lora),
    )


def _fill(
    destination: ModelFolder, base: Ingredient, adapter: Ingredient, lora: LoraAdapter
) -> None:
    """Merge and write; everything that needs no tensor is checked first."""
    config = read_t5_config(base.folder)
    spiece = _find_spiece(base.folder)
    checkpoint = open_checkpoint(base.folder, MODEL_WEIGHTS)
    shapes = encoder_shapes(config)
    check_shapes(checkpoint, shapes)
    lora.check_fits({name: checkpoint.shape(name) for name in checkpoint.names()})
    weights = MergedWeights(
        base=checkpoint,
        lora=lora,
        stored={name: stored_name(checkpoint, name) for name in shapes},
        adapted={name: name for name in shapes if name in lora.pairs},
        dtype=getattr(torch, _DTYPE),
        remedy="fetch the base and the adapter again",
    )
    sizes = {name: form.n_bytes for name, form in weights.forms.items()}
    files = plan_files(sizes, weight_files.FILE_BYTES)
    write_weights(destination, files, weights.forms, weights.tensor)
    kept = {key: value for key, value in config.items() if key not in _OLD_KEYS}
    destination.write_json(CONFIG, encoder_config(kept, dtype=_DTYPE))
    for name, content in pooling_files(config["d_model"], max_length=_LONGEST).items():
        destination.write_json(name, content)
    with tempfile.TemporaryDirectory(prefix="bitextmine-") as temporary:
        write_t5_tokenizer(spiece, Path(temporary))
        for path in sorted(Path(temporary).iterdir()):
            destination.copy(path.name, path)
    destination.write(README, [_readme(base, adapter).encode()])


def _find_spiece(base: Path) -> Path:
    path = base / SPIECE
    if not path.is_file():
        raise EncoderError(
            f"{base} has no {SPIECE}, the tokenizer of mT5",
            hint=f"put {SPIECE} of the model, or of google/mt5-small, into the folder",
        )
    return path


def _readme(base: Ingredient, adapter: Ingredient) -> str:
    return f"""---
license: {M_ST5_LICENCE.lower()}
library_name: sentence-transformers
pipeline_tag: sentence-similarity
tags:
- sentence-transformers
- mt5
---
# m-st5

Multilingual Sentence-T5 (https://arxiv.org/abs/2403.17528): the encoder of {base.label}
{f"(revision {base.revision}) " if base.revision else ""}with the LoRA adapter {adapter.label}
{f"(revision {adapter.revision}) " if adapter.revision else ""}merged in float32 and written in
bfloat16 by bitextmine. A sentence's vector is the mean over its tokens, `</s>` included.

The adapter's licence is {M_ST5_LICENCE}: no commercial use. `bitextmine.json` has the sources,
the versions and a hash of every file.
"""
