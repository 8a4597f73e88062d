"""A checkpoint's transformer in memory, whole and on its device, or an error that says why not."""

import importlib
import logging
import re
from math import prod
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from bitextmine.checkpoints.description import Description
from bitextmine.checkpoints.layout import ADAPTER_CONFIG
from bitextmine.checkpoints.model_kinds import T5_CLASSES
from bitextmine.checkpoints.tensors import open_checkpoint
from bitextmine.encoders.transformer.batches import Groups
from bitextmine.encoders.transformer.flat_bert import FlatBert
from bitextmine.encoders.transformer.flat_t5 import FlatT5
from bitextmine.errors import EncoderError
from bitextmine.machine import CPU

_GIB = 2**30
_WORKING_GIB = 1.5  # beside the weights: some batch, and what a GPU keeps for itself
# A model is whole without these: heads of the pre-training task, which we do not run.
_UNUSED = ("pooler.", "lm_head.", "cls.")
_BELONG_TOGETHER = "config.json and the weights must belong together; fetch the model again"
_NUMBER = re.compile(r"\d+")

_DECODING = re.compile(r"\bdecoder\b|\blm_head\b")  # weights that are never loaded
_LOOKED_UP = re.compile(rf"embed|\bshared\b|\bwte\b|{_DECODING.pattern}")  # not multiplied with

LOG = logging.getLogger(__name__)


class Backbone(Protocol):
    """A transformer encoder over sentences that lie end to end.

    Attributes
    ----------
    dim : int
        Of a hidden state.
    vocabulary : int
        Token ids that it has embeddings for.
    static : bool
        Whether it is best called with batches of always the same number of tokens.
    """

    dim: int
    vocabulary: int
    static: bool

    def __call__(self, ids: Tensor, groups: Groups) -> Tensor:
        """Return the last hidden states (tokens, dim) of token ids (tokens,)."""
        ...

    def compile(self, tokens: int) -> None:
        """Compile what can be compiled, for batches of this many tokens."""
        ...


class PlainBackbone:
    """Any other model of transformers, called once a group of equal length: nothing is padded.

    Parameters
    ----------
    model : PreTrainedModel
        An encoder.
    device : str
        Where to compute.
    """

    static = False

    def __init__(self, model: Any, device: str) -> None:
        self._model = model.to(device).eval()
        self.dim: int = model.config.hidden_size
        self.vocabulary: int = model.get_input_embeddings().num_embeddings

    def __call__(self, ids: Tensor, groups: Groups) -> Tensor:
        """Return the last hidden states: as `FlatT5.__call__`."""
        hidden: list[Tensor] = []
        start = 0
        for sentences, length in groups:
            stop = start + sentences * length
            tokens = ids[start:stop].view(sentences, length)
            states = self._model(input_ids=tokens, attention_mask=torch.ones_like(tokens))
            hidden.append(states.last_hidden_state.reshape(sentences * length, -1).float())
            start = stop
        return torch.cat(hidden)

    def compile(self, tokens: int) -> None:
        """Do nothing: shapes vary from group to group."""


def load_backbone(
    description: Description, *, device: str, dtype: torch.dtype, trust_remote_code: bool
) -> Backbone:
    """Load a checkpoint's transformer, in the fastest form we have for it.

    Parameters
    ----------
    description : Description
        What the folder's files say.
    device : str
        "cpu", "cuda:0", …
    dtype : torch.dtype
        Of matrix products.
    trust_remote_code : bool
        Whether Python code of the folder may run.

    Raises
    ------
    EncoderError
        The weights are damaged, incomplete, of another shape, or do not fit into the device.
    """
    _require_room(description.folder, device, dtype)  # damaged weights are told here, by name
    model = load_transformer(description, device, dtype, trust_remote_code)
    backbone: Backbone
    if FlatT5.fits(model.config):
        backbone = FlatT5(model, device, dtype)
    elif FlatBert.fits(model.config):
        backbone = FlatBert(model, device, dtype)
    else:
        backbone = PlainBackbone(model, device)
    _try(backbone, description.folder, device)
    return backbone


