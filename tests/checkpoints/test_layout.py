"""Which files of a folder say how sentences become vectors."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

import pytest

from bitextmine.checkpoints.layout import local_files, module_folders, needed_files, read_modules
from bitextmine.errors import EncoderError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an awkward name."""
    path = tmp_path / 'modèle d\'été "x"'
    path.mkdir()
    return path


@pytest.mark.parametrize(
    ("beside", "chosen"),
    [
        (["model.safetensors", "model.safetensors.index.json"], "model.safetensors"),
        (["model.safetensors.index.json", "pytorch_model.bin"], "model.safetensors.index.json"),
        (["pytorch_model.bin", "pytorch_model.bin.index.json"], "pytorch_model.bin"),
    ],
)
def test_the_weights_that_transformers_loads_are_chosen(beside: list[str], chosen: str) -> None:
    assert needed_files([*beside, "model-00001-of-00002.bin", "README.md"]) == [chosen]


def test_files_of_weights_are_found_by_the_names_in_their_index(folder: Path) -> None:
    index = {"weight_map": {"a": "part one.safetensors", "b": "../outside.safetensors"}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    (folder / "part one.safetensors").write_bytes(b"tensors")
    (folder.parent / "outside.safetensors").write_bytes(b"tensors")
    assert local_files(folder) == ["model.safetensors.index.json", "part one.safetensors"]


def _write(folder: Path, content: Any) -> Path:
    path = folder / "modules.json"
    path.write_text(json.dumps(content))
    return path


def test_modules_and_their_folders_are_read_and_null_is_the_models_own(folder: Path) -> None:
    listed = [{"type": "a.B", "path": None}, {"path": ""}, {"path": "./1_Pooling"}]
    path = _write(folder, listed)
    places = [("a.B", PurePosixPath()), ("", PurePosixPath()), ("", PurePosixPath("1_Pooling"))]
    assert read_modules(path) == places
    assert module_folders(path) == ["1_Pooling"]


def test_a_folder_without_modules_has_no_folders(folder: Path) -> None:
    assert module_folders(folder / "modules.json") == []


@pytest.mark.parametrize("place", ["../elsewhere", "/etc", "a/../../b", "a\0b"])
def test_a_module_outside_the_folder_is_refused(folder: Path, place: str) -> None:
    with pytest.raises(EncoderError, match="leads out of the folder") as told:
        read_modules(_write(folder, [{"path": place}]))
    assert "trust" in told.value.hint


@pytest.mark.parametrize("content", [{"path": ""}, [3], [None], [{"path": 3}], [{"type": []}]])
def test_something_else_than_modules_is_told(folder: Path, content: Any) -> None:
    with pytest.raises(EncoderError, match="is not a list of modules"):
        read_modules(_write(folder, content))


def test_modules_that_are_not_json_are_told(folder: Path) -> None:
    (folder / "modules.json").write_text("[")
    with pytest.raises(EncoderError, match="is not JSON"):
        module_folders(folder / "modules.json")
