"""Fetch an encoder into a folder of its own: m-st5 merged from its parts, others copied."""

import importlib
import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bitextmine.checkpoints.layout import (
    CONFIG,
    MODEL_WEIGHTS,
    README,
    default_folder,
    local_files,
)
from bitextmine.checkpoints.manifest import write_manifest
from bitextmine.checkpoints.tensors import Checkpoint, open_checkpoint
from bitextmine.config import M_ST5, M_ST5_ADAPTER, M_ST5_BASE
from bitextmine.encoders.presets import preset_of
from bitextmine.errors import EncoderError
from bitextmine.models.adapter import LoraAdapter
from bitextmine.models.model_folder import Destination, opened_destination
from bitextmine.models.origins import Source, find_source
from bitextmine.models.t5_encoder import (
    check_shapes,
    encoder_config,
    encoder_shapes,
    index_of,
    plan_shards,
    pooling_files,
    read_t5_config,
    stored_name,
)
from bitextmine.models.weights_writer import shard_blocks, tensor_bytes
from bitextmine.progress import bar

M_ST5_LICENCE = "CC-BY-NC-4.0"
SHARD_BYTES = 2**30  # at most, in a file of weights
SPIECE = "spiece.model"
_BASE_FILES = (CONFIG, SPIECE, "*.safetensors", "*.bin", "*.index.json")
_ADAPTER_FILES = ("adapter_config.json", "adapter_model.*")
_COPY_BLOCK = 2**22  # bytes


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
        A source is missing, damaged or does not fit.
    OutputError
        The folder is in use, made from other sources, or the disk is full.
    """
    if name == M_ST5:
        return pull_m_st5(base=base, adapter=adapter, out=out)
    preset = None if Path(name).is_dir() else preset_of(name)
    called = preset.info.name if preset else name
    source = find_source("model", preset.repo if preset else name, asked=called)
    is_hub = bool(source.revision)
    folder = out or default_folder(called if is_hub else Path(source.label).name)
    open_checkpoint(source.folder)  # refuses what is truncated or incomplete
    with opened_destination(folder, [source.card()]) as destination:
        if not destination.complete:
            _copy(source, destination)
            write_manifest(
                folder,
                name=called if is_hub else Path(source.label).name,
                sources=destination.sources,
                licence=source.licence(),
                dtype="",
                files=destination.marks,
            )
    return folder


def _copy(source: Source, destination: Destination) -> None:
    """Copy the needed files and the README, except what an earlier run has copied."""
    names = [*local_files(source.folder), README]
    sizes = {
        name: (source.folder / name).stat().st_size
        for name in names
        if (source.folder / name).is_file()
    }
    destination.check_space(sizes)
    with bar("copying", total=sum(sizes.values()), unit="B") as progress:
        for name, size in sizes.items():
            if destination.has(name):
                progress.update(size)
            else:
                destination.write(name, _file_blocks(source.folder / name), progress.update)


def _file_blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_COPY_BLOCK):
            yield block


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
        A source is missing, damaged, no T5 model, or the adapter is for another base.
    OutputError
        The folder is in use, made from other sources, or the disk is full.
    """
    folder = out or default_folder(M_ST5)
    adapter_source = find_source("adapter", adapter, allow=_ADAPTER_FILES, asked=M_ST5)
    lora = LoraAdapter.read(adapter_source.folder)  # before 50 GB are fetched
    base_source = find_source("base", base, allow=_BASE_FILES, asked=M_ST5)
    sources = [base_source.card(), adapter_source.card()]
    with opened_destination(folder, sources) as destination:
        if not destination.complete:
            merge = _Merge.prepare(base_source.folder, lora)
            merge.write_weights(destination)
            _write_companions(destination, base_source, adapter_source, merge.config)
            write_manifest(
                folder,
                name=M_ST5,
                sources=sources,
                licence=M_ST5_LICENCE,
                dtype="bfloat16",
                files=destination.marks,
            )
    return folder


@dataclass(frozen=True, kw_only=True)
class _Merge:
    """A base and an adapter that fit each other."""

    config: dict[str, Any]
    checkpoint: Checkpoint
    adapter: LoraAdapter
    shapes: dict[str, tuple[int, ...]]

    @staticmethod
    def prepare(base: Path, adapter: LoraAdapter) -> "_Merge":
        """Check everything that can be checked without reading tensors."""
        config = read_t5_config(base)
        _find_spiece(base)
        checkpoint = open_checkpoint(base, MODEL_WEIGHTS)
        shapes = encoder_shapes(config)
        check_shapes(checkpoint, shapes)
        adapter.check_fits({name: checkpoint.shape(name) for name in checkpoint.names()})
        return _Merge(config=config, checkpoint=checkpoint, adapter=adapter, shapes=shapes)

    def write_weights(self, destination: Destination) -> None:
        """Write the shards that are not there yet, then their index."""
        sizes = {name: tensor_bytes(shape) for name, shape in self.shapes.items()}
        shards = plan_shards(sizes, SHARD_BYTES)
        shard_sizes = {shard: sum(map(sizes.__getitem__, names)) for shard, names in shards.items()}
        destination.check_space(shard_sizes)
        with bar("merging", total=sum(sizes.values()), unit="B") as progress:
            for shard, names in shards.items():
                if destination.has(shard):
                    progress.update(shard_sizes[shard])
                    continue
                blocks = shard_blocks({name: self.shapes[name] for name in names}, self.tensor)
                destination.write(shard, blocks, progress.update)
        _write_json(
            destination, "model.safetensors.index.json", index_of(shards, sum(sizes.values()))
        )

    def tensor(self, name: str) -> Tensor:
        """Return one tensor of the encoder, merged in float32, in bfloat16."""
        merged = self.adapter.merged(
            name, self.checkpoint.get(stored_name(self.checkpoint, name))
        ).to(torch.bfloat16)
        if not torch.isfinite(merged.sum(dtype=torch.float32)):
            raise EncoderError(
                f"{name} of {self.checkpoint.folder} with the adapter has NaN or infinite values",
                hint="fetch the base and the adapter again",
            )
        return merged


def _write_companions(
    destination: Destination, base: Source, adapter: Source, config: dict[str, Any]
) -> None:
    """Write configs, pooling, tokenizer and README."""
    _write_json(destination, CONFIG, encoder_config(config))
    for name, content in pooling_files(config["d_model"]).items():
        _write_json(destination, name, content)
    with tempfile.TemporaryDirectory(prefix="bitextmine-") as temporary:
        tokenizer = importlib.import_module("bitextmine.models.t5_tokenizer")
        tokenizer.write_t5_tokenizer(_find_spiece(base.folder), Path(temporary))
        for path in sorted(Path(temporary).iterdir()):
            destination.write(path.name, _file_blocks(path))
    destination.write(README, [_readme(base, adapter).encode()])


def _find_spiece(base: Path) -> Path:
    path = base / SPIECE
    if not path.is_file():
        raise EncoderError(
            f"{base} has no {SPIECE}, the tokenizer of mT5",
            hint=f"put {SPIECE} of the model, or of google/mt5-small, into the folder",
        )
    return path


def _write_json(destination: Destination, name: str, content: Any) -> None:
    destination.write(name, [json.dumps(content, indent=2).encode() + b"\n"])


def _readme(base: Source, adapter: Source) -> str:
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
