"""Arrays of a work directory, mapped into memory; and whether files are still the same."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitextmine.compression import CHUNK_BYTES
from bitextmine.errors import WorkdirError


def map_array(path: Path) -> NDArray[Any]:
    """Map an array into memory without reading it.

    Raises
    ------
    WorkdirError
        The file is missing or damaged.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise WorkdirError(
            f"cannot read {path}: {reason.lower()}",
            hint="the work directory is damaged: start again in an empty --workdir",
        ) from error
    return array


def fingerprint(path: Path) -> dict[str, Any]:
    """Return size, time and checksum of a file."""
    stat = path.stat()
    noted = {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    return noted | {"checksum": _checksum(path)}


def is_unchanged(path: Path, noted: dict[str, Any]) -> bool:
    """Tell whether a file is the one that was noted: by size and time, else by content."""
    stat = path.stat()
    if stat.st_size != noted["bytes"]:
        return False
    return bool(stat.st_mtime_ns == noted["mtime_ns"] or _checksum(path) == noted["checksum"])


def _checksum(path: Path) -> str:
    checksum = hashlib.blake2b(digest_size=16)
    with path.open("rb") as file:
        while chunk := file.read(CHUNK_BYTES):
            checksum.update(chunk)
    return checksum.hexdigest()
