"""m-st5 made of a small mT5 and an adapter of peft, and models copied as they are."""

import contextlib
import fcntl
import importlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_t5 import SHAPES, VOCABULARY, adapted, save_base
from torch import Tensor
from torch.nn.functional import cosine_similarity

from bitextmine.checkpoints import layout
from bitextmine.checkpoints.manifest import read_manifest, verify_manifest, weights_hash
from bitextmine.checkpoints.tensors import open_checkpoint
from bitextmine.errors import BitextmineError, EncoderError, OutputError
from bitextmine.models import ingredients, model_folder, pull, weight_files

Q0 = "encoder.block.0.layer.0.SelfAttention.q.weight"


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Save a base and an adapter for it."""
    folder = tmp_path_factory.mktemp("parts d'été")
    adapted(save_base(folder / "base"), folder / "adapter")
    return folder / "base", folder / "adapter"


def _pull(parts: tuple[Path, Path], out: Path) -> Path:
    return pull.pull("m-st5", out=out, base=str(parts[0]), adapter=str(parts[1]))


def _vectors(model: Any) -> Tensor:
    """Masked means of two sentences of random tokens, as on the model card."""
    ids = torch.randint(3, VOCABULARY, (2, 9), generator=torch.Generator().manual_seed(3))
    mask = (torch.arange(9) < torch.tensor([[9], [5]])).long()
    with torch.no_grad():
        hidden: Tensor = model(input_ids=ids, attention_mask=mask).last_hidden_state
    return (hidden * mask[..., None]).sum(1) / mask.sum(1, keepdim=True)


@pytest.mark.parametrize("size", SHAPES)
def test_vectors_are_those_of_peft_in_float32(tmp_path: Path, size: str) -> None:
    transformers: Any = importlib.import_module("transformers")
    base = save_base(tmp_path / "base", **SHAPES[size])
    expected = _vectors(adapted(base, tmp_path / "adapter"))
    out = _pull((base, tmp_path / "adapter"), tmp_path / "out")
    model = transformers.MT5EncoderModel.from_pretrained(out, dtype=torch.float32)
    assert cosine_similarity(_vectors(model), expected).min() >= 0.999


def _resave(base: Path, out: Path, kind: str) -> None:
    """Write the base's tensors in another format."""
    tensors = {name: open_checkpoint(base).get(name) for name in open_checkpoint(base).names()}
    out.mkdir()
    for name in ("config.json", "spiece.model"):
        shutil.copy(base / name, out / name)
    if kind == "several":
        names = sorted(tensors)
        halves = (names[::2], names[1::2])
        for number, half in enumerate(halves):
            part = {name: tensors[name] for name in half}
            torch.save(part, out / f"pytorch_model-{number}.bin")
        where = {name: f"pytorch_model-{i}.bin" for i, half in enumerate(halves) for name in half}
        (out / "pytorch_model.bin.index.json").write_text(json.dumps({"weight_map": where}))
    else:
        new = kind == "zip"
        torch.save(tensors, out / "pytorch_model.bin", _use_new_zipfile_serialization=new)


@pytest.mark.parametrize("kind", ["zip", "old", "several"])
def test_the_format_of_the_base_is_no_matter(
    parts: tuple[Path, Path], tmp_path: Path, kind: str
) -> None:
    _resave(parts[0], tmp_path / "base", kind)
    expected = weights_hash(_pull(parts, tmp_path / "expected"))
    assert weights_hash(_pull((tmp_path / "base", parts[1]), tmp_path / "out")) == expected


def test_weights_are_merged_in_float32_and_rounded_once(
    parts: tuple[Path, Path], tmp_path: Path
) -> None:
    out = open_checkpoint(_pull(parts, tmp_path / "out"))
    base, adapter = open_checkpoint(parts[0]), open_checkpoint(parts[1], layout.ADAPTER_WEIGHTS)
    stem = f"base_model.model.{Q0.removesuffix('.weight')}"
    a, b = (adapter.get(f"{stem}.lora_{side}.weight") for side in "AB")
    assert torch.equal(out.get(Q0), (base.get(Q0) + 6 / 4 * (b @ a)).bfloat16())
    o = Q0.replace(".q.", ".o.")
    assert torch.equal(out.get(o), base.get(o).bfloat16())


