"""LoRA adapters as peft saves them, merged into the weights of their base."""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from bitextmine.checkpoints.layout import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from bitextmine.checkpoints.tensors import open_checkpoint
from bitextmine.errors import EncoderError

_NAME = re.compile(
    r"base_model\.model\.(?P<module>.+)\.lora_(?P<side>[AB])(\.default)?\.weight", re.DOTALL
)
# Settings that make the result something else than W + scale * B @ A, with their harmless values.
_UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    "peft_type": ("LORA",),
    "bias": ("none",),
    "use_dora": (),
    "lora_bias": (),
    "use_qalora": (),
    "use_bdlora": (),
    "modules_to_save": (),
    "layer_replication": (),
    "trainable_token_indices": (),
    "target_parameters": (),
    "alora_invocation_tokens": (),
    "arrow_config": (),
    "velora_config": (),
    "monteclora_config": (),
    "kasa_config": (),
    # The others (pissa, olora, loftq, …) change the base weights at the start of training.
    "init_lora_weights": (True, "gaussian", "eva", "orthogonal"),
}


@dataclass(frozen=True)
class _Pair:
    """The two factors for one weight: a (r, in), b (out, r), and scale."""

    a: Tensor
    b: Tensor
    scale: float
    names: tuple[str, str]


@dataclass(frozen=True, kw_only=True)
class LoraAdapter:
    """A LoRA adapter: for some weights W (out, in) the change ``scale * B @ A``.

    Attributes
    ----------
    folder : Path
        Where it was read.
    base : str
        The base model that its config names; may be empty.
    pairs : mapping
        By the name of the base weight.
    transposed : bool
        Whether the base keeps its weights as (in, out): peft's ``fan_in_fan_out``.
    """

    folder: Path
    base: str
    pairs: Mapping[str, _Pair]
    transposed: bool

    @staticmethod
    def read(folder: Path) -> "LoraAdapter":
        """Read ``adapter_config.json`` and the adapter's tensors.

        Keys that a version of peft does not know or does not write are no matter: unknown
        ones are ignored and missing ones have peft's defaults (r = 8, lora_alpha = 8).

        Raises
        ------
        EncoderError
            A file is missing or damaged; the adapter needs more than a plain LoRA.
        """
        config = _read_config(folder / ADAPTER_CONFIG)
        return LoraAdapter(
            folder=folder,
            base=str(config.get("base_model_name_or_path") or ""),
            pairs=_pairs(folder, config),
            transposed=bool(config.get("fan_in_fan_out")),
        )

    def merged(self, name: str, tensor: Tensor) -> Tensor:
        """Return the weight with the adapter's change added.

        Parameters
        ----------
        name : str
            As in the base: ``encoder.block.0.layer.0.SelfAttention.q.weight``.
        tensor : Tensor
            The base weight.

        Returns
        -------
        Tensor
            ``W + scale * B @ A`` in float32; the same object where the adapter has no say.

        Raises
        ------
        EncoderError
            The shapes do not fit: the adapter is for another base.
        """
        if name not in self.pairs:
            return tensor
        pair = self.pairs[name]
        self._check_shape(name, tuple(tensor.shape))
        change = (pair.b.float() @ pair.a.float()) * pair.scale
        return tensor.float() + (change.T if self.transposed else change)

    def check_fits(self, shapes: Mapping[str, tuple[int, ...]]) -> None:
        """Refuse a base that lacks a weight of the adapter, or has it in another shape.

        Raises
        ------
        EncoderError
            Names the tensor and, if it exists, both shapes.
        """
        for name, pair in self.pairs.items():
            if name not in shapes:
                raise EncoderError(
                    f"the adapter in {self.folder} changes {name}, which the base does not have"
                    f" (tensor {pair.names[0]})",
                    hint=self._base_hint(),
                )
            self._check_shape(name, shapes[name])

    def _check_shape(self, name: str, shape: tuple[int, ...]) -> None:
        pair = self.pairs[name]
        fitting = (pair.b.shape[0], pair.a.shape[1])
        if self.transposed:
            fitting = fitting[::-1]
        if shape != fitting:
            raise EncoderError(
                f"the adapter in {self.folder} is for another base: {name} has shape {shape},"
                f" the adapter's is {fitting}",
                hint=self._base_hint(),
            )

    def _base_hint(self) -> str:
        if self.base:
            return f"use it with the base that its config names: {self.base}"
        return "use the base model that it was trained on"


