"""What the tests of writing share."""

from pathlib import Path

import pytest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose name has a space, quotes and non-ASCII in it."""
    folder = tmp_path / "a 'hostile' \"Ordner\" ß"
    folder.mkdir()
    return folder
