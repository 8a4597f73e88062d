"""What tells one encoder's vectors from another's, and which choices suit which encoder."""

import importlib
import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models
import torch

from bitextmine.config import EncoderOptions
from bitextmine.encoders.registry import encoder_info, installed_package
from bitextmine.encoders.spec import (
    EncoderSpec,
    load_spec,
    resolve_dtype,
    resolve_spec,
    shared_encoder,
)
from bitextmine.errors import EncoderError, UsageError
from bitextmine.machine import Limits


@pytest.fixture(scope="module")
def e5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("Modell 'é'")
    return small_models.e5(small_models.xlm_roberta(root / "base"), root / "mein E5", query="Q: ")


def spec_of(folder: Path, **options: Any) -> EncoderSpec:
    return resolve_spec(str(folder), EncoderOptions(**options), Limits(("cpu",)))


def test_the_identity_of_a_checkpoint_has_all_that_changes_vectors(e5: Path) -> None:
    spec = spec_of(e5)
    assert spec.weights.startswith("sha256:")
    assert spec.identity() == {
        "weights": spec.weights,
        "dim": 32,
        "stored": "float16",
        "computed": "float32",
        "prompt": "Q: ",
        "max_length": 62,
        "pooling": "mean",
    }
    json.dumps(spec.identity())


@pytest.mark.parametrize(
    "options", [{"prompt": ""}, {"prompt": "x"}, {"max_length": 9}, {"dtype": "bfloat16"}]
)
def test_a_choice_that_changes_vectors_changes_the_identity(
    e5: Path, options: dict[str, Any]
) -> None:
    assert spec_of(e5, **options).identity() != spec_of(e5).identity()


def test_the_pooling_of_a_plain_folder_is_in_its_identity(tmp_path: Path) -> None:
    plain = small_models.bert(tmp_path)
    identities = [spec_of(plain, pooling=name).identity() for name in ("mean", "cls", "last")]
    assert [identity.pop("pooling") for identity in identities] == ["mean", "cls", "last"]
    assert identities[0] == identities[1] == identities[2]


def test_a_choice_that_only_changes_speed_does_not(e5: Path) -> None:
    fast = spec_of(e5, batch_tokens=99, compile=False)
    assert fast.identity() == spec_of(e5).identity()


def test_a_copy_elsewhere_has_the_same_identity(e5: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(e5, tmp_path / "weit 'weg'" / e5.name)
    (copy / "README.md").write_text("# Read\n")
    assert spec_of(copy).identity() == spec_of(e5).identity()


def flip(path: Path) -> None:
    """Change the last byte of a file."""
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def lengthen(path: Path) -> None:
    """Add to a JSON file what changes nothing but its bytes."""
    path.write_text(path.read_text() + "\n")


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("model.safetensors", flip),
        ("tokenizer.json", lengthen),
        ("config.json", lengthen),
        ("modules.json", lengthen),
        ("1_Pooling/config.json", lengthen),
    ],
)
def test_another_file_gives_another_identity(
    e5: Path, tmp_path: Path, name: str, change: Callable[[Path], None]
) -> None:
    copy = shutil.copytree(e5, tmp_path / e5.name)
    change(copy / name)
    assert spec_of(copy).weights != spec_of(e5).weights


def test_a_spec_survives_the_journey_to_another_process(e5: Path) -> None:
    spec = spec_of(e5, prompt="x: ", max_length=20)
    copy = pickle.loads(pickle.dumps(spec))
    assert (copy, hash(copy)) == (spec, hash(spec))
    encoders = (load_spec(each, threads=1, device="cpu") for each in (copy, spec))
    found, expected = (encoder.encode(["Yes."]).embeddings for encoder in encoders)
    assert np.array_equal(found, expected)


def test_an_encoder_is_loaded_once_a_process(e5: Path) -> None:
    first = shared_encoder(spec_of(e5), 1, "cpu")
    assert shared_encoder(spec_of(e5), 1, "cpu") is first
    assert shared_encoder(spec_of(e5, prompt=""), 1, "cpu") is not first


def test_the_identity_of_an_embedded_encoder_is_its_package() -> None:
    spec = resolve_spec("use-m3", EncoderOptions())
    assert spec.identity() == {
        "model": "use-m3",
        "weights": installed_package("use-m3"),
        "dim": 512,
        "stored": "float16",
    }
    assert spec.info == encoder_info("use-m3")
    assert spec.devices(Limits()) == ("cpu",)


