"""What tells later whether a file is still the same: size and time, else content."""

import hashlib
from pathlib import Path
from typing import Any, BinaryIO

_READ_BYTES = 1 << 20


def checksum(file: BinaryIO) -> str:
    """Hash what is left to read of a file."""
    digest = hashlib.blake2b(digest_size=16)
    while chunk := file.read(_READ_BYTES):
        digest.update(chunk)
    return digest.hexdigest()


def fingerprint(path: Path) -> dict[str, Any]:
    """Return size, time and checksum of a file."""
    stat = path.stat()
    noted = {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    with path.open("rb") as file:
        return noted | {"checksum": checksum(file)}


def is_unchanged(path: Path, noted: dict[str, Any]) -> bool:
    """Tell whether a file is the one of a fingerprint: by size and time, else by content."""
    stat = path.stat()
    if stat.st_size != noted["bytes"]:
        return False
    if stat.st_mtime_ns == noted["mtime_ns"]:
        return True
    with path.open("rb") as file:
        return bool(checksum(file) == noted["checksum"])
