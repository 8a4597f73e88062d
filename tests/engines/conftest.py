"""What the tests of engines share."""

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder whose name has a space, quotes and non-ASCII in it."""
    path = tmp_path / 'l\'été "42" 語'
    path.mkdir()
    return path
