"""Which files of a checkpoint say how sentences become vectors; all others are left alone."""

import json
import os
import re
import shutil
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from bitextmine.errors import EncoderError

CONFIG = "config.json"
MODULES = "modules.json"
ADAPTER_CONFIG = "adapter_config.json"
MANIFEST = "bitextmine.json"
README = "README.md"

# In order of preference; an index stands for the shards that it names.
MODEL_WEIGHTS = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
)
ADAPTER_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")

_SHARDS = {
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
            if best in _SHARDS:
                chosen.update(name for name in names if _SHARDS[best].fullmatch(name))
    return chosen


def module_folders(modules: Path) -> list[str]:
    """Return the folders that a ``modules.json`` of sentence-transformers names; [] without one.

    Raises
    ------
    EncoderError
        It is not what sentence-transformers writes, or points outside its own folder.
    """
    if not modules.is_file():
        return []
    try:
        folders = [str(module.get("path", "")) for module in json.loads(modules.read_bytes())]
    except (ValueError, AttributeError, TypeError) as error:
        raise EncoderError(
            f"cannot read {modules}: {error}", hint="fetch the model's folder again"
        ) from error
    for folder in folders:
        if folder.startswith("/") or ".." in PurePosixPath(folder).parts:
            raise EncoderError(
                f"{modules} names the folder {folder!r}, which is outside the model's own",
                hint="use a model from a source that you trust",
            )
    return [str(PurePosixPath(folder)) for folder in folders if folder]


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
    return needed_files(set(names), folders)


def read_index(index: Path) -> dict[str, str]:
    """Read which shard holds which tensor.

    Raises
    ------
    EncoderError
        It is not JSON, or no index of shards.
    """
    try:
        shard_of = json.loads(index.read_bytes())["weight_map"]
        return {str(name): str(shard) for name, shard in shard_of.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EncoderError(
            f"{index} is no index of shards: {error}", hint="delete the file and fetch it again"
        ) from error


def free_bytes(path: Path) -> int:
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