def test_only_the_encoder_is_written(parts: tuple[Path, Path], tmp_path: Path) -> None:
    names = open_checkpoint(_pull(parts, tmp_path / "out")).names()
    assert "shared.weight" in names
    assert all(name.startswith(("shared.", "encoder.")) for name in names)


def test_sentence_transformers_takes_the_mean(parts: tuple[Path, Path], tmp_path: Path) -> None:
    library: Any = importlib.import_module("sentence_transformers")
    transformers: Any = importlib.import_module("transformers")
    out = _pull(parts, tmp_path / "out d'été")
    model = library.SentenceTransformer(str(out), model_kwargs={"dtype": "float32"})
    tokenizer = transformers.AutoTokenizer.from_pretrained(out)
    encoder = transformers.MT5EncoderModel.from_pretrained(out, dtype=torch.float32)
    sentence = "the old river 🐟 runs"
    tokens = tokenizer(sentence, return_tensors="pt")
    with torch.no_grad():
        expected = encoder(**tokens).last_hidden_state[0].mean(0)
    vector = model.encode(sentence, convert_to_tensor=True)
    torch.testing.assert_close(vector, expected, atol=1e-5, rtol=1e-5)
    assert model.max_seq_length == 512


def test_transformers_loads_it_in_bfloat16(parts: tuple[Path, Path], tmp_path: Path) -> None:
    transformers: Any = importlib.import_module("transformers")
    model, info = transformers.MT5EncoderModel.from_pretrained(
        _pull(parts, tmp_path / "out"), output_loading_info=True
    )
    assert model.dtype == torch.bfloat16
    assert not any(info[kind] for kind in ("missing_keys", "unexpected_keys", "mismatched_keys"))


def test_the_manifest_tells_sources_and_licence(parts: tuple[Path, Path], tmp_path: Path) -> None:
    out = _pull(parts, tmp_path / "out")
    verify_manifest(out)
    manifest = read_manifest(out)
    assert manifest is not None
    assert (manifest.name, manifest.licence, manifest.dtype) == (
        "m-st5",
        "CC-BY-NC-4.0",
        "bfloat16",
    )
    assert [s["source"] for s in manifest.sources] == [str(part) for part in parts]
    written = {p.relative_to(out).as_posix() for p in out.rglob("*") if p.is_file()}
    assert written == {*manifest.files, "bitextmine.json"}
    assert "license: cc-by-nc-4.0" in (out / "README.md").read_text("utf-8")


