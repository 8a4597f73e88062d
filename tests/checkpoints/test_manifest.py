"""What identifies a checkpoint, and what is noticed when it has changed."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from bitextmine.checkpoints import manifest
from bitextmine.checkpoints.manifest import (
    mark_file,
    read_manifest,
    verify_manifest,
    weights_hash,
    write_manifest,
)
from bitextmine.errors import EncoderError

FILES = {
    "model.safetensors": b"weights" * 100,
    "config.json": b'{"d": 4}',
    "tokenizer.json": b"{}",
    "modules.json": b'[{"path": ""}, {"path": "1_Pooling"}, {"path": "2_Dense"}]',
    "1_Pooling/config.json": b'{"mean": true}',
    "2_Dense/config.json": b"{}",
    "2_Dense/model.safetensors": b"dense",
}
BESIDE = {
    "README.md": b"text",
    "onnx/model.onnx": b"graph",
    "pytorch_model.bin": b"the same weights again",
    ".gitattributes": b"",
    "LICENSE.txt": b"",
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Write a checkpoint with things beside it."""
    path = tmp_path / "modèle d'été"
    _fill(path, FILES | BESIDE)
    return path


def _fill(folder: Path, files: dict[str, bytes]) -> None:
    for name, content in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)


def _write(folder: Path) -> None:
    write_manifest(
        folder,
        name="m-st5",
        sources=[{"role": "base", "source": "google/mt5-xxl", "revision": "abc"}],
        licence="CC-BY-NC-4.0",
        dtype="bfloat16",
        files={name: mark_file(folder / name) for name in FILES},
    )


def test_the_manifest_is_read_as_it_was_written(folder: Path) -> None:
    _write(folder)
    read = read_manifest(folder)
    assert read is not None
    assert (read.name, read.licence, read.dtype) == ("m-st5", "CC-BY-NC-4.0", "bfloat16")
    assert read.sources[0]["revision"] == "abc"
    content = FILES["config.json"]
    assert read.files["config.json"].size == len(content)
    assert read.files["config.json"].sha256 == hashlib.sha256(content).hexdigest()
    assert read.versions.keys() == {"bitextmine", "torch", "transformers"}
    verify_manifest(folder)


def test_a_folder_without_manifest_has_none(folder: Path) -> None:
    assert read_manifest(folder) is None
    with pytest.raises(EncoderError, match="not to the end"):
        verify_manifest(folder)


@pytest.mark.parametrize("name", FILES)
def test_whatever_can_change_vectors_changes_the_hash(folder: Path, name: str) -> None:
    before = weights_hash(folder)
    assert before.startswith("sha256:")
    (folder / name).write_bytes(FILES[name].replace(b"e", b"E") + b" ")
    assert weights_hash(folder) != before


@pytest.mark.parametrize("name", BESIDE)
def test_what_cannot_change_vectors_leaves_the_hash(folder: Path, name: str) -> None:
    before = weights_hash(folder)
    (folder / name).unlink()
    assert weights_hash(folder) == before


def test_the_hash_is_the_same_elsewhere_and_with_a_manifest(folder: Path, tmp_path: Path) -> None:
    before = weights_hash(folder)
    _fill(tmp_path / "copy", FILES)
    assert weights_hash(tmp_path / "copy") == before
    _write(folder)
    assert weights_hash(folder) == before


def test_large_files_known_to_the_manifest_are_not_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(manifest, "TRUSTED_BYTES", len(FILES["model.safetensors"]))
    before = weights_hash(folder)
    _write(folder)
    (folder / "model.safetensors").write_bytes(b"W" * len(FILES["model.safetensors"]))
    assert weights_hash(folder) == before
    (folder / "model.safetensors").write_bytes(b"W" * (len(FILES["model.safetensors"]) + 1))
    assert weights_hash(folder) != before


def test_files_in_the_cache_of_the_hub_are_known_by_their_names(
    folder: Path, tmp_path: Path
) -> None:
    before = weights_hash(folder)
    weights = folder / "model.safetensors"
    blob = tmp_path / "blobs" / hashlib.sha256(weights.read_bytes()).hexdigest()
    blob.parent.mkdir()
    weights.rename(blob)
    blob.write_bytes(b"not read")
    weights.symlink_to(os.path.relpath(blob, weights.parent))
    assert weights_hash(folder) == before


@pytest.mark.parametrize("content", [b"", FILES["model.safetensors"][:-1]])
def test_a_truncated_file_is_named(folder: Path, content: bytes) -> None:
    _write(folder)
    (folder / "model.safetensors").write_bytes(content)
    with pytest.raises(EncoderError, match=r"model\.safetensors is truncated or changed"):
        verify_manifest(folder)


def test_a_changed_file_is_named(folder: Path) -> None:
    _write(folder)
    (folder / "2_Dense/model.safetensors").write_bytes(b"DENSE")
    with pytest.raises(EncoderError, match=r"2_Dense/model\.safetensors has changed"):
        verify_manifest(folder)


def test_a_missing_file_is_named(folder: Path) -> None:
    _write(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(EncoderError, match=r"tokenizer\.json is missing"):
        verify_manifest(folder)


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"format": 1}'])
def test_a_damaged_manifest_is_told(folder: Path, content: str) -> None:
    (folder / "bitextmine.json").write_text(content)
    with pytest.raises(EncoderError, match=r"cannot read .*bitextmine\.json"):
        read_manifest(folder)


def test_a_manifest_of_a_later_version_is_told(folder: Path) -> None:
    (folder / "bitextmine.json").write_text(json.dumps({"format": 2}))
    with pytest.raises(EncoderError, match="has format 2, this version reads 1"):
        read_manifest(folder)


def test_modules_outside_the_folder_are_refused(folder: Path) -> None:
    (folder / "modules.json").write_text('[{"path": "../elsewhere"}]')
    with pytest.raises(EncoderError, match="leads out of the folder"):
        weights_hash(folder)


def test_the_file_that_transformers_loads_is_hashed_and_not_the_others_beside(folder: Path) -> None:
    index = {"weight_map": {"w": "model-00001-of-00001.safetensors"}}
    _fill(
        folder,
        {
            "model.safetensors.index.json": json.dumps(index).encode(),
            "model-00001-of-00001.safetensors": b"other",
        },
    )
    before = weights_hash(folder)
    (folder / "model-00001-of-00001.safetensors").write_bytes(b"other")
    assert weights_hash(folder) == before
    (folder / "model.safetensors").write_bytes(b"changed")
    assert weights_hash(folder) != before
