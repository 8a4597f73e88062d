"""Two small files that the toy encoder mines."""

from pathlib import Path

import pytest
from toy import src_line, tgt_line


@pytest.fixture
def src(tmp_path: Path) -> Path:
    path = tmp_path / "Quelle 'ä'.txt"
    path.write_text("".join(src_line(n) + "\n" for n in range(40)), "utf-8")
    return path


@pytest.fixture
def tgt(tmp_path: Path) -> Path:
    path = tmp_path / "target.txt"
    path.write_text("".join(tgt_line(n) + "\n" for n in range(20, 60)), "utf-8")
    return path
