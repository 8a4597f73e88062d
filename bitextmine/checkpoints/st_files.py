"""What the files of sentence-transformers say: modules, pooling, dense layers, prompts."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bitextmine.checkpoints.json_files import (
    damaged_settings,
    number,
    part,
    read_object,
    unsupported,
)
from bitextmine.checkpoints.layout import read_modules
from bitextmine.config import Pooling

# Names in sentence-transformers' files: first the flags of old ones, in the order in which the
# library concatenates their results.
_POOLINGS: dict[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weighted_mean",
    "pooling_mode_lasttoken": "last",
    "cls": "cls",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean": "weighted_mean",
    "lasttoken": "last",
}
_MODULES = ("Transformer", "Pooling", "Dense", "Normalize", "Dropout")  # Dropout is for training
_ACTIVATIONS = ("identity", "tanh", "relu", "gelu", "sigmoid")


@dataclass(frozen=True, kw_only=True)
class DenseLayer:
    """A linear layer with an activation, after pooling.

    Attributes
    ----------
    weights : Path
        Folder with ``model.safetensors`` or ``pytorch_model.bin``: ``linear.weight``
        (out_dim, in_dim) and, if ``bias``, ``linear.bias`` (out_dim).
    activation : str
        Lower-case name: "identity", "tanh", "relu", "gelu", "sigmoid".
    """

    weights: Path
    in_dim: int
    out_dim: int
    bias: bool
    activation: str


def list_modules(folder: Path) -> list[tuple[str, Path]]:
    """List sentence-transformers' modules as (class, folder); none where it has not been.

    A list starts with the transformer and its pooling.
    """
    if not (folder / "modules.json").is_file():
        return []
    modules = []
    for kind, place in read_modules(folder / "modules.json"):
        package, _, name = kind.rpartition(".")
        ours = package.startswith("sentence_transformers.")
        if not kind:
            raise damaged_settings(folder / "modules.json", "is not a list of modules")
        if not ours or name not in _MODULES:
            raise unsupported(folder, f"a module '{name if ours else kind}'")
        modules.append((name, folder / place))
    names = [name for name, _ in modules]
    if names[:2] != ["Transformer", "Pooling"] or {"Transformer", "Pooling"} & {*names[2:]}:
        raise unsupported(folder, f"the modules {', '.join(names) or 'none'}, an order")
    return modules


def read_transformer_settings(folder: Path) -> dict[str, Any]:
    """Read what sentence-transformers knows of the transformer, under any name it had for that."""
    for path in sorted(folder.glob("sentence_*_config.json")):
        settings = read_object(path)
        modalities = part(settings, "modality_config")
        output = part(modalities, "text").get("method_output_name", "last_hidden_state")
        if (
            settings.get("transformer_task", "feature-extraction") != "feature-extraction"
            or output not in ("last_hidden_state", ["last_hidden_state"])
            or "message" in modalities
        ):
            raise unsupported(folder, f"in {path.name} a use of the model")
        return settings
    return {}


def read_pooling(folder: Path) -> tuple[tuple[Pooling, ...], bool]:
    """Read the poolings in order, and whether they include the prompt."""
    settings = read_object(folder / "config.json")
    modes = settings.get("pooling_mode")
    if modes is None:
        on = [key for key, value in settings.items() if key.startswith("pooling_mode_") and value]
        modes = sorted(on, key=[*_POOLINGS, *on].index) or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or not modes:
        raise damaged_settings(folder / "config.json", "names no pooling")
    if strange := [str(mode) for mode in modes if str(mode) not in _POOLINGS]:
        raise unsupported(folder, f"a pooling '{strange[0]}'")
    return tuple(_POOLINGS[mode] for mode in modes), bool(settings.get("include_prompt", True))


def read_step(name: str, folder: Path) -> DenseLayer | Literal["normalise"]:
    """Read a module that stands after pooling."""
    settings = read_object(folder / "config.json", optional=name == "Normalize")
    ends = [settings.get(f"module_{end}_name") for end in ("input", "output")]
    if any(end not in (None, "sentence_embedding") for end in ends):
        raise unsupported(folder, f"a module '{name}' of something other than sentences")
    if name == "Normalize":
        return "normalise"
    if settings.get("use_residual"):
        raise unsupported(folder, "a module 'Dense' with a residual connection")
    in_dim, out_dim = number(settings, "in_features"), number(settings, "out_features")
    if in_dim is None or out_dim is None:
        raise damaged_settings(folder / "config.json", "does not tell the size of the layer")
    # Without a word the library takes tanh; a class of torch is the only thing it trusts.
    function = settings.get("activation_function", "torch.nn.modules.activation.Tanh")
    package, _, activation = str(function or "torch.nn.Identity").lower().rpartition(".")
    if not package.startswith("torch.nn") or activation not in _ACTIVATIONS:
        raise unsupported(folder, f"an activation function '{function}'")
    return DenseLayer(
        weights=folder,
        in_dim=in_dim,
        out_dim=out_dim,
        bias=bool(settings.get("bias", True)),
        activation=activation,
    )


def out_dim(head: tuple[DenseLayer | Literal["normalise"], ...], dim: int) -> int:
    """Follow the size of a vector through the head."""
    for step in head:
        if isinstance(step, DenseLayer):
            if step.in_dim != dim:
                problem = f"takes vectors of size {step.in_dim}, but gets {dim}"
                raise damaged_settings(step.weights / "config.json", problem)
            dim = step.out_dim
    return dim


def read_prompts(folder: Path) -> tuple[str | None, tuple[str, ...]]:
    """Read the default prompt, if there is one, and the names of all that say something."""
    path = folder / "config_sentence_transformers.json"
    settings = read_object(path, optional=True)
    # The library has these two, empty, whatever the file says.
    prompts = {"query": "", "document": ""} | part(settings, "prompts")
    default = settings.get("default_prompt_name")
    if default is not None and str(default) not in prompts:
        raise damaged_settings(path, f"has no prompt '{default}', which it makes the default")
    names = tuple(name for name, text in prompts.items() if text)
    return None if default is None else str(prompts[str(default)] or ""), names
