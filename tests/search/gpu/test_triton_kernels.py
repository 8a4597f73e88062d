"""The kernels of the GPU without a GPU: interpreted against plain torch, and compiled."""

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(not find_spec("triton"), reason="Triton is not installed")


def run(mode: str, **environment: str) -> None:
    """Run the cases in a process that imports Triton anew."""
    paths = os.pathsep.join([str(TESTS), str(TESTS.parent)])
    done = subprocess.run(
        [sys.executable, TESTS / "triton_cases.py", mode],
        env={**os.environ, "PYTHONPATH": paths, **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]


def test_interpreted_they_give_the_bits_of_plain_torch_and_the_search_that_of_brute_force() -> None:
    run("interpret", TRITON_INTERPRET="1")


def test_they_compile_for_a_gpu_and_read_four_numbers_at_a_time(tmp_path: Path) -> None:
    run("compile", TRITON_CACHE_DIR=str(tmp_path))
