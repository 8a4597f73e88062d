"""An adapter and its base, made into one model that needs neither."""

import importlib
import json
import math
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from bitextmine.checkpoints.description import Description, describe
from bitextmine.checkpoints.layout import CONFIG, MODEL_WEIGHTS, MODULES, README, local_files
from bitextmine.checkpoints.layout import is_weights as holds_tensors
from bitextmine.checkpoints.manifest import write_manifest
from bitextmine.checkpoints.model_card import read_languages
from bitextmine.checkpoints.model_kinds import T5_TYPES
from bitextmine.checkpoints.tensors import Checkpoint, open_checkpoint
from bitextmine.errors import EncoderError
from bitextmine.files import atomic_write, write_json
from bitextmine.models.adapter import LoraAdapter
from bitextmine.models.model_folder import Destination, opened_destination
from bitextmine.models.origins import Source, find_source
from bitextmine.models.t5_encoder import index_of, plan_shards, pooling_files
from bitextmine.progress import bar

SHARD_BYTES = 2**30  # at most, in a file of weights
_SPIECE = "spiece.model"
_CARD = "training.json"
_PROMPTS = "config_sentence_transformers.json"
_T5_EMBEDDING = ("shared.weight", "encoder.embed_tokens.weight")  # one tensor under two names
_T5_CLASSES = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}
_DECODER_KEYS = ("num_decoder_layers", "decoder_start_token_id", "tokenizer_class")
_BLOCK = 2**24  # bytes handed on at once


def merge(adapter: str, *, out: Path, base: str = "") -> Path:
    """Add a LoRA adapter to the weights of its base, and write a model of its own.

    Sums are computed in float32 and kept in the type that the base has. Of a T5 model, only
    the encoder is written. Memory holds about twice ``SHARD_BYTES``, or the largest tensor. An
    interrupted run leaves finished files, and the next goes on behind them.

    Parameters
    ----------
    adapter : str
        A folder of `bitextmine train` or peft, or a hub id.
    out : Path
        A new folder, for this package, transformers and sentence-transformers.
    base : str
        A folder or a hub id; by default what the adapter's config names.

    Raises
    ------
    EncoderError
        A source is missing or damaged, or the adapter is for another base.
    OutputError
        The folder is in use, made from other sources, or the disk is full.
    """
    source = find_source("adapter", adapter)
    lora = LoraAdapter.read(source.folder)
    if not base and not lora.base:
        raise EncoderError(
            f"the adapter in {source.folder} does not name its base",
            hint="name it with --base: a folder or a hub id",
        )
    base_source = find_source("base", base or lora.base)
    training = _training(source.folder)
    description = describe(
        base_source.folder,
        prompt=training.get("prompt"),
        pooling=None if (base_source.folder / MODULES).exists() else training.get("pooling"),
    )
    weights = _Weights.of(description, lora)
    with opened_destination(out, [base_source.card(), source.card()]) as destination:
        if not destination.complete:
            relative = description.folder.relative_to(base_source.folder).as_posix()
            weights.write(destination, "" if relative == "." else f"{relative}/")
            _write_companions(destination, base_source, source, description)
            write_manifest(
                out,
                name=out.resolve().name,
                sources=destination.sources,
                licence=_licence(base_source, source),
                dtype="",
                files=destination.marks,
            )
    return out


