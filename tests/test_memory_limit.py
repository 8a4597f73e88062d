"""Memory is bounded by the configuration: 200,000 x 200,000 sentences under a hard limit."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.alone

MIB = 1 << 20
LIMIT = 185 * MIB  # of address space, beyond what the program takes before it reads a sentence
SCRIPT = Path(__file__).with_name("mine_within.py")


def mine_within(folder: Path, memory: int) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(SCRIPT), str(folder), str(memory), str(LIMIT)]
    # Else every thread reserves address space that it never touches, now more, now less.
    env = {**os.environ, "MALLOC_ARENA_MAX": "1"}
    return subprocess.run(command, capture_output=True, text=True, check=False, env=env)


def test_a_budget_is_kept_where_a_search_without_one_dies(tmp_path: Path) -> None:
    bounded, unbounded = tmp_path / "bounded", tmp_path / "unbounded"
    for folder in (bounded, unbounded):
        folder.mkdir()
    within = mine_within(bounded, 512 * MIB)
    assert within.returncode == 0, within.stderr
    assert int(within.stdout) > 140_000
    assert len(list((bounded / "work" / "src" / "neighbours").iterdir())) > 1
    beyond = mine_within(unbounded, 64 << 30)
    assert beyond.returncode != 0
    # numpy, the operating system and oneDNN each have their own words for it
    assert any(told in beyond.stderr for told in ("memory", "allocate", "create a primitive"))
    assert not (unbounded / "pairs.tsv").exists()
