"""Files appear whole or not at all; scratch files have no name; a full disk is told as such."""

import errno
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bitextmine.errors import OutputError
from bitextmine.files import Scratch, atomic_write, is_abandoned, this_attempt


def test_a_file_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / 'it\'s "ä" file'
    with atomic_write(path) as file:
        file.write(b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("failure", [KeyboardInterrupt, ValueError])
def test_what_was_there_stays_when_writing_fails(
    tmp_path: Path, failure: type[BaseException]
) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"old")
    with pytest.raises(failure), atomic_write(path) as file:
        file.write(b"half")
        raise failure
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_new_file_has_ordinary_permissions(tmp_path: Path) -> None:
    old = os.umask(0o027)
    try:
        with atomic_write(tmp_path / "f") as file:
            file.write(b"x")
    finally:
        os.umask(old)
    assert (tmp_path / "f").stat().st_mode & 0o777 == 0o640


def test_a_missing_folder_is_explained(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputError, match="no such file or directory") as failure,
        atomic_write(tmp_path / "missing" / "f"),
    ):
        pass
    assert "create the folder" in failure.value.hint


def test_a_file_is_abandoned_as_soon_as_its_owner_has_ended(tmp_path: Path) -> None:
    begin = "import sys\nfrom pathlib import Path\nfrom bitextmine.files import this_attempt\n"
    begin += "path = Path(sys.argv[1], this_attempt())\npath.touch()\nprint(path, flush=True)\n"
    begin += "input()\n"
    with subprocess.Popen(
        [sys.executable, "-c", begin, tmp_path], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as owner:
        assert owner.stdout is not None
        path = Path(owner.stdout.readline().decode().rstrip("\n"))
        assert not is_abandoned(path)
        owner.kill()
        os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)  # it stays listed, as a zombie
        assert is_abandoned(path)
    assert is_abandoned(path)


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


def test_the_last_attempt_in_a_name_owns_the_file(tmp_path: Path) -> None:
    mine, other = this_attempt(), this_attempt().rpartition("~")[0] + "~1"
    assert not is_abandoned(tmp_path / f".encoding.{other}.json.{mine}.x1.tmp")
    assert is_abandoned(tmp_path / f".encoding.{mine}.json.{other}.x1.tmp")


def test_a_long_name_has_a_temporary_sibling_that_tells_its_owner(tmp_path: Path) -> None:
    path = tmp_path / ("語" * 84)  # 252 bytes, as many as a name may have, nearly
    with atomic_write(path) as file:
        (sibling,) = tmp_path.iterdir()
        assert not is_abandoned(sibling)
        file.write(b"whole")
    assert path.read_bytes() == b"whole"
