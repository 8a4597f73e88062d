"""Files that appear whole or not at all, and a remedy for every refusal to write."""

import errno
import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from bitextmine.errors import OutputError, WorkdirError


@contextmanager
def atomic_write(path: Path) -> Iterator[BinaryIO]:
    """Write a file that appears under its name only when it is complete and on disk.

    Yields a binary file: a uniquely named sibling of ``path``, which is flushed,
    synced and renamed when the block ends well, and removed when it does not.

    Raises
    ------
    OutputError
        The folder is missing or not writable, or the disk is full.
    """
    with explained_write(path):
        handle, name = tempfile.mkstemp(
            prefix=f".{path.name[:80]}.", suffix=".tmp", dir=path.parent
        )
        temporary = Path(name)
        try:
            with os.fdopen(handle, "wb") as file:
                os.fchmod(file.fileno(), 0o666 & ~_umask())  # mkstemp makes private files
                yield file
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
        sync_folder(path.parent)


def _umask() -> int:
    """Read the process's umask, which can only be read by setting it."""
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def sync_folder(folder: Path) -> None:
    """Make a rename in this folder survive a power cut."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def explained_write(path: Path) -> Iterator[None]:
    """Turn the operating system's refusal to write ``path`` into a cause and a remedy.

    Raises
    ------
    OutputError
        In place of any OSError but a broken pipe.
    """
    try:
        yield
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputError(f"cannot write {path}: {_cause(error)}", hint=_remedy(error)) from error


def _cause(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


def _remedy(error: OSError) -> str:
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return "free some space there, or choose another disk (TMPDIR for temporary files)"
    if error.errno == errno.ENOMEM:
        return "give the job more memory, or the command a smaller --memory"
    if error.errno in (errno.ENOENT, errno.ENOTDIR):
        return "create the folder first, or choose an existing one"
    if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS):
        return "choose a folder that you may write to"
    return "check the path and the disk, then run the same command again"


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a small mapping as readable JSON in ASCII, which can hold any file name; atomically."""
    with atomic_write(path) as file:
        file.write(json.dumps(content, indent=2, allow_nan=False).encode() + b"\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read what ``write_json`` wrote.

    Raises
    ------
    WorkdirError
        The file is missing or is not a JSON object.
    """
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("it holds no mapping")
    except (OSError, ValueError) as error:
        raise WorkdirError(
            f"cannot read {path}: {error}",
            hint="run the stage before this one, or start again in an empty --workdir",
        ) from error
    return content
