"""A work directory refuses what it was not made for, and who comes second."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bitextmine.errors import WorkdirError
from bitextmine.files import ABANDONED_S, write_json
from bitextmine.workdir import Workdir, opened_workdir


def test_a_stage_is_bound_to_its_settings(tmp_path: Path) -> None:
    workdir = Workdir(tmp_path / "w")
    workdir.create()
    workdir.claim("search", {"k": 4})
    workdir.claim("search", {"k": 4})
    with pytest.raises(WorkdirError, match="k: 4 there, 8 now"):
        workdir.claim("search", {"k": 8})
    with pytest.raises(WorkdirError, match="no finished results of the stage 'search'"):
        workdir.stage_settings("search")  # begun is not finished
    workdir.finish("search", {"seconds": 1, "warnings": []})
    assert workdir.stage_settings("search") == {"k": 4}


def test_another_version_is_refused_by_name(tmp_path: Path) -> None:
    workdir = Workdir(tmp_path / "w")
    workdir.create()
    write_json(workdir.settings, {"layout": 1, "version": "0.0.9"})
    with pytest.raises(WorkdirError, match=r"made by bitextmine 0\.0\.9"):
        workdir.claim("search", {"k": 4})


def test_a_folder_with_other_files_is_not_ours(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("precious")
    (tmp_path / "src").mkdir()
    with pytest.raises(WorkdirError, match=r"not a work directory: it has 'thesis\.tex'"):
        Workdir(tmp_path).create()
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["src", "thesis.tex"]


def test_a_stage_makes_no_work_directory_but_shard_does(tmp_path: Path) -> None:
    with (
        pytest.raises(WorkdirError, match="is no work directory"),
        opened_workdir(tmp_path / "typo", make=False),
    ):
        pass
    assert not (tmp_path / "typo").exists()


def writing(root: Path) -> "subprocess.Popen[str]":
    """Start a process that is in the middle of writing a file of src."""
    write = (
        "import sys, time\nfrom pathlib import Path\nfrom bitextmine.files import atomic_write\n"
    )
    write += "with atomic_write(Path(sys.argv[1])) as file:\n"
    write += "    file.write(b'half')\n    print('writing', flush=True)\n    time.sleep(60)\n"
    return subprocess.Popen(
        [sys.executable, "-c", write, str(root / "src" / "text.bin")],
        stdout=subprocess.PIPE,
        text=True,
    )


def test_leftovers_of_a_killed_run_are_removed_and_those_of_a_living_one_stay(
    tmp_path: Path,
) -> None:
    root = tmp_path / "w"
    with opened_workdir(root, make=True), writing(root) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "writing\n"
        (leftover,) = (root / "src").glob(".*.tmp")
        Workdir(root).remove_leftovers()
        assert leftover.exists()
        process.kill()
        process.wait()
    with opened_workdir(root, make=True):
        assert not leftover.exists()


def test_leftovers_of_another_machine_go_when_nobody_can_be_writing_them(tmp_path: Path) -> None:
    with opened_workdir(tmp_path / "w", make=True) as workdir:
        leftover = workdir.root / "src" / ".text.bin.another-node-f00~4711~12345.x1.tmp"
        leftover.write_bytes(b"half")
        workdir.remove_leftovers()
        assert leftover.exists()
        os.utime(leftover, (leftover.stat().st_mtime - ABANDONED_S - 1,) * 2)
    with opened_workdir(tmp_path / "w", make=True):
        assert not leftover.exists()


def test_attempts_at_a_shard_stay_until_it_is_encoded(tmp_path: Path) -> None:
    with opened_workdir(tmp_path / "w", make=True) as workdir:
        files = workdir.shard("src", 0)
        files.folder.mkdir()
        attempt = "another-node-f00~4711~12345"
        for path in (files.part(attempt), files.progress(attempt)):
            path.write_bytes(b"{}")
            os.utime(path, (path.stat().st_mtime - ABANDONED_S - 1,) * 2)
    with opened_workdir(tmp_path / "w", make=True):
        assert len(files.leftovers()) == 2
        files.encoded.write_text("{}", "utf-8")
    with opened_workdir(tmp_path / "w", make=True):
        assert files.leftovers() == []


def test_two_runs_cannot_share_a_work_directory(tmp_path: Path) -> None:
    root = tmp_path / "w"
    hold = "import sys\nfrom pathlib import Path\nfrom bitextmine.workdir import opened_workdir\n"
    hold += "with opened_workdir(Path(sys.argv[1]), make=True):\n"
    hold += "    print('held', flush=True)\n    input()\n"
    with subprocess.Popen(
        [sys.executable, "-c", hold, root], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with (
            pytest.raises(WorkdirError, match=f"in use by process {other.pid}"),
            opened_workdir(root, make=True),
        ):
            pass
        other.communicate("\n")
    with opened_workdir(root, make=True):
        pass


def test_a_temporary_work_directory_is_private_and_removed(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), opened_workdir(None, make=True) as workdir:
        root = workdir.root
        assert root.stat().st_mode & 0o777 == 0o700
        raise KeyboardInterrupt
    assert not root.exists()
