"""Adapters merged by us and by peft itself."""

import importlib
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from tiny_t5 import adapted, save_base, with_adapter

from bitextmine.checkpoints.tensors import open_checkpoint
from bitextmine.errors import EncoderError
from bitextmine.models.adapter import LoraAdapter

OLD_CONFIG = {
    "base_model_name_or_path": "google/mt5-xxl",
    "bias": "none",
    "fan_in_fan_out": False,
    "inference_mode": True,
    "init_lora_weights": True,
    "layers_pattern": None,
    "layers_to_transform": None,
    "lora_alpha": 32,
    "lora_dropout": 0.1,
    "modules_to_save": None,
    "peft_type": "LORA",
    "r": 4,
    "revision": None,
    "target_modules": ["q", "v"],
    "task_type": None,
}
Q0 = "encoder.block.0.layer.0.SelfAttention.q.weight"


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Save one mT5 whose inner dimension is not its d_model."""
    return save_base(tmp_path_factory.mktemp("base d'été"))


def _assert_merged_alike(peft_model: Any, before: dict[str, torch.Tensor], folder: Path) -> None:
    """Every weight of the model merged by peft is what we make of it; at least one has changed."""
    adapter = LoraAdapter.read(folder)
    merged = peft_model.merge_and_unload().state_dict()
    assert merged.keys() == before.keys()
    for name, weight in merged.items():
        torch.testing.assert_close(adapter.merged(name, before[name]), weight, atol=1e-6, rtol=0)
    assert any(not torch.equal(before[name], weight) for name, weight in merged.items())


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"target_modules": ["q", "k", "v", "o", "wi_0", "wi_1", "wo"], "r": 3},
        {"use_rslora": True, "task_type": "FEATURE_EXTRACTION"},
        {
            "rank_pattern": {"block.1.layer.0.SelfAttention.q": 2, "v": 7},
            "alpha_pattern": {r"block\.0\..*\.q": 31},
        },
        {"layers_to_transform": [1], "layers_pattern": "block"},
    ],
    ids=["plain", "all modules", "rslora", "patterns", "one layer"],
)
def test_mt5_merges_as_in_peft(base: Path, tmp_path: Path, settings: dict[str, Any]) -> None:
    transformers: Any = importlib.import_module("transformers")
    before = transformers.MT5EncoderModel.from_pretrained(base, dtype=torch.float32).state_dict()
    _assert_merged_alike(adapted(base, tmp_path / "a b", **settings), before, tmp_path / "a b")


def test_bert_merges_as_in_peft(tmp_path: Path) -> None:
    transformers: Any = importlib.import_module("transformers")
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
    )
    model = transformers.BertModel(config)
    before = {name: weight.clone() for name, weight in model.state_dict().items()}
    modules = ["query", "output.dense"]
    _assert_merged_alike(with_adapter(model, tmp_path, target_modules=modules), before, tmp_path)


@pytest.mark.parametrize("infix", ["", ".default"])
def test_an_old_adapter_merges(base: Path, tmp_path: Path, infix: str) -> None:
    new, old = tmp_path / "new", tmp_path / "old"
    before = open_checkpoint(base).get(Q0)
    model = adapted(base, new, lora_alpha=32)
    tensors = load_file(new / "adapter_model.safetensors")
    old.mkdir()
    renamed = {name.replace(".weight", f"{infix}.weight"): t for name, t in tensors.items()}
    torch.save(renamed, old / "adapter_model.bin")
    (old / "adapter_config.json").write_text(json.dumps(OLD_CONFIG, indent=2, sort_keys=True))
    merged = LoraAdapter.read(old).merged(Q0, before)
    torch.testing.assert_close(merged, model.merge_and_unload().state_dict()[Q0], atol=1e-6, rtol=0)


def test_missing_keys_have_the_defaults_of_peft(base: Path, tmp_path: Path) -> None:
    adapted(base, tmp_path, r=8, lora_alpha=8)
    (tmp_path / "adapter_config.json").write_text('{"peft_type": "LORA", "of_the_future": 1}')
    pair = LoraAdapter.read(tmp_path).pairs[Q0]
    assert pair.scale == 1.0


def test_other_weights_stay_the_same_object(base: Path, tmp_path: Path) -> None:
    adapted(base, tmp_path)
    weight = torch.zeros(3, dtype=torch.bfloat16)
    assert LoraAdapter.read(tmp_path).merged("encoder.final_layer_norm.weight", weight) is weight


def test_an_adapter_for_another_size_names_tensor_and_shapes(base: Path, tmp_path: Path) -> None:
    adapted(base, tmp_path)
    told = f"{Q0} has shape (64, 64), the adapter's is (24, 32)"
    with pytest.raises(EncoderError) as error:
        LoraAdapter.read(tmp_path).merged(Q0, torch.zeros(64, 64))
    assert told in str(error.value)
    with pytest.raises(EncoderError) as error:
        LoraAdapter.read(tmp_path).check_fits({Q0: (64, 64)})
    assert told in str(error.value)


def test_an_adapter_for_another_architecture_names_the_weight(base: Path, tmp_path: Path) -> None:
    adapted(base, tmp_path)
    with pytest.raises(EncoderError, match="which the base does not have") as told:
        LoraAdapter.read(tmp_path).check_fits({"embeddings.weight": (3, 3)})
    assert "encoder.block.0" in str(told.value)
    assert str(base) in told.value.hint


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("peft_type", "IA3"),
        ("bias", "all"),
        ("use_dora", True),
        ("modules_to_save", ["shared"]),
        ("layer_replication", [[0, 1]]),
        ("init_lora_weights", "pissa"),
        ("trainable_token_indices", [1]),
    ],
)
def test_what_is_more_than_lora_is_refused_by_name(tmp_path: Path, key: str, value: object) -> None:
    (tmp_path / "adapter_config.json").write_text(json.dumps(OLD_CONFIG | {key: value}))
    with pytest.raises(EncoderError) as told:
        LoraAdapter.read(tmp_path)
    assert f"{key} = {value!r}" in str(told.value)


@pytest.mark.parametrize("content", ["", "[]", '{"r": "many"}', '{"lora_alpha": null}'])
def test_a_config_that_is_none_is_told(tmp_path: Path, content: str) -> None:
    (tmp_path / "adapter_config.json").write_text(content)
    with pytest.raises(EncoderError, match=r"cannot read .*adapter_config\.json"):
        LoraAdapter.read(tmp_path)


def test_tensors_that_are_no_lora_are_refused_by_name(base: Path, tmp_path: Path) -> None:
    adapted(base, tmp_path, use_dora=True)
    config = tmp_path / "adapter_config.json"
    config.write_text(config.read_text().replace('"use_dora": true', '"use_dora": false'))
    with pytest.raises(EncoderError, match="lora_magnitude_vector"):
        LoraAdapter.read(tmp_path)


def test_a_rank_against_its_config_is_told(base: Path, tmp_path: Path) -> None:
    adapted(base, tmp_path)
    config = tmp_path / "adapter_config.json"
    config.write_text(config.read_text().replace('"r": 4', '"r": 5'))
    with pytest.raises(EncoderError, match=r"does not fit its own config at .*r is 5"):
        LoraAdapter.read(tmp_path)
