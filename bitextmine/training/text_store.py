"""Strings on disk, written end to end and read by number, so that memory need not hold them."""

import mmap
from array import array
from pathlib import Path
from types import TracebackType

import numpy as np

from bitextmine.files import explained_write


class TextWriter:
    """Writes strings one after the other; a context manager.

    Raises
    ------
    OutputError
        The disk is full, or the folder cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        with explained_write(path):
            self._file = path.open("wb")
        self._offsets = array("q", [0])

    def add(self, text: str) -> None:
        """Append a string."""
        try:
            written = self._file.write(text.encode())
        except OSError:
            with explained_write(self._path):  # Entered here only, for there are millions of texts.
                raise
        self._offsets.append(self._offsets[-1] + written)

    def __enter__(self) -> "TextWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with explained_write(self._path):
            self._file.close()
            if kind is None:
                with _offsets_of(self._path).open("wb") as file:
                    self._offsets.tofile(file)  # numpy's own would not say why.


class TextReader:
    """Reads what a `TextWriter` wrote; memory-mapped, offsets too."""

    def __init__(self, path: Path) -> None:
        self._offsets = np.memmap(_offsets_of(path), dtype=np.int64, mode="r")
        self._map: mmap.mmap | bytes = b""  # An empty file cannot be mapped.
        if self._offsets[-1] > 0:
            with path.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, row: int) -> str:
        start, stop = self._offsets[row : row + 2].tolist()
        return self._map[start:stop].decode()


def _offsets_of(path: Path) -> Path:
    return path.with_name(path.name + ".offsets")
