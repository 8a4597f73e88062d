"""The file that one attempt to encode a shard writes, and how it becomes the shard's.

Every attempt at a shard writes to a file of its own, and begins with the rows that an earlier
attempt has noted. On a cluster two processes may encode one shard at once, when a node was
thought lost that goes on, and file locks do not reach across nodes everywhere: each attempt
ends with the same bytes, or sees that another one was faster.

Rows are synced before their number is noted, and the finished file has its final note beside it
before it is renamed, so a process may be killed at any moment.
"""

import logging
import os
import shutil
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, Self

from bitextmine.arrays import Stored
from bitextmine.encode.row_format import RowFormat
from bitextmine.errors import OutputError, WorkdirError
from bitextmine.files import (
    explained_write,
    fingerprint,
    is_abandoned,
    is_unchanged,
    read_json,
    sync_folder,
    this_attempt,
    write_json,
)
from bitextmine.workdir import ShardFiles

LOG = logging.getLogger(__name__)

_HEADER_BYTES = 128  # of a version 1 .npy file


@dataclass
class EncodedRows:
    """How many rows are surely on disk, and what is known of their sentences."""

    rows: int = 0
    truncated: int = 0
    unusable: int = 0


class Attempt(AbstractContextManager["Attempt"]):
    """The rows of a shard as this process encodes them.

    Parameters
    ----------
    files : ShardFiles
        The shard.
    n : int
        Sentences it has.
    form : RowFormat
        What its rows look like.

    Attributes
    ----------
    done : EncodedRows
        What is on disk already, that of earlier attempts included.
    """

    def __init__(self, files: ShardFiles, n: int, form: RowFormat) -> None:
        self._files, self._n, self._form = files, n, form
        self._name = this_attempt()
        self._part, self._progress = files.part(self._name), files.progress(self._name)
        self.done = EncodedRows()

    def __enter__(self) -> Self:
        """Open the file, and take over the rows of whichever attempt came furthest.

        Raises
        ------
        OutputError
            It cannot be written.
        """
        with explained_write(self._files.embeddings):
            self._file = self._part.open("a+b")
            self.done = self._begun()
            self._file.truncate(self._bytes(self.done.rows) if self.done.rows else 0)
            if self.done.rows == 0:
                self._file.write(self._header())
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()

    def overtaken(self) -> bool:
        """Tell whether another attempt has finished the shard."""
        return self._files.encoded.exists()

    def add(self, stored: Stored, truncated: int, unusable: int) -> None:
        """Write rows, and only then note that they are on disk.

        Raises
        ------
        OutputError
            The disk is full.
        """
        with explained_write(self._files.embeddings):
            self._file.write(stored.tobytes())
            self._file.flush()
            os.fsync(self._file.fileno())
        self.done.rows += len(stored)
        self.done.truncated += truncated
        self.done.unusable += unusable
        write_json(self._progress, asdict(self.done))

    def finish(self) -> None:
        """Give the file its name, and note what tells later whether it is still the same.

        Raises
        ------
        OutputError
            It has not the size that it must have.
        """
        with explained_write(self._files.embeddings):
            self._file.flush()  # an empty shard has nothing but its header
            os.fsync(self._file.fileno())
            self._check_size()
            described = {"dim": self._form.dim, "dtype": self._form.dtype.name}
            note = asdict(self.done) | described | fingerprint(self._part)
            write_json(self._progress, note)
            if self.overtaken():  # whoever was faster may have readers by now
                return
            self._part.replace(self._files.embeddings)
            sync_folder(self._files.folder)
        write_json(self._files.encoded, note)

    def _check_size(self) -> None:
        size, wanted = os.fstat(self._file.fileno()).st_size, self._bytes(self._n)
        if (self.done.rows, size) != (self._n, wanted):
            self._progress.unlink(missing_ok=True)  # its rows are not what they should be
            raise OutputError(
                f"{self._part} has {size:,} bytes where {wanted:,} were written",
                hint="something else wrote to it, or the disk lost some; run the same again",
            )

    def _begun(self) -> EncodedRows:
        own = self._noted(self._name)
        others = {name: self._noted(name) for name in self._files.attempts()}
        name = max(others, key=lambda name: others[name].rows, default=self._name)
        if name == self._name or others[name].rows <= own.rows:
            return own
        if not self._copied(name, others[name]):
            return EncodedRows()
        write_json(self._progress, asdict(others[name]))
        LOG.info("%s: an earlier attempt left %d rows", self._files.folder, others[name].rows)
        return others[name]

    def _noted(self, name: str) -> EncodedRows:
        """Return how far an attempt came, as far as its rows are really there."""
        known = _read_note(self._files.progress(name))
        if not known:
            return EncodedRows()
        done = EncodedRows(**{item.name: known[item.name] for item in fields(EncodedRows)})
        try:
            size = self._files.part(name).stat().st_size
        except FileNotFoundError:
            return EncodedRows()
        return done if size >= self._bytes(done.rows) else EncodedRows()

    def _copied(self, name: str, noted: EncodedRows) -> bool:
        """Copy the file of another attempt, which may still grow, or go at any moment."""
        try:
            with self._files.part(name).open("rb") as theirs:
                self._file.truncate(0)
                shutil.copyfileobj(theirs, self._file)
        except FileNotFoundError:
            return False
        self._file.flush()
        os.fsync(self._file.fileno())
        self._file.seek(0)
        same_form = self._file.read(_HEADER_BYTES) == self._header()
        return same_form and os.fstat(self._file.fileno()).st_size >= self._bytes(noted.rows)

    def _bytes(self, rows: int) -> int:
        return _HEADER_BYTES + rows * self._form.dim * self._form.dtype.itemsize

    def _header(self) -> bytes:
        """Return the .npy header of all rows, before they are known."""
        shape = (self._n, self._form.dim)
        described = {"descr": self._form.dtype.str, "fortran_order": False, "shape": shape}
        text = repr(described).encode()
        room = _HEADER_BYTES - 10 - 1
        return b"\x93NUMPY\x01\x00" + (room + 1).to_bytes(2, "little") + text.ljust(room) + b"\n"


def _read_note(path: Path) -> dict[str, Any]:
    """Read what an attempt has noted; nothing if it has just ended, or never noted anything."""
    try:
        return read_json(path)
    except WorkdirError:
        if path.exists():
            raise
        return {}


def note_renamed(files: ShardFiles) -> None:
    """Finish what an attempt began that was killed between its rename and the last note."""
    if files.encoded.exists() or not files.embeddings.exists():
        return
    for name in files.attempts():
        known = _read_note(files.progress(name))
        if "checksum" in known and is_unchanged(files.embeddings, known):
            write_json(files.encoded, known)
            return


def remove_attempts(files: ShardFiles) -> None:
    """Remove what this process and those that are gone have left of a finished shard."""
    own = this_attempt()
    for path in files.leftovers():
        if path in (files.part(own), files.progress(own)) or is_abandoned(path):
            path.unlink(missing_ok=True)
