"""A folder that a checkpoint is written into, file by file, by runs that may be interrupted."""

import fcntl
import hashlib
import json
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bitextmine.checkpoints.layout import MANIFEST, free_disk_bytes
from bitextmine.checkpoints.manifest import FileMark, check_sizes, read_manifest, write_manifest
from bitextmine.errors import EncoderError, OutputError, WorkdirError
from bitextmine.files import atomic_write, explained_write, read_json, write_json
from bitextmine.models.ingredients import Ingredient

PROGRESS = ".bitextmine-pull.json"  # what it is made of, and the files finished so far
_COPY_BLOCK_BYTES = 2**22
_SPARE_BYTES = 64 * 2**20  # for tokenizer, configs and what the file system itself needs


@dataclass
class ModelFolder:
    """The files written so far.

    Attributes
    ----------
    folder : Path
        Where they are.
    cards : list of mapping
        What they are made from, see `Ingredient.card`.
    marks : dict
        Size and hash of each finished file.
    complete : bool
        Whether the folder has its manifest, so that there is nothing left to do.
    """

    folder: Path
    cards: list[dict[str, str]]
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

    def write_json(self, name: str, content: Any) -> None:
        """Write readable JSON: as `write`."""
        self.write(name, [json.dumps(content, indent=2).encode() + b"\n"])

    def copy(self, name: str, path: Path, wrote: Callable[[int], object] = lambda n: None) -> None:
        """Write a file of the content that another has: as `write`."""
        self.write(name, _blocks(path), wrote)

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
        needed = _SPARE_BYTES + sum(size for name, size in sizes.items() if not self.has(name))
        free = free_disk_bytes(self.folder)
        if needed > free:
            raise OutputError(
                f"{self.folder} needs {needed / 2**30:.2f} GiB,"
                f" its disk has {free / 2**30:.2f} GiB free",
                hint="free some space there, or choose a folder on another disk with --out",
            )

    def _save(self) -> None:
        marks = {name: asdict(mark) for name, mark in self.marks.items()}
        write_json(self.folder / PROGRESS, {"sources": self.cards, "files": marks})


def _blocks(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while block := file.read(_COPY_BLOCK_BYTES):
            yield block


def make_model(
    folder: Path,
    ingredients: Sequence[Ingredient],
    *,
    name: str,
    licence: str,
    dtype: str = "",
    fill: Callable[[ModelFolder], None],
) -> Path:
    """Make a folder and fill it, or go on with what an interrupted run has left.

    The manifest comes last, so that a folder that has one is complete; it is left as it is.

    Parameters
    ----------
    folder : Path
        New, empty, or left by an earlier run with the same ingredients.
    ingredients : sequence of Ingredient
        What the model is made of.
    name, licence, dtype : str
        For the manifest, see `Manifest`.
    fill : callable
        Writes the files that are still missing.

    Returns
    -------
    Path
        The folder.

    Raises
    ------
    OutputError
        The folder holds something else, or is made from other ingredients; another process is
        at work in it; it cannot be written.
    """
    cards = [ingredient.card() for ingredient in ingredients]
    with explained_write(folder):
        folder.mkdir(parents=True, exist_ok=True)
    with _locked(folder):
        destination = _reopened(folder, cards)
        if not destination.complete:
            fill(destination)
            write_manifest(
                folder,
                name=name,
                sources=cards,
                licence=licence,
                dtype=dtype,
                files=destination.marks,
            )
        (folder / PROGRESS).unlink(missing_ok=True)
    return folder


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


def _reopened(folder: Path, cards: list[dict[str, str]]) -> ModelFolder:
    """Learn what an earlier run has left, and refuse what is not of the same ingredients."""
    if (folder / MANIFEST).exists():
        manifest = read_manifest(folder)
        assert manifest is not None  # it exists
        _refuse_others(folder, [dict(card) for card in manifest.sources], cards)
        check_sizes(folder, manifest)
        return ModelFolder(folder, cards, dict(manifest.files), complete=True)
    if (folder / PROGRESS).exists():
        _remove_leftovers(folder)
        known = _read_progress(folder / PROGRESS)
        _refuse_others(folder, known["sources"], cards)
        marks = {name: FileMark(**mark) for name, mark in known["files"].items()}
        return ModelFolder(folder, cards, marks, complete=False)
    _remove_leftovers(folder)
    foreign = sorted(path.name for path in folder.iterdir())
    if foreign:
        raise OutputError(
            f"{folder} is not empty: it has {foreign[0]!r} in it",
            hint="choose an empty or a new folder with --out",
        )
    destination = ModelFolder(folder, cards, {}, complete=False)
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
    """Refuse to mix what was made from other ingredients with what is wanted now."""
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


def _name(card: Mapping[str, str]) -> str:
    revision = card.get("revision", "")
    return f"{card.get('source', 'something else')}{f'@{revision}' if revision else ''}"
