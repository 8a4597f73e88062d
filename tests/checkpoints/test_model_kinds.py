"""Encoders of text are told from all other models by their types, and code needs trust."""

import importlib
from pathlib import Path

import pytest
from model_files import BERT, Files, write

from bitextmine.checkpoints.description import describe
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
        ({"model_type": "funnel", "architectures": ["FunnelForMaskedLM"]}, "pools its hidden"),
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


@pytest.mark.parametrize("name", ["other.safetensors", "model.safetensors.index.json", 3])
def test_weights_of_another_name_are_refused(folder: Path, name: object) -> None:
    write(folder, {"config.json": BERT | {"transformers_weights": name}})
    with pytest.raises(EncoderError, match="under transformers_weights as its weights") as told:
        describe(folder)
    assert told.value.hint == (
        "rename the file to model.safetensors, and remove the key from config.json"
    )


@pytest.mark.parametrize("name", [None, "model.safetensors"])
def test_weights_of_the_usual_name_may_be_named(folder: Path, name: str | None) -> None:
    write(folder, {"config.json": BERT | {"transformers_weights": name}})
    assert describe(folder).model_type == "bert"


@pytest.mark.parametrize("model_type", ["bert", "xlm-roberta", "electra"])
@pytest.mark.parametrize("positions", ["relative_key", "relative_key_query", "alibi"])
def test_positions_that_transformers_passes_over_are_refused(
    folder: Path, model_type: str, positions: str
) -> None:
    config = BERT | {"model_type": model_type, "position_embedding_type": positions}
    with pytest.raises(EncoderError, match=f"position_embedding_type '{positions}'"):
        describe(write(folder, {"config.json": config}))


@pytest.mark.parametrize(
    "said",
    [
        {"position_embedding_type": "absolute"},
        {"position_embedding_type": None},
        {"position_embedding_type": "rotary", "model_type": "esm"},
        {"position_embedding_type": "absolute", "model_type": "modernbert"},
    ],
)
def test_positions_that_transformers_computes_are_accepted(folder: Path, said: Files) -> None:
    assert describe(write(folder, {"config.json": BERT | said})).hidden_dim == 8


def test_positions_of_the_folders_own_code_are_its_matter(folder: Path) -> None:
    own = {"position_embedding_type": "alibi", "auto_map": {"AutoModel": "modeling.Model"}}
    write(folder, {"config.json": BERT | own})
    assert describe(folder, trust_remote_code=True).remote_code
