"""Files of a task belong together, or the line that does not is named."""

from pathlib import Path

import numpy as np
import pytest
import zstandard
from bucc_tasks import read, write_task

from bitextmine.errors import InputError, UsageError
from bitextmine.evaluation.bucc_task import read_tuning_task


def test_a_task_may_be_compressed_and_its_gold_repeated(tmp_path: Path) -> None:
    folder = write_task(tmp_path, ["a", "b"], ["A", "B"], [(0, 1), (0, 1)])
    (folder / "s").write_bytes(zstandard.compress((folder / "s").read_bytes()))
    assert read(folder).gold_pairs == {(0, 1)}


@pytest.mark.parametrize(
    ("file", "content", "problem"),
    [
        ("gold", "s0\tt9\n", r"gold, line 1: there is no id 't9' in .*/t"),
        ("gold", "t0\ts0\n", r"line 1: there is no id 't0' in .*/s"),
        ("gold", "s0 t0\n", "line 1 has no tab"),
        ("gold", "", "gold is empty"),
        ("s", "", "s is empty"),
        ("s", "s0\ta\nno tab here\n", "s, line 2 has no id"),
        ("t", "t0\ta\nt1\tb\nt0\tc\n", "t, line 3: the id t0 is also in line 1"),
    ],
)
def test_a_wrong_line_is_named(tmp_path: Path, file: str, content: str, problem: str) -> None:
    folder = write_task(tmp_path, ["a", "b"], ["A", "B"], [(0, 0)])
    (folder / file).write_text(content, "utf-8")
    with pytest.raises(InputError, match=problem):
        read(folder)


def test_text_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    folder = write_task(tmp_path, ["a"], ["A"], [(0, 0)])
    (folder / "t").write_bytes(b"t0\t\xff\n")
    with pytest.raises(InputError, match="line 1: not valid UTF-8"):
        read(folder)


def test_a_task_to_tune_on_is_whole_or_absent() -> None:
    assert read_tuning_task(None, None, None) is None
    with pytest.raises(UsageError, match="three files"):
        read_tuning_task(Path("s"), None, Path("gold"))


def test_pairs_of_lines_are_gold_or_not(tmp_path: Path) -> None:
    task = read(write_task(tmp_path, ["a", "b", "c"], ["A", "B", "C"], [(0, 1), (2, 0)]))
    found = task.are_gold(np.array([0, 0, 2, 1]), np.array([1, 0, 0, 2]))
    assert found.tolist() == [True, False, True, False]