def test_weights_are_written_in_several_files(
    parts: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = open_checkpoint(_pull(parts, tmp_path / "whole"))
    monkeypatch.setattr(weight_files, "FILE_BYTES", 8192)
    out = _pull(parts, tmp_path / "out")
    sizes = {path.name: path.stat().st_size for path in out.glob("model-*.safetensors")}
    assert len(sizes) > 3
    embedding = 2 * VOCABULARY * 32
    assert sorted(sizes.values())[-1] < embedding + 1000  # larger than a file may be, so alone
    assert sorted(sizes.values())[-2] < 8192 + 1000
    pieces = open_checkpoint(out)
    assert pieces.names() == whole.names()
    assert all(torch.equal(pieces.get(name), whole.get(name)) for name in whole.names())


@pytest.mark.parametrize("written", [0, 1, 3, 6])
def test_an_interrupted_pull_goes_on(
    parts: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    monkeypatch.setattr(weight_files, "FILE_BYTES", 8192)
    expected = weights_hash(_pull(parts, tmp_path / "expected"))
    write = model_folder.ModelFolder.write
    done: list[str] = []

    def counted(self: Any, name: str, *args: Any) -> None:
        if len(done) == stop:
            raise KeyboardInterrupt
        write(self, name, *args)
        done.append(name)

    monkeypatch.setattr(model_folder.ModelFolder, "write", counted)
    stop = written
    with contextlib.suppress(KeyboardInterrupt):
        _pull(parts, tmp_path / "out")
    assert read_manifest(tmp_path / "out") is None
    (tmp_path / "out/.model-00001.x.tmp").touch()  # as a killed process leaves it
    before, stop = list(done), -1
    assert weights_hash(_pull(parts, tmp_path / "out")) == expected
    files = [name for name in done[len(before) :] if name.startswith("model-")]
    assert not set(files) & set(before)
    assert not [path for path in (tmp_path / "out").iterdir() if path.name.startswith(".")]


def test_a_complete_folder_is_left_as_it_is(parts: tuple[Path, Path], tmp_path: Path) -> None:
    out = _pull(parts, tmp_path / "out")
    before = (out / "bitextmine.json").stat()
    _pull(parts, tmp_path / "out")
    assert (out / "bitextmine.json").stat() == before


def test_a_folder_of_other_ingredients_is_refused_by_name(
    parts: tuple[Path, Path], tmp_path: Path
) -> None:
    _pull(parts, tmp_path / "out")
    shutil.copytree(parts[1], tmp_path / "other adapter")
    with pytest.raises(OutputError, match=r"made from another adapter: .*other adapter now"):
        _pull((parts[0], tmp_path / "other adapter"), tmp_path / "out")


def test_an_ingredient_that_has_changed_is_noticed(
    parts: tuple[Path, Path], tmp_path: Path
) -> None:
    adapter = tmp_path / "adapter"
    shutil.copytree(parts[1], adapter)
    _pull((parts[0], adapter), tmp_path / "out")
    config = adapter / "adapter_config.json"
    config.write_text(config.read_text().replace('"lora_alpha": 6', '"lora_alpha": 7'))
    with pytest.raises(OutputError, match=r"adapter: .* has changed since"):
        _pull((parts[0], adapter), tmp_path / "out")


def test_a_folder_with_other_things_in_it_is_refused(
    parts: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "notes.txt").touch()
    with pytest.raises(OutputError, match=r"is not empty: it has 'notes\.txt'"):
        _pull(parts, tmp_path)


def test_a_folder_in_use_is_refused(parts: tuple[Path, Path], tmp_path: Path) -> None:
    handle = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(OutputError, match="another process is writing"):
            _pull(parts, tmp_path)
    finally:
        os.close(handle)


def test_a_disk_that_is_too_small_is_told_before_writing(
    parts: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(model_folder, "free_disk_bytes", lambda path: 2**20)
    with pytest.raises(OutputError, match=r"needs 0\.06 GiB, its disk has 0\.00 GiB free"):
        _pull(parts, tmp_path / "out")
    assert not list((tmp_path / "out").glob("model-*"))


def _broken(parts: tuple[Path, Path], folder: Path, name: str, content: bytes | None) -> Path:
    """Copy the base with one file changed, or removed."""
    shutil.copytree(parts[0], folder)
    if content is None:
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(content)
    return folder


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("config.json", b'{"model_type": "llama"}', "is no T5 or mT5 model: model_type is 'llama'"),
        ("config.json", b"{", "cannot read"),
        ("config.json", None, "cannot read"),
        ("spiece.model", None, r"has no spiece\.model"),
        ("model.safetensors", b"\x10\0\0\0\0\0\0\0{}", "is truncated or damaged"),
        ("model.safetensors", None, "no weights in"),
    ],
)
def test_a_broken_base_is_told(
    parts: tuple[Path, Path], tmp_path: Path, name: str, content: bytes | None, told: str
) -> None:
    base = _broken(parts, tmp_path / "base", name, content)
    with pytest.raises(EncoderError, match=told):
        _pull((base, parts[1]), tmp_path / "out")


def test_weights_that_are_not_those_of_the_config_are_told(
    parts: tuple[Path, Path], tmp_path: Path
) -> None:
    config = (parts[0] / "config.json").read_bytes().replace(b'"d_ff": 48', b'"d_ff": 49')
    base = _broken(parts, tmp_path / "base", "config.json", config)
    with pytest.raises(EncoderError, match=r"has shape \(48, 32\), its config.json says \(49, 32"):
        _pull((base, parts[1]), tmp_path / "out")


def test_an_adapter_for_another_size_is_told(parts: tuple[Path, Path], tmp_path: Path) -> None:
    base = save_base(tmp_path / "base", **SHAPES["base"])
    with pytest.raises(EncoderError, match="is for another base"):
        _pull((base, parts[1]), tmp_path / "out")


@pytest.mark.parametrize("where", ["./nowhere", "/no/such folder", ""])
def test_a_folder_that_does_not_exist_is_told(
    parts: tuple[Path, Path], tmp_path: Path, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(EncoderError, match=f"there is no folder '{where}'"):
        pull.pull("m-st5", out=tmp_path / "out", base=where, adapter=str(parts[1]))


def test_another_model_is_copied_with_what_it_needs(
    parts: tuple[Path, Path], tmp_path: Path
) -> None:
    model = _pull(parts, tmp_path / "model")
    (model / "bitextmine.json").unlink()
    (model / "onnx").mkdir()
    (model / "onnx/model.onnx").touch()
    copy = pull.pull(str(model), out=tmp_path / "a copy")
    verify_manifest(copy)
    assert weights_hash(copy) == weights_hash(model)
    assert not (copy / "onnx").exists()
    manifest = read_manifest(copy)
    assert manifest is not None
    assert manifest.licence == "cc-by-nc-4.0"


def test_hub_ids_are_fetched_with_their_revision(
    parts: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[str, str | None]] = []

    def snapshot(repo: str, *, revision: str | None, allow: object, asked: str) -> Path:
        calls.append((repo, revision))
        return parts[0] if "base" in repo else parts[1]

    monkeypatch.setattr(ingredients, "snapshot", snapshot)
    monkeypatch.chdir(tmp_path)
    pull.pull("m-st5", out=tmp_path / "out", base="me/base@v1.0", adapter="me/adapter")
    assert calls == [("me/adapter", None), ("me/base", "v1.0")]


def test_a_preset_is_fetched_under_its_short_name(
    parts: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = _pull(parts, tmp_path / "model")
    calls: list[tuple[str, str]] = []

    def snapshot(repo: str, *, revision: str | None, allow: object, asked: str) -> Path:
        calls.append((repo, asked))
        return model

    monkeypatch.setattr(ingredients, "snapshot", snapshot)
    monkeypatch.setenv("BITEXTMINE_MODELS", str(tmp_path / "models"))
    monkeypatch.chdir(tmp_path)
    assert pull.pull("labse") == tmp_path / "models/labse"
    manifest = read_manifest(tmp_path / "models/labse")
    assert manifest is not None
    assert (manifest.name, calls) == ("labse", [("sentence-transformers/LaBSE", "labse")])


def test_the_default_folder_follows_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("BITEXTMINE_MODELS", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert layout.default_folder("m-st5") == tmp_path / ".cache/bitextmine/m-st5"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "x"))
    assert layout.default_folder("m-st5") == tmp_path / "x/bitextmine/m-st5"
    monkeypatch.setenv("BITEXTMINE_MODELS", str(tmp_path / "m"))
    assert layout.default_folder("owner/name@v1") == tmp_path / "m/owner--name"


def test_not_a_number_is_refused(parts: tuple[Path, Path], tmp_path: Path) -> None:
    tensors = {n: open_checkpoint(parts[0]).get(n) for n in open_checkpoint(parts[0]).names()}
    tensors[Q0][3, 3] = torch.nan
    base = _broken(parts, tmp_path / "base", "model.safetensors", None)
    torch.save(tensors, base / "pytorch_model.bin")
    with pytest.raises(BitextmineError, match="has NaN or infinite values"):
        _pull((base, parts[1]), tmp_path / "out")