@pytest.mark.parametrize(
    ("option", "flag"),
    [
        ({"prompt": ""}, "--prompt"),
        ({"max_length": 40}, "--max-length"),
        ({"pooling": "cls"}, "--pooling"),
        ({"dtype": "float32"}, "--dtype"),
    ],
)
def test_an_embedded_encoder_refuses_what_it_has_no_choice_of(
    option: dict[str, Any], flag: str
) -> None:
    with pytest.raises(UsageError, match=f"^{flag} is given for use-m3") as caught:
        resolve_spec("use-m3", EncoderOptions(**option))
    assert f"leave {flag} out" in caught.value.hint


def test_the_card_of_a_checkpoint_comes_from_its_files(tmp_path: Path) -> None:
    folder = small_models.bert(tmp_path / "mein Modell")
    (folder / "README.md").write_text("---\nlicense: mit\nlanguage: [de, ces]\n---\n")
    info = spec_of(folder).info
    assert (info.name, info.package, info.dim) == ("mein Modell", str(folder), 32)
    assert (info.licence, info.languages) == ("mit", frozenset({"de", "cs"}))
    assert info.summary == "a checkpoint of type bert"


def test_a_checkpoint_without_model_card_has_an_unknown_licence(e5: Path) -> None:
    info = spec_of(e5).info
    assert info.licence.startswith("unknown")
    assert info.languages == frozenset()


def test_a_copied_preset_is_known_by_its_name_and_size(tmp_path: Path) -> None:
    small = small_models.bert(tmp_path / "LaBSE")
    info = spec_of(small).info
    assert (info.name, info.languages) == ("LaBSE", frozenset())
    wide = small_models.bert(tmp_path / "a" / "LaBSE", hidden_size=768, num_attention_heads=2)
    info = spec_of(wide).info
    assert (info.name, info.licence, info.dim) == ("labse", "Apache-2.0", 768)
    (wide / "README.md").write_text("---\nlicense: cc-by-nc-4.0\n---\n", "utf-8")
    assert spec_of(wide).info.licence == "cc-by-nc-4.0"


def test_a_renamed_copy_is_the_same_encoder(e5: Path, tmp_path: Path) -> None:
    copy = tmp_path / "another name"
    shutil.copytree(e5, copy)
    assert spec_of(copy).identity() == spec_of(e5).identity()


def test_a_token_that_the_model_does_not_know_is_told(tmp_path: Path) -> None:
    folder = small_models.bert(tmp_path / "model")
    transformers: Any = importlib.import_module("transformers")
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    tokenizer.add_tokens([f"tok{n}" for n in range(500)])
    tokenizer.save_pretrained(folder)
    encoder = load_spec(spec_of(folder), threads=1, device="cpu")
    assert len(encoder.encode(["the river"]).embeddings) == 1
    with pytest.raises(EncoderError, match=r"gave token .*, and the model knows"):
        encoder.encode(["the river", "tok499"])


def test_an_unknown_name_and_a_missing_gpu_are_told(e5: Path) -> None:
    with pytest.raises(EncoderError, match="use-m4"):
        resolve_spec("use-m4", EncoderOptions())
    with pytest.raises(EncoderError, match="there is no cuda:99 here"):
        resolve_spec(str(e5), EncoderOptions(), Limits(("cuda:99",)))


@dataclass(frozen=True)
class OneGpu:
    """A machine with a GPU, or workers that have one each."""

    bfloat16: bool
    devices: tuple[str, ...] = ()

    def usable_devices(self) -> tuple[str, ...]:
        return ("cuda:0",)

    def has_bfloat16(self) -> bool:
        return self.bfloat16


def test_the_number_format_follows_the_device() -> None:
    assert resolve_dtype("auto", Limits(("cpu",)), is_t5=True) == "float32"
    assert resolve_dtype("bfloat16", Limits(("cpu",)), is_t5=True) == "bfloat16"
    for supported, is_t5, dtype in (
        (True, True, "bfloat16"),
        (True, False, "bfloat16"),
        (False, True, "float32"),
        (False, False, "float16"),
    ):
        assert resolve_dtype("auto", OneGpu(supported), is_t5=is_t5) == dtype


def test_bfloat16_is_asked_of_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    for known in (True, False):
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation, known=known: known
        )
        assert Limits().has_bfloat16() == known


def test_an_embedded_encoder_takes_a_gpu_only_if_it_is_named() -> None:
    spec = resolve_spec("use-m3", EncoderOptions())
    assert spec.devices(OneGpu(True)) == ("cpu",)
    assert spec.devices(OneGpu(True, ("cuda:0",))) == ("cuda:0",)
    with pytest.raises(EncoderError, match="there is no cuda:99 here"):
        resolve_spec("use-m3", EncoderOptions(), Limits(("cuda:99",)))


def test_half_precision_is_refused_for_t5() -> None:
    with pytest.raises(UsageError, match="overflow"):
        resolve_dtype("float16", Limits(("cpu",)), is_t5=True)
