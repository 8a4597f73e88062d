"""An adapter and its base, made into one model that needs neither."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bitextmine.checkpoints.description import Description, describe
from bitextmine.checkpoints.layout import MODEL_WEIGHTS, MODULES, README
from bitextmine.checkpoints.model_card import read_languages
from bitextmine.checkpoints.model_kinds import T5_TYPES
from bitextmine.checkpoints.tensors import Checkpoint, open_checkpoint
from bitextmine.errors import EncoderError
from bitextmine.models import weight_files
from bitextmine.models.adapter import LoraAdapter
from bitextmine.models.companions import companion_files
from bitextmine.models.ingredients import Ingredient, find_ingredient
from bitextmine.models.model_folder import ModelFolder, make_model
from bitextmine.models.t5_encoder import encoder_names
from bitextmine.models.weight_files import TensorForm, in_library_order, plan_files, write_weights

_CARD = "training.json"
_WIDEST_BYTES = 4  # a number


def merge(adapter: str, *, out: Path, base: str = "") -> Path:
    """Add a LoRA adapter to the weights of its base, and write a model of its own.

    Sums are computed in float32 and kept in the type that the base has. Of a T5 model, only
    the encoder is written. Memory holds one tensor at a time, with what its sum takes. An
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
        An ingredient is missing or damaged, or the adapter is for another base.
    OutputError
        The folder is in use, made from other ingredients, or the disk is full.
    """
    added = find_ingredient("adapter", adapter)
    lora = LoraAdapter.read(added.folder)
    if not base and not lora.base:
        raise EncoderError(
            f"the adapter in {added.folder} does not name its base",
            hint="name it with --base: a folder or a hub id",
        )
    changed = find_ingredient("base", base or lora.base)
    training = _training(added.folder)
    description = describe(
        changed.folder,
        prompt=training.get("prompt"),
        pooling=None if (changed.folder / MODULES).exists() else training.get("pooling"),
    )
    weights = _matched(description, lora)

    def fill(destination: ModelFolder) -> None:
        relative = description.folder.relative_to(changed.folder).as_posix()
        prefix = "" if relative == "." else f"{relative}/"
        write_weights(
            destination, _planned(weights.forms), weights.forms, weights.tensor, prefix=prefix
        )
        _write_companions(destination, changed, added, description)

    name, licence = out.resolve().name, _licence(changed, added)
    return make_model(out, [changed, added], name=name, licence=licence, fill=fill)


def _training(folder: Path) -> dict[str, Any]:
    """Return what an adapter of ours says of prompt and pooling; nothing of others."""
    try:
        known = json.loads((folder / _CARD).read_bytes())["encoder"]
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return known if isinstance(known, dict) else {}


@dataclass(frozen=True, kw_only=True)
class MergedWeights:
    """The tensors of a new model, each merged when it is asked for.

    Attributes
    ----------
    base : Checkpoint
        The weights that the adapter changes.
    lora : LoraAdapter
        Changes some of them.
    stored : mapping
        By name in the new model: what the base calls a tensor.
    adapted : mapping
        By name in the new model: what the adapter calls a tensor that it changes.
    dtype : torch.dtype or None
        Of all tensors; None keeps the types that the base has.
    remedy : str
        What to do where numbers are not finite.
    """

    base: Checkpoint
    lora: LoraAdapter
    stored: Mapping[str, str]
    adapted: Mapping[str, str]
    dtype: torch.dtype | None
    remedy: str

    @property
    def forms(self) -> dict[str, TensorForm]:
        """Types and shapes, without reading a tensor."""
        return {
            name: TensorForm(self.dtype or self.base.dtype(stored), self.base.shape(stored))
            for name, stored in self.stored.items()
        }

    def tensor(self, name: str) -> Tensor:
        """Return one tensor, summed in float32.

        Raises
        ------
        EncoderError
            What was changed or converted has numbers that are not finite.
        """
        tensor = self.base.get(self.stored[name])
        dtype = self.dtype or tensor.dtype
        if name in self.adapted:
            tensor = self.lora.merged(self.adapted[name], tensor)
        elif self.dtype is None:
            return tensor  # as it is in the base
        tensor = tensor.to(dtype)
        if not torch.isfinite(tensor.sum(dtype=torch.float32)):
            raise EncoderError(
                f"{name} of {self.base.folder} with the adapter has NaN or infinite values",
                hint=self.remedy,
            )
        return tensor


def _matched(description: Description, lora: LoraAdapter) -> MergedWeights:
    """Match the names of base and adapter; refuses an adapter that is for another base."""
    base = open_checkpoint(description.folder, MODEL_WEIGHTS)
    is_t5 = description.model_type in T5_TYPES
    stored = encoder_names(base) if is_t5 else {name: name for name in base.names()}
    adapted, shapes = {}, {}
    for name in lora.pairs:
        # A checkpoint of BERT with a head has "bert." before the names of the encoder.
        found = [written for written in stored if f".{written}".endswith(f".{name}")]
        if len(found) == 1:
            adapted[found[0]] = name
            shapes[name] = base.shape(stored[found[0]])
    lora.check_fits(shapes)
    return MergedWeights(
        base=base,
        lora=lora,
        stored=stored,
        adapted=adapted,
        dtype=None,
        remedy="fetch or train the adapter again",
    )


def _planned(forms: Mapping[str, TensorForm]) -> dict[str, list[str]]:
    """Distribute tensors over files, in each of them as the safetensors library would.

    They are counted as if they were float32, whatever they are: other files would make the same
    weights another model to `weights_hash`.
    """
    sizes = {
        name: form.n_bytes // form.dtype.itemsize * _WIDEST_BYTES for name, form in forms.items()
    }
    files = plan_files(sizes, weight_files.FILE_BYTES)
    if len(files) == 1:
        files = {"model.safetensors": list(forms)}
    return {
        file: in_library_order({name: forms[name] for name in names})
        for file, names in files.items()
    }


def _write_companions(
    destination: ModelFolder, base: Ingredient, adapter: Ingredient, description: Description
) -> None:
    with tempfile.TemporaryDirectory(prefix="bitextmine-") as temporary:
        folder = Path(temporary)
        companion_files(base.folder, description, folder)
        for path in sorted(path for path in folder.rglob("*") if path.is_file()):
            destination.copy(path.relative_to(folder).as_posix(), path)
    destination.write(README, [_readme(base, adapter).encode()])


def _licence(base: Ingredient, adapter: Ingredient) -> str:
    stated = [ingredient.licence() for ingredient in (adapter, base)]
    known = list(dict.fromkeys(licence for licence in stated if licence != "unknown"))
    return " and ".join(known) or "unknown"


def _readme(base: Ingredient, adapter: Ingredient) -> str:
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
