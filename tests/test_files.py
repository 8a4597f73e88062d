"""Scratch files have no name, and a full disk is told as such."""

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from bitextmine.errors import OutputError
from bitextmine.files import Scratch


def test_arrays_are_zero_and_keep_what_is_written(tmp_path: Path) -> None:
    with Scratch(tmp_path) as scratch:
        array = scratch.array(5, np.int64)
        assert array.tolist() == [0] * 5
        array[2] = 7
        assert array.tolist() == [0, 0, 7, 0, 0]
        assert scratch.array(0, np.int64).tolist() == []
        assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_told_when_room_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(handle: int, offset: int, length: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", refuse)
    with Scratch(tmp_path) as scratch, pytest.raises(OutputError, match="no space left") as caught:
        scratch.array(5, np.int64)
    assert "free some space" in caught.value.hint


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    with Scratch(tmp_path / "missing") as scratch, pytest.raises(OutputError, match="no such file"):
        scratch.file()
