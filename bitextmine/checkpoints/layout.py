"""Which files of a checkpoint say how sentences become vectors; all others are left alone."""

import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Any

from bitextmine.checkpoints.json_files import damaged_settings, read_value
from bitextmine.errors import EncoderError

CONFIG = "config.json"
MODULES = "modules.json"
ADAPTER_CONFIG = "adapter_config.json"
MANIFEST = "bitextmine.json"
README = "README.md"

# In the order in which transformers looks for them; an index stands for the files that it names.
MODEL_WEIGHTS = (
    "model.safetensors",
    "model.safetensors.index.json",
    "pytorch_model.bin",
    "pytorch_model.bin.index.json",
)
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")

_INDEXED = {
    "model.safetensors.index.json": re.compile(r"model-.+\.safetensors"),
    "pytorch_model.bin.index.json": re.compile(r"pytorch_model-.+\.bin"),
}
_SMALL = {".json", ".model", ".txt", ".py", ".jinja"}  # configs, tokenizers, code of the model
_BESIDE = re.compile(  # small files that have no say in the vectors
    r"(\..*|bitextmine\.json|licen[cs]e.*|notice.*|readme.*|requirements.*\.txt|.*\.index\.json"
    r"|trainer_state\.json|train(ing)?_args\.json|(all|train|eval)_results\.(json|txt))",
    re.IGNORECASE,
)


def is_weights(name: str) -> bool:
    """Tell whether a file holds tensors."""
    return name.endswith((".safetensors", ".bin"))


def needed_files(names: Iterable[str], folders: Iterable[str] = ()) -> list[str]:
    """Choose the files that can change vectors: weights, configs, tokenizer.

    Parameters
    ----------
    names : iterable of str
        Every file of the checkpoint, "/" between folders.
    folders : iterable of str
        Folders named by its ``modules.json``, see ``module_folders``.

    Returns
    -------
    list of str
        Sorted. Of several copies of the weights in a folder one is chosen, safetensors
        first; weights of other frameworks and files in other folders are left out.
    """
    wanted = {"", *folders}
    by_folder: dict[str, list[str]] = {}
    for name in names:
        parent = str(PurePosixPath(name).parent).removeprefix(".")
        if parent in wanted:
            by_folder.setdefault(parent, []).append(PurePosixPath(name).name)
    return sorted(
        f"{parent}/{name}".removeprefix("/")
        for parent, inside in by_folder.items()
        for name in _chosen(inside)
    )


def _chosen(names: list[str]) -> set[str]:
    """Choose among the files of one folder."""
    chosen = {
        name
        for name in names
        if PurePosixPath(name).suffix in _SMALL and not _BESIDE.fullmatch(name)
    }
    for family in (MODEL_WEIGHTS, ADAPTER_WEIGHTS):
        best = next((name for name in family if name in names), None)
        if best is not None:
            chosen.add(best)
            if best in _INDEXED:
                chosen.update(name for name in names if _INDEXED[best].fullmatch(name))
    return chosen


def read_modules(path: Path) -> list[tuple[str, PurePosixPath]]:
    """Read a ``modules.json`` of sentence-transformers.

    Returns
    -------
    list of (str, PurePosixPath)
        Class of every module ("" if the file does not say) and its folder, relative to the
        model's; the model's own folder is written as "", "." or null.

    Raises
    ------
    EncoderError
        It cannot be read, is something else, or leads out of the model's folder.
    """
    listed = read_value(path)
    if not isinstance(listed, list) or not all(isinstance(module, dict) for module in listed):
        raise damaged_settings(path, "is not a list of modules")
    return [(_text(path, module, "type"), _folder(path, module)) for module in listed]


def _text(path: Path, module: dict[str, Any], name: str) -> str:
    """Return what a module says under a name; null is nothing."""
    value = module.get(name)
    if value is not None and not isinstance(value, str):
        raise damaged_settings(path, "is not a list of modules")
    return value or ""


def _folder(path: Path, module: dict[str, Any]) -> PurePosixPath:
    """Return a module's folder, which must not lead out of the model's."""
    folder = PurePosixPath(_text(path, module, "path"))
    if folder.is_absolute() or ".." in folder.parts or "\0" in str(folder):
        raise EncoderError(
            f"{path} leads out of the folder, to {str(folder)!r}",
            hint="use a model from a source that you trust",
        )
    return folder


def module_folders(modules: Path) -> list[str]:
    """Return the folders that a ``modules.json`` names beside the model's own; [] without one.

    Raises
    ------
    EncoderError
        As `read_modules`.
    """
    if not modules.is_file():
        return []
    return [str(folder) for _, folder in read_modules(modules) if folder.parts]


def local_files(folder: Path) -> list[str]:
    """List the needed files of a checkpoint on disk, relative to its folder."""
    folders = module_folders(folder / MODULES)
    names = [
        path.relative_to(folder).as_posix()
        for parent in (folder, *(folder / name for name in folders))
        if parent.is_dir()
        for path in parent.iterdir()
        if path.is_file()
    ]
    needed = needed_files(set(names), folders)
    return sorted({*needed, *_indexed_files(folder, needed)})


def _indexed_files(folder: Path, needed: list[str]) -> list[str]:
    """List the files that an index among these files names, whatever they are called."""
    found = (
        PurePosixPath(name).parent / file
        for name in needed
        if PurePosixPath(name).name in _INDEXED
        for file in read_index(folder / name).values()
        if PurePosixPath(file).name == file
    )
    return [str(path) for path in dict.fromkeys(found) if (folder / path).is_file()]


def read_index(index: Path) -> dict[str, str]:
    """Read which file holds which tensor.

    Raises
    ------
    EncoderError
        It is not JSON, or no index of weight files.
    """
    try:
        file_of = json.loads(index.read_bytes())["weight_map"]
        return {str(name): str(file) for name, file in file_of.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EncoderError(
            f"{index} is no index of weight files: {error}",
            hint="delete the file and fetch it again",
        ) from error


def free_disk_bytes(path: Path) -> int:
    """Return the space left on the disk that holds, or would hold, a path."""
    while not path.exists():
        path = path.parent
    return shutil.disk_usage(path).free


def default_folder(name: str) -> Path:
    """Return where a model is kept: under ``$BITEXTMINE_MODELS``, else in the user's cache.

    Parameters
    ----------
    name : str
        "m-st5", or a hub id, whose "/" becomes "--".
    """
    folder = name.partition("@")[0].replace("/", "--")
    models = os.environ.get("BITEXTMINE_MODELS")
    if models:
        return Path(models).expanduser() / folder
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "bitextmine" / folder
