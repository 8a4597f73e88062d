"""A folder that a checkpoint is written into, file by file, by runs that may be interrupted."""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitextmine.checkpoints.layout import MANIFEST, free_bytes
from bitextmine.checkpoints.manifest import FileMark, check_sizes, read_manifest
from bitextmine.errors import EncoderError, OutputError, WorkdirError
from bitextmine.files import atomic_write, explained_write, read_json, write_json

PROGRESS = ".bitextmine-pull.json"  # sources, and the files finished so far
_SPARE = 64 * 2**20  # bytes for tokenizer, configs and what the file system itself needs


@dataclass
class Destination:
    """The files written so far.

    Attributes
    ----------
    folder : Path
        Where they are.
    sources : list of mapping
        What they are made from, see ``Source.card``.
    marks : dict
        Size and hash of each finished file.
    complete : bool
        Whether the folder has its manifest, so that there is nothing left to do.
    """

    folder: Path
    sources: list[dict[str, str]]
    marks: dict[str, FileMark]
    complete: bool

    def write(
        self,
        name: str,
        blocks: Iterable[bytes | memoryview],
        wrote: Callable[[int], object] = lambda n: None,
    ) -> None:
        """Write a file that appears whole, and remember that it is finished.

        Parameters
        ----------
        name : str
            Relative to the folder.
        blocks : iterable of bytes
            Its content.
        wrote : callable
            Is told the size of every block.

        Raises
        ------
        OutputError
            The disk is full or the folder cannot be written.
        """
        path = self.folder / name
        digest, size = hashlib.sha256(), 0
        with explained_write(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            for block in blocks:
                file.write(block)
                digest.update(block)
                size += len(block)
                wrote(len(block))
        self.marks[name] = FileMark(size, digest.hexdigest())
        self._save()

    def has(self, name: str) -> bool:
        """Tell whether an earlier run has finished this file."""
        mark, path = self.marks.get(name), self.folder / name
        return mark is not None and path.is_file() and path.stat().st_size == mark.size

    def check_space(self, sizes: Mapping[str, int]) -> None:
        """Refuse to begin what the disk cannot hold.

        Raises
        ------
        OutputError
            Says how much is needed and how much there is.
        """
        needed = _SPARE + sum(size for name, size in sizes.items() if not self.has(name))
        free = free_bytes(self.folder)
        if needed > free:
            raise OutputError(
                f"{self.folder} needs {needed / 2**30:.2f} GiB,"
                f" its disk has {free / 2**30:.2f} GiB free",
                hint="free some space there, or choose a folder on another disk with --out",
            )

    def _save(self) -> None:
        marks = {name: asdict(mark) for name, mark in self.marks.items()}
        write_json(self.folder / PROGRESS, {"sources": self.sources, "files": marks})


@contextmanager
def opened_destination(folder: Path, sources: Sequence[dict[str, str]]) -> Iterator[Destination]:
    """Make or reopen a folder to write a checkpoint into, and keep other runs out of it.

    Parameters
    ----------
    folder : Path
        New, empty, or left by an earlier run with the same sources.
    sources : sequence of mapping
        See ``Source.card``.

    Raises
    ------
    OutputError
        It holds something else, or is made from other sources; another process is at work
        in it; it cannot be written.
    """
    with explained_write(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        destination = _reopened(folder, list(sources))
        yield destination
        if (folder / MANIFEST).exists():
            (folder / PROGRESS).unlink(missing_ok=True)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise OutputError(
            f"another process is writing into {folder}",
            hint="wait until it has finished, or choose another folder with --out",
        ) from error
    finally:
        os.close(handle)


def _reopened(folder: Path, sources: list[dict[str, str]]) -> Destination:
    """Learn what an earlier run has left, and refuse what is not of the same sources."""
    if (folder / MANIFEST).exists():
        manifest = read_manifest(folder)
        assert manifest is not None  # it exists
        _refuse_others(folder, [dict(source) for source in manifest.sources], sources)
        check_sizes(folder, manifest)
        return Destination(folder, sources, dict(manifest.files), complete=True)
    if (folder / PROGRESS).exists():
        _remove_leftovers(folder)
        known = _read_progress(folder / PROGRESS)
        _refuse_others(folder, known["sources"], sources)
        marks = {name: FileMark(**mark) for name, mark in known["files"].items()}
        return Destination(folder, sources, marks, complete=False)
    _remove_leftovers(folder)
    foreign = sorted(path.name for path in folder.iterdir())
    if foreign:
        raise OutputError(
            f"{folder} is not empty: it has {foreign[0]!r} in it",
            hint="choose an empty or a new folder with --out",
        )
    destination = Destination(folder, sources, {}, complete=False)
    destination._save()
    return destination


def _remove_leftovers(folder: Path) -> None:
    """Remove temporary files of runs that were killed."""
    with explained_write(folder):
        for leftover in folder.rglob(".*.tmp"):
            if leftover.is_file():
                leftover.unlink(missing_ok=True)


def _read_progress(path: Path) -> dict[str, Any]:
    try:
        return read_json(path)
    except WorkdirError as error:
        raise EncoderError(str(error), hint="delete the folder and pull again") from error


def _refuse_others(
    folder: Path, there: Sequence[Mapping[str, str]], now: Sequence[Mapping[str, str]]
) -> None:
    """Refuse to mix what was made from other sources with what is wanted now."""
    if list(there) == list(now):
        return
    for old, new in zip(there, now, strict=False):
        if old != new:
            told = f"{_name(old)} there, {_name(new)} now"
            if _name(old) == _name(new):
                told = f"{_name(new)} has changed since"
            raise OutputError(
                f"{folder} was made from another {new['role']}: {told}",
                hint="choose another folder with --out, or delete this one",
            )
    raise OutputError(
        f"{folder} holds another model", hint="choose another folder with --out, or delete this one"
    )


def _name(source: Mapping[str, str]) -> str:
    revision = source.get("revision", "")
    return f"{source.get('source', 'something else')}{f'@{revision}' if revision else ''}"
