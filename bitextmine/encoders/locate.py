"""From what the user calls a model to a folder with its files.

Nothing is made here. m-st5 has to be merged from two checkpoints, which is the business of
`bitextmine.models`, a floor above: who may start that says so with `register_maker`.
"""

import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bitextmine.checkpoints.hub import cached_snapshot, snapshot
from bitextmine.checkpoints.layout import CONFIG, default_folder
from bitextmine.checkpoints.manifest import read_manifest
from bitextmine.config import M_ST5, M_ST5_ADAPTER, M_ST5_BASE
from bitextmine.encoders.presets import Preset, preset_called, preset_of
from bitextmine.errors import EncoderError

LOG = logging.getLogger(__name__)

Maker = Callable[[], Path]  # makes a model on this machine, and returns its folder

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
_MAKERS: dict[str, Maker] = {}


@dataclass(frozen=True)
class Located:
    """A checkpoint on this machine.

    Attributes
    ----------
    name : str
        What to call it.
    folder : Path
        Its files.
    origin : str
        Hub id, or the folder as the user gave it.
    preset : Preset or None
        What we know of it, if it is a well-known one.
    """

    name: str
    folder: Path
    origin: str
    preset: Preset | None


def is_checkpoint(model: str) -> bool:
    """Tell whether a model's name means a checkpoint: a preset, a folder or a hub id."""
    return preset_of(model) is not None or looks_like_path(model) or bool(_HUB_ID.fullmatch(model))


def looks_like_path(model: str) -> bool:
    """Tell whether a model's name can only mean a folder, or is one."""
    return model.startswith(("/", "./", "../", "~")) or Path(model).is_dir()


def register_maker(name: str, make: Maker) -> None:
    """Have a model that is not on the hub made when it is asked for and its parts are cached.

    Parameters
    ----------
    name : str
        "m-st5", the one preset that has to be merged.
    make : callable
        Makes the model and returns its folder.
    """
    _MAKERS[name] = make


def unregister_maker(name: str) -> None:
    """Forget what `register_maker` was told, if it was told anything."""
    _MAKERS.pop(name, None)


def locate(model: str) -> Located:
    """Find a checkpoint here, or fetch it from the hub.

    m-st5 is merged when its parts are cached and a maker is registered; it is never downloaded
    unasked: it is 50 GB.

    Parameters
    ----------
    model : str
        A preset's name, a folder, or a hub id ("owner/name", perhaps with "@revision").

    Raises
    ------
    EncoderError
        It is not here and cannot be fetched; says how to get it.
    """
    if looks_like_path(model):
        return _in_folder(model)
    preset = preset_of(model)
    name = preset.info.name if preset is not None else model
    if "@" not in name and read_manifest(default_folder(name)) is not None:
        return Located(name, default_folder(name), name, preset)
    if name == M_ST5:
        return Located(name, _made(name), M_ST5_ADAPTER, preset)
    repo, _, revision = (preset.repo if preset is not None else model).partition("@")
    folder = cached_snapshot(repo, revision=revision or None) or snapshot(
        repo, revision=revision or None, asked=name
    )
    return Located(name, folder, preset.repo if preset is not None else model, preset)


def _in_folder(model: str) -> Located:
    folder = Path(model).expanduser()
    if not folder.is_dir():
        raise EncoderError(
            f"there is no folder {model}",
            hint="check the path of --model, or take a name from `bitextmine models`",
        )
    manifest = read_manifest(folder)
    if manifest is not None:
        return Located(manifest.name, folder, model, preset_of(manifest.name))
    name = folder.resolve().name
    return Located(name, folder, model, _copied_preset(name, folder))


def _copied_preset(name: str, folder: Path) -> Preset | None:
    """A copy of a repository is usually called as it is; another model may be too."""
    preset = preset_called(name)
    if preset is None or preset.info.name == M_ST5:
        return None
    try:
        width = json.loads((folder / CONFIG).read_bytes()).get("hidden_size")
    except (OSError, ValueError, AttributeError):
        return None  # whoever reads the config next says what is wrong with it
    if width != preset.info.dim:
        return None
    LOG.info("%s is taken for a copy of %s", folder, preset.repo)
    return preset


def _made(name: str) -> Path:
    """Have a model made of its parts, or say which command does it."""
    if not _can_be_made(name):
        raise EncoderError(
            f"{name} is not on this machine",
            hint=f"run `bitextmine models pull {name}`, where there is internet;"
            f" then --model {name}, or --model FOLDER if the folder was moved",
        )
    return _MAKERS[name]()


def is_here(preset: Preset) -> bool:
    """Tell whether a preset can be loaded without a network."""
    name = preset.info.name
    if read_manifest(default_folder(name)) is not None:
        return True
    if name == M_ST5:
        return _can_be_made(name)
    return cached_snapshot(preset.repo) is not None


def _can_be_made(name: str) -> bool:
    """Tell whether somebody may make m-st5, and both its parts are cached.

    Neither base nor adapter says how to pool: the model card does.
    """
    parts = (M_ST5_BASE, M_ST5_ADAPTER)
    return name in _MAKERS and all(cached_snapshot(part, pooling=False) for part in parts)
