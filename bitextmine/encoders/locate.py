"""From what the user calls a model to a folder with its files."""

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path

from bitextmine.checkpoints.hub import cached_snapshot, snapshot
from bitextmine.checkpoints.layout import CONFIG, default_folder
from bitextmine.checkpoints.manifest import read_manifest
from bitextmine.config import M_ST5, M_ST5_ADAPTER, M_ST5_BASE
from bitextmine.encoders.presets import Preset, preset_called, preset_of
from bitextmine.errors import EncoderError

LOG = logging.getLogger(__name__)

_HUB_ID = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")


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


def locate(model: str) -> Located:
    """Find a checkpoint here, or fetch it from the hub.

    m-st5 is merged when its parts are cached, and never downloaded unasked: it is 50 GB.

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
        return Located(name, _merged_m_st5(), M_ST5_ADAPTER, preset)
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


def _merged_m_st5() -> Path:
    if not _parts_of_m_st5_are_cached():
        raise EncoderError(
            f"{M_ST5} is not on this machine",
            hint=f"run `bitextmine models pull {M_ST5}`, where there is internet;"
            " then --model m-st5, or --model FOLDER if the folder was moved",
        )
    from bitextmine.models.pull import pull

    return pull(M_ST5, out=None, base=M_ST5_BASE, adapter=M_ST5_ADAPTER)


def is_here(preset: Preset) -> bool:
    """Tell whether a preset can be loaded without a network."""
    name = preset.info.name
    if read_manifest(default_folder(name)) is not None:
        return True
    if name == M_ST5:
        return _parts_of_m_st5_are_cached()
    return cached_snapshot(preset.repo) is not None


def _parts_of_m_st5_are_cached() -> bool:
    """Neither base nor adapter says how to pool: the model card does."""
    parts = (M_ST5_BASE, M_ST5_ADAPTER)
    return all(cached_snapshot(repo, pooling=False) is not None for repo in parts)
