"""Files that appear whole or not at all, and what tells later whether they are still the same.

All writing passes through `atomic_write`; arrays are mapped, never unpickled; a fingerprint is
size, time and content; scratch is room on disk that nothing can leave behind.
"""

import errno
import hashlib
import json
import mmap
import os
import re
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, BinaryIO, Protocol

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bitextmine.errors import OutputError, WorkdirError


class ByteSink(Protocol):
    """Anything that takes bytes."""

    def write(self, content: bytes, /) -> object:
        """Take all of the content."""
        ...


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
        kept = os.fsdecode(os.fsencode(path.name)[:_NAME_BYTES])
        handle, name = tempfile.mkstemp(
            prefix=f".{kept}.{this_attempt()}.", suffix=".tmp", dir=path.parent
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


def this_attempt() -> str:
    """Name this process among all that may ever write into a folder, on whichever machine.

    Files that grow under a name of their own carry it, so that two processes that do the same
    task at once never write to one file, and whoever finds such a file can tell whether its
    owner is still at work.
    """
    return _attempt(os.getpid())


@cache
def _attempt(process: int) -> str:
    return f"{_machine()}~{process}~{_started(process)}"


def is_abandoned(path: Path) -> bool:
    """Tell whether the owner of a temporary file has gone, so that the file is nobody's.

    A process of another machine cannot be asked; its file counts as abandoned when it was not
    written to for `ABANDONED_S`.
    """
    # The last one: a file that belongs to an attempt may have a temporary sibling of its own.
    found = [*_ATTEMPT.finditer(path.name)][-1:]
    if found and found[0]["machine"] == _machine():
        return _started(int(found[0]["process"])) != found[0]["start"]
    try:
        return time.time() - path.stat().st_mtime > ABANDONED_S
    except OSError:
        return False  # it has just gone, or got its final name


@cache
def _machine() -> str:
    """Name what a process number belongs to: the node since its start, and a namespace there."""
    node = re.sub(r"[^A-Za-z0-9-]", "-", os.uname().nodename)[:40]
    boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")[:8]
    return f"{node}-{boot}-{Path('/proc/self/ns/pid').stat().st_ino:x}"


def _started(process: int) -> str:
    """Return when a process of this machine was started, in clock ticks; "" if there is none.

    One that has ended is no process any more, though it stays listed until its parent asks.
    """
    try:
        stat = Path(f"/proc/{process}/stat").read_text("utf-8", "replace")
    except OSError:
        return ""
    known = stat.rpartition(")")[2].split()  # from field 3 on; a program's name may hold anything
    state, start = known[0], known[19]
    return "" if state in "ZX" else start


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


ABANDONED_S = 86_400.0  # a file of rejects may wait for hours for its next line

_NAME_BYTES = 80  # of a file's name kept in that of its temporary sibling
_ATTEMPT = re.compile(r"(?P<machine>[A-Za-z0-9-]+)~(?P<process>\d+)~(?P<start>\d+)")
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


class Scratch(AbstractContextManager["Scratch"]):
    """Files without a name in a folder: the system frees them even if the process is killed.

    Parameters
    ----------
    folder : Path
        Whose disk has the room, such as the work directory.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._files = ExitStack()

    def __exit__(self, *_: object) -> None:
        self._files.close()

    def file(self) -> BinaryIO:
        """Open an empty file, which is closed with the scratch.

        Raises
        ------
        OutputError
            The folder cannot be written.
        """
        with explained_write(self.folder):
            return self._files.enter_context(tempfile.TemporaryFile(dir=self.folder))

    def map(self, n_bytes: int) -> mmap.mmap:
        """Return zeros that live in a file, and take memory only as far as there is some to spare.

        Raises
        ------
        OutputError
            The disk has no room for them.
        """
        n_bytes = max(n_bytes, 1)  # nothing cannot be mapped
        with explained_write(self.folder), tempfile.TemporaryFile(dir=self.folder) as file:
            # A hole in the file would show a full disk as a crash at some later access.
            os.posix_fallocate(file.fileno(), 0, n_bytes)
            return mmap.mmap(file.fileno(), n_bytes)

    def array(self, n: int, dtype: DTypeLike) -> NDArray[np.generic]:
        """Return n zeros as an array over `map`."""
        return np.frombuffer(self.map(n * np.dtype(dtype).itemsize), dtype, n)
