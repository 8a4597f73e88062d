"""Encoders of text are told from all other models by their types, and code needs trust."""

import importlib
from pathlib import Path

import pytest
from model_files import BERT, Files, write

from bitextmine.encoders.transformer.description import describe
from bitextmine.errors import EncoderError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "Modèle 'von' \"A\" 日本"


@pytest.mark.parametrize(
    ("config", "kind"),
    [
        ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, "a decoder-only model"),
        ({"model_type": "llama", "architectures": ["LlamaForCausalLM"]}, "a decoder-only model"),
        ({"model_type": "qwen2", "architectures": ["Qwen2Model"]}, "a decoder-only model"),
        ({"model_type": "gemma", "architectures": None}, "a decoder-only model"),
        ({"model_type": "mistral"}, "a decoder-only model"),
        ({"model_type": "newest", "architectures": ["NewestForCausalLM"]}, "a decoder-only model"),
        ({"model_type": "bert", "is_decoder": True}, "a decoder-only model"),
        ({"model_type": "bart", "architectures": ["BartModel"]}, "'bart', an encoder-decoder"),
        ({"model_type": "marian", "is_encoder_decoder": True}, "'marian', an encoder-decoder"),
        ({"model_type": "m2m_100", "is_encoder_decoder": True}, "'m2m_100', an encoder-decoder"),
        ({"model_type": "vit", "architectures": ["ViTModel"]}, "'vit', which is not an encoder"),
        ({"hidden_size": 8}, "names no model_type"),
    ],
)
def test_a_model_of_another_kind_is_refused(folder: Path, config: Files, kind: str) -> None:
    with pytest.raises(EncoderError, match=kind):
        describe(write(folder, {"config.json": {"hidden_size": 8} | config}))


def test_a_new_type_with_a_masked_language_model_head_is_accepted(folder: Path) -> None:
    config = BERT | {"model_type": "newest", "architectures": ["NewestForMaskedLM"]}
    assert describe(write(folder, {"config.json": config})).model_type == "newest"


def test_no_type_of_decoder_in_transformers_is_accepted(folder: Path) -> None:
    auto = importlib.import_module("transformers.models.auto.modeling_auto")
    masked = {*auto.MODEL_FOR_MASKED_LM_MAPPING_NAMES}
    several = {*auto.MODEL_FOR_SEQ_TO_SEQ_CAUSAL_LM_MAPPING_NAMES}
    for model_type in {*auto.MODEL_FOR_CAUSAL_LM_MAPPING_NAMES} - masked - several:
        with pytest.raises(EncoderError, match="is of type"):
            describe(write(folder, {"config.json": BERT | {"model_type": model_type}}))


@pytest.mark.parametrize("name", ["config.json", "tokenizer_config.json"])
def test_code_of_the_folder_needs_trust(folder: Path, name: str) -> None:
    files = {"config.json": BERT | {"model_type": "new"}, "tokenizer_config.json": {}}
    if name == "tokenizer_config.json":
        files["config.json"] = BERT
    files[name] = files[name] | {"auto_map": {"AutoModel": "modeling.Model"}}
    write(folder, files)
    with pytest.raises(EncoderError) as caught:
        describe(folder)
    assert caught.value.hint == "--trust-remote-code if you trust its authors"
    assert describe(folder, trust_remote_code=True).remote_code