@torch.inference_mode()
def _try(backbone: Backbone, folder: Path, device: str) -> None:
    """Refuse a model that cannot compute what we ask of it, before a run has begun."""
    ids = torch.zeros(8, dtype=torch.int64, device=device)
    try:
        states = backbone(ids, ((1, 3), (1, 5)))
    except torch.OutOfMemoryError:
        raise
    except (RuntimeError, TypeError, ValueError, IndexError) as error:
        raise EncoderError(
            f"the model in {folder} does not run: {_in_one_line(error)}", hint=_BELONG_TOGETHER
        ) from error
    if states.shape != (8, backbone.dim):
        raise EncoderError(
            f"the model in {folder} does not give a state of {backbone.dim} numbers for each token",
            hint="choose a model that sentence-transformers would pool over tokens",
        )


def _refuse_adapter(folder: Path) -> None:
    if (folder / ADAPTER_CONFIG).exists():
        raise EncoderError(
            f"{folder} holds an adapter beside its model",
            hint="make one model of both with `bitextmine models merge`, or remove the adapter",
        )


def load_transformer(
    description: Description, device: str, dtype: torch.dtype, trust_remote_code: bool
) -> Any:
    """Load a checkpoint with transformers, for mining or training; nothing in it is made up.

    Straight onto the device: eight GPUs must not need eight copies in the host's memory.

    Returns
    -------
    PreTrainedModel
        In evaluation mode.

    Raises
    ------
    EncoderError
        The weights are damaged, incomplete, of another shape, or have an adapter beside them.
    """
    _refuse_adapter(description.folder)
    transformers: Any = importlib.import_module("transformers")  # late; its logging has no types
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model_class = getattr(transformers, T5_CLASSES.get(description.model_type, "AutoModel"))
    try:
        model, found = model_class.from_pretrained(
            description.folder,
            dtype=dtype,
            device_map=None if device == CPU else device,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # or its error names none; `_require_whole` does
        )
    except Exception as error:  # a config that makes no sense meets checks of every kind
        raise EncoderError(
            f"cannot load {description.folder}: {_in_one_line(error)}",
            hint=_BELONG_TOGETHER,
        ) from error
    _require_whole(model, found, description.folder)
    return model.eval()


def _require_whole(model: Any, found: dict[str, Any], folder: Path) -> None:
    """Refuse weights of which some were made up, or that have layers beyond the model's."""
    wrong = [name for name in found["missing_keys"] if not is_unused(name)]
    wrong += [str(mismatch[0]) for mismatch in found["mismatched_keys"]]
    if wrong:
        raise EncoderError(
            f"the weights in {folder} are not those of config.json:"
            f" {min(wrong)} is missing or of another shape",
            hint=_BELONG_TOGETHER,
        )
    known = {_NUMBER.sub("#", name) for name, _ in model.named_parameters()}
    beyond = [name for name in found["unexpected_keys"] if _NUMBER.sub("#", name) in known]
    if beyond:
        raise EncoderError(
            f"the weights in {folder} are not those of config.json,"
            f" which has no place for {min(beyond)}",
            hint=_BELONG_TOGETHER,
        )


def is_unused(name: str) -> bool:
    """Tell whether a weight belongs to the task of pre-training, and has no say in vectors."""
    return any(name.startswith(part) or f".{part}" in name for part in _UNUSED)


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__


def _require_room(folder: Path, device: str, dtype: torch.dtype) -> None:
    """Refuse a GPU whose free memory is too small, before half of the weights are on it."""
    checkpoint = open_checkpoint(folder)
    if not device.startswith("cuda"):
        return
    free, total = torch.cuda.mem_get_info(device)
    names = [name for name in checkpoint.names() if not _DECODING.search(name)]
    weights = sum(prod(checkpoint.shape(name)) for name in names) * dtype.itemsize
    needed = weights / _GIB + _WORKING_GIB
    if needed * _GIB > free:
        raise EncoderError(
            f"{folder.name} needs about {needed:.1f} GiB on {device}, which has"
            f" {free / _GIB:.1f} GiB free of {total / _GIB:.1f}",
            hint="choose a larger GPU with --devices, or a smaller --model",
        )


def count_multiplied(folder: Path) -> int:
    """Return how many weights every token is multiplied with; reads the files' headers alone."""
    checkpoint = open_checkpoint(folder)
    names = (name for name in checkpoint.names() if not _LOOKED_UP.search(name))
    return sum(prod(checkpoint.shape(name)) for name in names)