def _training(folder: Path) -> dict[str, Any]:
    """Return what an adapter of ours says of prompt and pooling; nothing of others."""
    try:
        known = json.loads((folder / _CARD).read_bytes())["encoder"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return known if isinstance(known, dict) else {}


@dataclass(frozen=True)
class _Weights:
    """Tensors of the base, and what the adapter calls those that it changes."""

    checkpoint: Checkpoint
    lora: LoraAdapter
    written: Mapping[str, str]  # name in the new model -> name in the base
    adapted: Mapping[str, str]  # name in the new model -> name in the adapter

    @staticmethod
    def of(description: Description, lora: LoraAdapter) -> "_Weights":
        """Match names; refuses an adapter that is for another base."""
        checkpoint = open_checkpoint(description.folder, MODEL_WEIGHTS)
        is_t5 = description.model_type in T5_TYPES
        written = _t5_names(checkpoint) if is_t5 else {n: n for n in checkpoint.names()}
        adapted, shapes = {}, {}
        for name in lora.pairs:
            # A checkpoint of BERT with a head has "bert." before the names of the encoder.
            found = [stored for stored in written if f".{stored}".endswith(f".{name}")]
            if len(found) == 1:
                adapted[found[0]] = name
                shapes[name] = checkpoint.shape(written[found[0]])
        lora.check_fits(shapes)
        return _Weights(checkpoint, lora, written, adapted)

    def write(self, destination: Destination, prefix: str) -> None:
        """Write the shards that are not there yet, then their index."""
        # Four bytes a number is the most: types are known when a tensor is read.
        sizes = {
            name: 4 * math.prod(self.checkpoint.shape(stored))
            for name, stored in self.written.items()
        }
        shards = plan_shards(sizes, SHARD_BYTES)
        if len(shards) == 1:
            shards = {"model.safetensors": next(iter(shards.values()))}
        destination.check_space(
            {prefix + shard: sum(map(sizes.__getitem__, names)) for shard, names in shards.items()}
        )
        with bar("merging", total=len(sizes), unit="tensors") as progress:
            for shard, names in shards.items():
                if not destination.has(prefix + shard):
                    destination.write(prefix + shard, self._blocks(names))
                progress.update(len(names))
        if len(shards) > 1:
            index = index_of(shards, sum(destination.marks[prefix + s].size for s in shards))
            content = json.dumps(index, indent=2).encode() + b"\n"
            destination.write(f"{prefix}model.safetensors.index.json", [content])

    def _blocks(self, names: list[str]) -> Iterator[bytes | memoryview]:
        content = memoryview(save({n: self._tensor(n) for n in names}, {"format": "pt"}))
        for start in range(0, len(content), _BLOCK):
            yield content[start : start + _BLOCK]

    def _tensor(self, name: str) -> Tensor:
        tensor = self.checkpoint.get(self.written[name])
        if name not in self.adapted:
            return tensor.contiguous()
        merged = self.lora.merged(self.adapted[name], tensor).to(tensor.dtype).contiguous()
        if not torch.isfinite(merged).all():
            raise EncoderError(
                f"{name} of {self.checkpoint.folder} with the adapter has NaN or infinite values",
                hint="fetch or train the adapter again",
            )
        return merged


def _t5_names(checkpoint: Checkpoint) -> dict[str, str]:
    """Return the tensors of the encoder alone."""
    embedding = next((name for name in _T5_EMBEDDING if name in checkpoint), _T5_EMBEDDING[0])
    inside = (name for name in checkpoint.names() if name.startswith("encoder."))
    return {_T5_EMBEDDING[0]: embedding} | {n: n for n in inside if n != _T5_EMBEDDING[1]}


def _write_companions(
    destination: Destination, base: Source, adapter: Source, description: Description
) -> None:
    with tempfile.TemporaryDirectory(prefix="bitextmine-") as temporary:
        folder = Path(temporary)
        companion_files(base.folder, description, folder)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            destination.write(path.relative_to(folder).as_posix(), [path.read_bytes()])
    destination.write(README, [_readme(base, adapter).encode()])


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
        if not holds_tensors(name) or not _beside_transformer(base / name, description):
            if name.endswith(".index.json"):
                continue
            (out / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(base / name, out / name)
    transformer = out / description.folder.relative_to(base)
    if description.model_type in T5_TYPES:
        _write_t5_config(transformer / CONFIG, description.model_type)
        if (transformer / _SPIECE).is_file():
            tokenizer = importlib.import_module("bitextmine.models.t5_tokenizer")
            tokenizer.write_t5_tokenizer(description.folder / _SPIECE, transformer)
    if not (base / MODULES).exists():
        _write_pooling(out, description)
    _write_prompt(out / _PROMPTS, description.prompt)


def _beside_transformer(path: Path, description: Description) -> bool:
    """Tell whether weights are the transformer's, not a dense layer's behind it."""
    return path.parent == description.folder


def _write_t5_config(path: Path, model_type: str) -> None:
    """Turn the config of a whole T5 into one of its encoder."""
    config = json.loads(path.read_bytes())
    kept = {key: value for key, value in config.items() if key not in _DECODER_KEYS}
    encoder = {"architectures": [_T5_CLASSES[model_type]], "is_encoder_decoder": False}
    write_json(path, kept | encoder | {"use_cache": False})


def _write_pooling(out: Path, description: Description) -> None:
    """Write for sentence-transformers what it would otherwise guess."""
    files = pooling_files(description.hidden_dim)
    pooling = files["1_Pooling/config.json"]
    if description.poolings == ("cls",):
        pooling |= {"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}
    own = describe(description.folder)  # its own length, not that of training
    files["sentence_bert_config.json"] = {
        "max_seq_length": own.max_length,
        "do_lower_case": description.lowercase,
    }
    for name, content in files.items():
        (out / name).parent.mkdir(exist_ok=True)
        with atomic_write(out / name) as file:
            file.write(json.dumps(content, indent=2).encode() + b"\n")


def _write_prompt(path: Path, prompt: str) -> None:
    """Make the prompt of training the default, if it is not."""
    settings = json.loads(path.read_bytes()) if path.exists() else {}
    prompts = settings.get("prompts") or {}
    if prompt == (prompts.get(settings.get("default_prompt_name")) or ""):
        return
    known = next((name for name, text in prompts.items() if text == prompt), "training")
    prompts = prompts | {known: prompt}
    write_json(path, settings | {"prompts": prompts, "default_prompt_name": known})


def _licence(base: Source, adapter: Source) -> str:
    stated = [source.licence() for source in (adapter, base)]
    known = list(dict.fromkeys(licence for licence in stated if licence != "unknown"))
    return " and ".join(known) or "unknown"


def _readme(base: Source, adapter: Source) -> str:
    languages = sorted(read_languages(base.folder))
    licence = _licence(base, adapter)
    front = [f"license: {licence}"] if licence != "unknown" and " " not in licence else []
    front += [f"language: {json.dumps(languages)}"] if languages else []
    return "\n".join(
        [
            "---",
            *front,
            "library_name: sentence-transformers",
            "pipeline_tag: sentence-similarity",
            "---",
            "",
            f"The encoder {base.label} with the LoRA adapter {adapter.label}, merged in float32",
            "by `bitextmine models merge`. `bitextmine.json` has the sources, versions, and a hash",
            "of every file.",
            "",
            f"Licence of adapter and base: {licence}. The terms of the adapter's training data",
            "hold as well.",
            "",
        ]
    )