def _read_config(path: Path) -> dict[str, Any]:
    """Read the config and refuse what would need more than a plain LoRA."""
    try:
        config = json.loads(path.read_bytes())
        if not isinstance(config, dict):
            raise ValueError("it holds no mapping")
        for key in ("r", "lora_alpha"):
            if not isinstance(config.get(key, 1), int | float) or config.get(key, 1) <= 0:
                raise ValueError(f"{key} is {config[key]!r}")
    except (OSError, ValueError) as error:
        raise EncoderError(
            f"cannot read {path}: {error}",
            hint="an adapter is a folder with adapter_config.json and adapter_model.safetensors",
        ) from error
    for key, harmless in _UNSUPPORTED.items():
        value = config.get(key)
        if value and value not in harmless:
            raise EncoderError(
                f"the adapter in {path.parent} has {key} = {value!r}; only plain LoRA can be"
                " merged",
                hint="merge it with peft (merge_and_unload), save the model and give that folder",
            )
    return config


def _pairs(folder: Path, config: Mapping[str, Any]) -> dict[str, _Pair]:
    """Read the tensors and put the two factors of each weight together."""
    checkpoint = open_checkpoint(folder, ADAPTER_WEIGHTS)
    found: dict[str, dict[str, str]] = {}  # module -> side -> tensor name
    for name in checkpoint.names():
        match = _NAME.fullmatch(name)
        if match is None:
            raise EncoderError(
                f"the adapter in {folder} has the tensor {name}; only plain LoRA can be merged",
                hint="merge it with peft (merge_and_unload), save the model and give that folder",
            )
        found.setdefault(match["module"], {})[match["side"]] = name
    pairs = {}
    for module, sides in found.items():
        if len(sides) < 2:
            raise _misshapen(folder, next(iter(sides.values())), "it has no counterpart")
        a, b = checkpoint.get(sides["A"]), checkpoint.get(sides["B"])
        rank, alpha = _rank_and_alpha(config, module)
        if a.ndim != 2 or b.ndim != 2 or a.shape[0] != rank or b.shape[1] != rank:
            shapes = f"{tuple(a.shape)} and {tuple(b.shape)}"
            raise _misshapen(folder, sides["A"], f"A and B have shapes {shapes}, r is {rank}")
        scale = alpha / (math.sqrt(rank) if config.get("use_rslora") else rank)
        pairs[f"{module}.weight"] = _Pair(a, b, scale, (sides["A"], sides["B"]))
    if not pairs:
        raise EncoderError(f"the adapter in {folder} has no tensors", hint="fetch it again")
    return pairs


def _rank_and_alpha(config: Mapping[str, Any], module: str) -> tuple[int, float]:
    """Rank and alpha of one module; a pattern is a regular expression for the end of its name."""
    rank = _by_pattern(config.get("rank_pattern"), module, config.get("r", 8))
    return int(rank), _by_pattern(config.get("alpha_pattern"), module, config.get("lora_alpha", 8))


def _by_pattern(patterns: Mapping[str, float] | None, module: str, default: float) -> float:
    for pattern, value in (patterns or {}).items():
        if re.match(rf"(.*\.)?({pattern})$", module):
            return value
    return default


def _misshapen(folder: Path, name: str, how: str) -> EncoderError:
    return EncoderError(
        f"the adapter in {folder} does not fit its own config at {name}: {how}",
        hint="fetch the adapter again, its config and its weights from one place",
    )
