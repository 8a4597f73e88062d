"""What a model is made of: checkpoints in local folders, or fetched from the hub."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from bitextmine.checkpoints.hub import snapshot
from bitextmine.checkpoints.layout import local_files
from bitextmine.checkpoints.manifest import TRUSTED_BYTES, mark_file
from bitextmine.checkpoints.model_card import read_licence
from bitextmine.errors import EncoderError

_HUB_ID = re.compile(r"(?P<repo>[\w-][\w.-]*(/[\w.-]+)?)(@(?P<revision>[^@]+))?", re.ASCII)


@dataclass(frozen=True)
class Ingredient:
    """A checkpoint that is here now.

    Attributes
    ----------
    role : str
        "base", "adapter" or "model".
    label : str
        Hub id, or absolute path.
    revision : str
        Commit of the hub; "" for a folder.
    folder : Path
        Where its files are; to be read only.
    """

    role: str
    label: str
    revision: str
    folder: Path

    def card(self) -> dict[str, str]:
        """Return what a manifest keeps of it: enough to notice that it has become another."""
        return {
            "role": self.role,
            "source": self.label,
            "revision": self.revision,
            "fingerprint": _fingerprint(self.folder),
        }

    def licence(self) -> str:
        """Return the licence that its README states, or "unknown"."""
        return read_licence(self.folder) or "unknown"


def find_ingredient(
    role: str, where: str, *, allow: Sequence[str] = (), asked: str = ""
) -> Ingredient:
    """Find a checkpoint on disk, or fetch it from the hub.

    Parameters
    ----------
    role : str
        "base", "adapter" or "model".
    where : str
        A folder, or a hub id, "owner/name" or "owner/name@revision". A folder comes first.
    allow, asked
        See ``hub.snapshot``.

    Raises
    ------
    EncoderError
        There is no such folder; the hub cannot give it.
    """
    folder = Path(where).expanduser()
    if where and folder.is_dir():
        return Ingredient(role, str(folder.absolute()), "", folder)
    match = _HUB_ID.fullmatch(where)
    if match is None:
        raise EncoderError(
            f"there is no folder {where!r}, and it is no name of a model",
            hint="give a folder that exists, or a hub id such as google/mt5-xxl",
        )
    found = snapshot(match["repo"], revision=match["revision"], allow=allow, asked=asked)
    return Ingredient(role, match["repo"], found.name, found)


def _fingerprint(folder: Path) -> str:
    """Identify the files without reading large ones: by time of change, or the cache's name."""
    digest = hashlib.sha256()
    for name in local_files(folder):
        path = (folder / name).resolve()
        stat = path.stat()
        if stat.st_size < TRUSTED_BYTES:
            identity = mark_file(path).sha256
        elif (folder / name).is_symlink():
            identity = path.name
        else:
            identity = str(stat.st_mtime_ns)
        digest.update(f"{name}\0{stat.st_size}\0{identity}\n".encode())
    return digest.hexdigest()
