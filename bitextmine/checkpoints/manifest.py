"""What a checkpoint consists of: a manifest with hashes beside the weights, one hash of all."""

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from bitextmine.checkpoints.layout import MANIFEST, local_files
from bitextmine.errors import EncoderError
from bitextmine.files import write_json
from bitextmine.version import __version__

FORMAT = 1
# Smaller files are hashed every time: a changed digit in a config leaves its size as it was.
TRUSTED_BYTES = 16 * 2**20
_BLOCK = 2**22  # bytes hashed at once
_BLOB = re.compile(r"[0-9a-f]{64}")  # the hub's cache names large files by their sha256
_FETCH_AGAIN = "delete the folder and pull the model again"


@dataclass(frozen=True)
class FileMark:
    """Size in bytes and sha256 (64 hex digits) of a file."""

    size: int
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What is written beside the weights.

    Attributes
    ----------
    name : str
        What ``--model`` calls the model.
    sources : tuple of mapping
        Each with "role" ("base", "adapter" or "model"), "source" (hub id or folder) and
        "revision" (commit of the hub, or "").
    licence : str
        SPDX name; "unknown" if no README says.
    dtype : str
        Of the weights: "bfloat16", or "" where they were copied as they are.
    files : mapping
        By path relative to the folder.
    """

    name: str
    sources: tuple[Mapping[str, str], ...]
    licence: str
    dtype: str
    files: Mapping[str, FileMark]
    versions: Mapping[str, str]
    date: str


def write_manifest(
    folder: Path,
    *,
    name: str,
    sources: Sequence[Mapping[str, str]],
    licence: str,
    dtype: str,
    files: Mapping[str, FileMark],
) -> None:
    """Write the manifest; a folder that has one is complete.

    Raises
    ------
    OutputError
        It cannot be written.
    """
    manifest = Manifest(
        name=name,
        sources=tuple(sources),
        licence=licence,
        dtype=dtype,
        files=dict(sorted(files.items())),
        versions={"bitextmine": __version__}
        | {package: version(package) for package in ("torch", "transformers")},
        date=datetime.now(UTC).isoformat(timespec="seconds"),
    )
    write_json(folder / MANIFEST, {"format": FORMAT} | asdict(manifest))


def read_manifest(folder: Path) -> Manifest | None:
    """Read the manifest of a folder; None if it has none.

    Raises
    ------
    EncoderError
        It is damaged, or of a later version.
    """
    path = folder / MANIFEST
    if not path.exists():
        return None
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
        form = content.pop("format")
        if form != FORMAT:
            raise EncoderError(
                f"{path} has format {form}, this version reads {FORMAT}",
                hint="upgrade bitextmine, or pull the model again",
            )
        content["files"] = {name: FileMark(**mark) for name, mark in content["files"].items()}
        content["sources"] = tuple(content["sources"])
        return Manifest(**content)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise EncoderError(f"cannot read {path}: {error}", hint=_FETCH_AGAIN) from error


def verify_manifest(folder: Path) -> None:
    """Read every file of a folder that has a manifest, and compare.

    Raises
    ------
    EncoderError
        There is no manifest; a file is missing, truncated or changed: names it.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise EncoderError(
            f"{folder} has no {MANIFEST}: it was not pulled, or not to the end",
            hint="pull the model with `bitextmine models pull`; an interrupted pull goes on",
        )
    check_sizes(folder, manifest)
    for name, mark in manifest.files.items():
        if mark_file(folder / name) != mark:
            raise EncoderError(
                f"{folder / name} has changed since it was written", hint=_FETCH_AGAIN
            )


def check_sizes(folder: Path, manifest: Manifest) -> None:
    """Check that every file of the manifest is there in its size; takes no time.

    Raises
    ------
    EncoderError
        Names the first that is not.
    """
    for name, mark in manifest.files.items():
        path = folder / name
        if not path.is_file():
            raise EncoderError(f"{path} is missing", hint=_FETCH_AGAIN)
        size = path.stat().st_size
        if size != mark.size:
            raise EncoderError(
                f"{path} is truncated or changed: {size:,} bytes instead of {mark.size:,}",
                hint=_FETCH_AGAIN,
            )


def weights_hash(folder: Path) -> str:
    """Identify everything in a checkpoint that can change vectors.

    That is the weights, configs, tokenizer, ``modules.json`` and the folders it names; the same
    files have the same hash wherever they lie. Large files that the manifest knows in their
    size, and those in the hub's cache, which are named by their hash, are not read.

    Returns
    -------
    str
        "sha256:" and 64 hex digits.

    Raises
    ------
    EncoderError
        A file cannot be read, or the manifest or ``modules.json`` is damaged.
    """
    manifest = read_manifest(folder)
    known = manifest.files if manifest else {}
    digest = hashlib.sha256()
    for name in local_files(folder):
        digest.update(f"{name}\0{_sha256(folder / name, known.get(name))}\n".encode())
    return f"sha256:{digest.hexdigest()}"


def _sha256(path: Path, known: FileMark | None) -> str:
    """Return a file's hash, from what is known of it if it is large."""
    try:
        real = path.resolve(strict=True)
        size = real.stat().st_size
    except OSError as error:
        raise _unreadable(path, error) from error
    if path.is_symlink() and _BLOB.fullmatch(real.name):
        return real.name
    if known is not None and known.size == size >= TRUSTED_BYTES:
        return known.sha256
    return mark_file(path).sha256


def mark_file(path: Path) -> FileMark:
    """Read a file for its size and hash.

    Raises
    ------
    EncoderError
        It cannot be read.
    """
    digest, size = hashlib.sha256(), 0
    try:
        with path.open("rb") as file:
            while block := file.read(_BLOCK):
                digest.update(block)
                size += len(block)
    except OSError as error:
        raise _unreadable(path, error) from error
    return FileMark(size, digest.hexdigest())


def _unreadable(path: Path, error: OSError) -> EncoderError:
    return EncoderError(
        f"cannot read {path}: {(error.strerror or str(error)).lower()}",
        hint="check the path and its permissions",
    )
