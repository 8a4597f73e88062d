"""Tensors read from every kind of file, and files that are not what they claim."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from bitextmine.checkpoints.tensors import open_checkpoint
from bitextmine.errors import EncoderError

TENSORS = {
    "encoder.weight": torch.arange(35, dtype=torch.float32).reshape(5, 7).sin(),
    "half": torch.linspace(-3, 3, 11).bfloat16(),
    "scalar": torch.tensor(42),
    "empty": torch.zeros(0, 3),
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Return a folder with an awkward name."""
    path = tmp_path / 'modèle d\'été "x"'
    path.mkdir()
    return path


def _save_safetensors(folder: Path) -> None:
    save_file(TENSORS, folder / "model.safetensors", metadata={"format": "pt"})


def _save_torch(folder: Path) -> None:
    torch.save(TENSORS, folder / "pytorch_model.bin")


def _save_old_torch(folder: Path) -> None:
    torch.save(TENSORS, folder / "pytorch_model.bin", _use_new_zipfile_serialization=False)


def _save_parts(folder: Path, suffix: str, index: str) -> None:
    file_of = {}
    for number, (name, tensor) in enumerate(TENSORS.items()):
        file = f"part-{number}.{suffix}"
        file_of[name] = file
        if suffix == "bin":
            torch.save({name: tensor}, folder / file)
        else:
            save_file({name: tensor}, folder / file)
    (folder / index).write_text(json.dumps({"weight_map": file_of}))


def _save_safetensors_parts(folder: Path) -> None:
    _save_parts(folder, "safetensors", "model.safetensors.index.json")


def _save_torch_parts(folder: Path) -> None:
    _save_parts(folder, "bin", "pytorch_model.bin.index.json")


@pytest.mark.parametrize(
    "save",
    [
        _save_safetensors,
        _save_torch,
        _save_old_torch,
        _save_safetensors_parts,
        _save_torch_parts,
    ],
)
def test_every_format_gives_the_tensors_back(folder: Path, save: Callable[[Path], None]) -> None:
    save(folder)
    checkpoint = open_checkpoint(folder)
    assert sorted(checkpoint.names()) == sorted(TENSORS)
    for name, tensor in TENSORS.items():
        assert checkpoint.shape(name) == tuple(tensor.shape)
        assert checkpoint.get(name).dtype == tensor.dtype
        assert torch.equal(checkpoint.get(name), tensor)


def test_views_of_one_storage_are_read_as_they_were(folder: Path) -> None:
    whole = torch.randn(6, 5, generator=torch.Generator().manual_seed(0))
    views = {"rows": whole[2:4], "columns": whole[:, 1:3], "turned": whole.T}
    torch.save(views, folder / "pytorch_model.bin")
    checkpoint = open_checkpoint(folder)
    assert all(torch.equal(checkpoint.get(name), view) for name, view in views.items())


def test_safetensors_are_preferred(folder: Path) -> None:
    torch.save({"other": torch.zeros(1)}, folder / "pytorch_model.bin")
    _save_safetensors(folder)
    assert "other" not in open_checkpoint(folder)


@pytest.mark.parametrize("suffix", ["safetensors", "bin"])
def test_a_whole_file_is_preferred_to_an_index_as_in_transformers(
    folder: Path, suffix: str
) -> None:
    if suffix == "bin":
        _save_torch_parts(folder)
        torch.save({"other": torch.zeros(1)}, folder / "pytorch_model.bin")
    else:
        _save_safetensors_parts(folder)
        save_file({"other": torch.zeros(1)}, folder / "model.safetensors")
    assert open_checkpoint(folder).names() == ["other"]


def test_no_weights_of_a_model_is_told(folder: Path) -> None:
    (folder / "config.json").write_text("{}")
    with pytest.raises(EncoderError, match="no weights in") as told:
        open_checkpoint(folder)
    assert told.value.hint == "the folder needs model.safetensors or pytorch_model.bin"


def test_no_weights_of_an_adapter_is_told(folder: Path) -> None:
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(EncoderError, match="no weights in") as told:
        open_checkpoint(folder)
    assert told.value.hint == "the folder needs adapter_model.safetensors or adapter_model.bin"


@pytest.mark.parametrize("name", ["tf_model.h5", "flax_model.msgpack", "model.fp16.safetensors"])
def test_weights_of_another_name_are_told(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"weights")
    with pytest.raises(EncoderError, match=f"no weights in .*, only {name}$") as told:
        open_checkpoint(folder)
    assert (f"rename {name}" in told.value.hint) == name.endswith(".safetensors")


@pytest.mark.parametrize("save", [_save_safetensors, _save_torch, _save_old_torch])
@pytest.mark.parametrize("kept", [0, 0.001, 0.1, 0.5, 0.99])
def test_a_truncated_file_is_named(folder: Path, save: Callable[[Path], None], kept: float) -> None:
    save(folder)
    file = next(folder.iterdir())
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * kept)])
    with pytest.raises(EncoderError, match="is truncated or damaged") as told:
        open_checkpoint(folder)
    assert file.name in str(told.value)
    assert "\n" not in str(told.value)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_file_of_something_else_is_named(folder: Path, name: str) -> None:
    (folder / name).write_bytes(b"<html>404 not found</html>" * 20)
    with pytest.raises(EncoderError, match=f"{name} is truncated or damaged"):
        open_checkpoint(folder)


@pytest.mark.parametrize("name", ["model.safetensors", "pytorch_model.bin"])
def test_a_pointer_of_git_lfs_is_told(folder: Path, name: str) -> None:
    pointer = "version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 12345\n"
    (folder / name).write_text(pointer)
    with pytest.raises(EncoderError, match=f"{name} is a pointer of Git LFS") as told:
        open_checkpoint(folder)
    assert "git lfs pull" in told.value.hint


def test_a_missing_file_of_several_is_named(folder: Path) -> None:
    _save_safetensors_parts(folder)
    (folder / "part-1.safetensors").unlink()
    with pytest.raises(EncoderError, match=r"names part-1\.safetensors, which is not in its"):
        open_checkpoint(folder)


def test_a_file_outside_the_folder_is_refused(folder: Path) -> None:
    save_file(TENSORS, folder.parent / "outside.safetensors")
    index = json.dumps({"weight_map": {"half": "../outside.safetensors"}})
    (folder / "model.safetensors.index.json").write_text(index)
    with pytest.raises(EncoderError, match="which is not in its folder"):
        open_checkpoint(folder)


@pytest.mark.parametrize("content", ["", "[1]", '{"weight_map": 3}', "{"])
def test_an_index_that_is_none_is_told(folder: Path, content: str) -> None:
    (folder / "model.safetensors.index.json").write_text(content)
    with pytest.raises(EncoderError, match="is no index of weight files"):
        open_checkpoint(folder)


def test_an_unknown_tensor_is_told(folder: Path) -> None:
    _save_safetensors(folder)
    with pytest.raises(EncoderError, match="has no tensor decoder"):
        open_checkpoint(folder).get("decoder")
