"""A checkpoint's transformer in memory, whole and on its device, or an error that says why not."""

import importlib
import logging
import re
from math import prod
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from bitextmine.checkpoints.tensors import open_checkpoint
from bitextmine.encoders.transformer.batches import Groups
from bitextmine.encoders.transformer.description import Description
from bitextmine.encoders.transformer.flat_bert import FlatBert
from bitextmine.encoders.transformer.flat_t5 import FlatT5
from bitextmine.encoders.transformer.plain import PlainBackbone
from bitextmine.errors import EncoderError

_T5_CLASSES = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}
_GIB = 2**30
_WORKING_GIB = 1.5  # beside the weights: some batch, and what a GPU keeps for itself
# A model is whole without these: heads of the pre-training task, which we do not run.
_UNUSED = ("pooler.", "lm_head.", "cls.")

# Weights that are looked up, or belong to a decoder.
_LOOKED_UP = re.compile(r"embed|\bshared\b|\bwte\b|\bdecoder\b|\blm_head\b")

LOG = logging.getLogger(__name__)


class Backbone(Protocol):
    """A transformer encoder over sentences that lie end to end.

    Attributes
    ----------
    dim : int
        Of a hidden state.
    static : bool
        Whether it is best called with batches of always the same number of tokens.
    """

    dim: int
    static: bool

    def __call__(self, ids: Tensor, groups: Groups) -> Tensor:
        """Return the last hidden states (tokens, dim) of token ids (tokens,)."""
        ...

    def compile(self, tokens: int) -> None:
        """Compile what can be compiled, for batches of this many tokens."""
        ...


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
    open_checkpoint(description.folder)  # damaged or dangerous weights are told by name
    model = _load_model(description, dtype, trust_remote_code)
    _require_room(model, description.folder.name, device, dtype)
    if FlatT5.fits(model.config):
        return FlatT5(model, device, dtype)
    if FlatBert.fits(model.config):
        return FlatBert(model, device, dtype)
    return PlainBackbone(model, device)


def _load_model(description: Description, dtype: torch.dtype, trust_remote_code: bool) -> Any:
    """Load with transformers, on the CPU, and make sure that nothing was made up."""
    transformers = importlib.import_module("transformers")
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    model_class = getattr(transformers, _T5_CLASSES.get(description.model_type, "AutoModel"))
    try:
        model, found = model_class.from_pretrained(
            description.folder,
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=trust_remote_code,
            output_loading_info=True,
        )
    except (RuntimeError, ValueError, OSError, KeyError, ImportError) as error:
        raise EncoderError(
            f"cannot load {description.folder}: {_first_line(error)}",
            hint="config.json and the weights must belong together; fetch the model again",
        ) from error
    missing = sorted(name for name in found["missing_keys"] if not _unused(name))
    if missing or found["mismatched_keys"]:
        wrong = missing[0] if missing else str(sorted(found["mismatched_keys"])[0])
        raise EncoderError(
            f"the weights in {description.folder} are not those of config.json:"
            f" {wrong} is missing or of another shape",
            hint="config.json and the weights must belong together; fetch the model again",
        )
    return model.eval()


def _unused(name: str) -> bool:
    return any(name.startswith(part) or f".{part}" in name for part in _UNUSED)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0][:300] if lines else type(error).__name__


def _require_room(model: Any, name: str, device: str, dtype: torch.dtype) -> None:
    """Refuse a GPU whose free memory is too small, before half of the weights are on it."""
    if not device.startswith("cuda"):
        return
    free, total = torch.cuda.mem_get_info(device)
    weights = sum(parameter.numel() for parameter in model.parameters()) * dtype.itemsize
    needed = weights / _GIB + _WORKING_GIB
    if needed * _GIB > free:
        raise EncoderError(
            f"{name} needs about {needed:.1f} GiB on {device}, which has"
            f" {free / _GIB:.1f} GiB free of {total / _GIB:.1f}",
            hint="choose a larger GPU with --devices, or a smaller --model",
        )


def count_multiplied(folder: Path) -> int:
    """Return how many weights every token is multiplied with; reads the files' headers alone."""
    checkpoint = open_checkpoint(folder)
    names = (name for name in checkpoint.names() if not _LOOKED_UP.search(name))
    return sum(prod(checkpoint.shape(name)) for name in names)
