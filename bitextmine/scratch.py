"""Room on disk for the time of a computation, which nothing can leave behind."""

import mmap
import os
import tempfile
from contextlib import AbstractContextManager, ExitStack
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bitextmine.writing import explained_write


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
