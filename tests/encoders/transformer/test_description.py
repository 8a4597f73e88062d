"""Everything that a checkpoint's files say is read, and what we cannot do is refused by name."""

import importlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitextmine.encoders.options import Pooling
from bitextmine.encoders.transformer.description import (
    DenseLayer,
    describe,
    read_languages,
    read_licence,
)
from bitextmine.errors import BitextmineError, EncoderError, UsageError

OLD = "sentence_transformers.models."
BERT = {"model_type": "bert", "hidden_size": 8, "max_position_embeddings": 512}
MT5 = {"model_type": "mt5", "d_model": 8, "is_encoder_decoder": True}
MEAN = {"pooling_mode_mean_tokens": True}
Files = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "Modèle 'von' \"A\" 日本"


def write(folder: Path, files: Files) -> Path:
    """Write files; what is not a string is written as JSON."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content), "utf-8")
    return folder


def modules(*names: str, prefix: str = OLD, transformer: str = "") -> list[dict[str, Any]]:
    """List modules as modules.json does, the transformer first."""
    places = [transformer, *(f"{i}_{name}" for i, name in enumerate(names, 1))]
    return [
        {"idx": i, "name": str(i), "path": place, "type": prefix + name}
        for i, (name, place) in enumerate(zip(("Transformer", *names), places, strict=True))
    ]


def pooled(pooling: Files, **more: Any) -> Files:
    """Files of a BERT with this pooling, and more files."""
    return {
        "config.json": BERT,
        "modules.json": modules("Pooling"),
        "1_Pooling/config.json": pooling,
    } | more


def with_dense(**changes: Any) -> Files:
    """Files of a BERT with mean pooling and a dense layer."""
    dense = {
        "in_features": 8,
        "out_features": 4,
        "bias": True,
        "activation_function": "torch.nn.modules.activation.Tanh",
    }
    listed = modules("Pooling", "Dense")
    kept = {name: value for name, value in (dense | changes).items() if value != "absent"}
    return pooled(MEAN) | {"modules.json": listed, "2_Dense/config.json": kept}


def test_a_plain_checkpoint_is_pooled_by_its_mean(folder: Path) -> None:
    found = describe(write(folder, {"config.json": BERT}))
    assert (found.folder, found.model_type, found.hidden_dim) == (folder, "bert", 8)
    assert (found.poolings, found.pool_prompt, found.head, found.dim) == (("mean",), True, (), 8)
    assert (found.prompt, found.prompts, found.lowercase) == ("", (), False)
    assert (found.max_length, found.remote_code) == (512, False)


def test_a_plain_checkpoint_is_pooled_as_asked(folder: Path) -> None:
    assert describe(write(folder, {"config.json": BERT}), pooling="cls").poolings == ("cls",)


def test_all_old_files_are_read(folder: Path) -> None:
    files = {
        "0_Transformer/config.json": BERT,
        "0_Transformer/sentence_bert_config.json": {"max_seq_length": 128, "do_lower_case": True},
        "modules.json": modules("Pooling", "Dense", "Normalize", transformer="0_Transformer"),
        "1_Pooling/config.json": {"word_embedding_dimension": 8, "pooling_mode_cls_token": True},
        "2_Dense/config.json": with_dense()["2_Dense/config.json"],
    }
    found = describe(write(folder, files))
    dense = DenseLayer(
        weights=folder / "2_Dense", in_dim=8, out_dim=4, bias=True, activation="tanh"
    )
    assert found.folder == folder / "0_Transformer"
    assert (found.max_length, found.lowercase) == (128, True)
    assert (found.poolings, found.head, found.dim) == (("cls",), (dense, "normalise"), 4)


def test_new_module_paths_are_read(folder: Path) -> None:
    listed = modules("Pooling", "Normalize")
    listed[0]["type"] = "sentence_transformers.base.modules.transformer.Transformer"
    listed[1]["type"] = "sentence_transformers.sentence_transformer.modules.pooling.Pooling"
    listed[2]["type"] = "sentence_transformers.base.modules.normalize.Normalize"
    pooling = {"embedding_dimension": 8, "pooling_mode": "lasttoken", "include_prompt": False}
    found = describe(write(folder, pooled(pooling, **{"modules.json": listed})))
    assert (found.poolings, found.pool_prompt, found.head) == (("last",), False, ("normalise",))


def test_dropout_does_nothing_outside_training(folder: Path) -> None:
    files = pooled(MEAN, **{"modules.json": modules("Pooling", "Dropout")})
    assert describe(write(folder, files)).head == ()


@pytest.mark.parametrize(
    ("settings", "poolings"),
    [
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, ("cls",)),
        ({"pooling_mode_max_tokens": True}, ("max",)),
        ({"pooling_mode_mean_tokens": True}, ("mean",)),
        ({"pooling_mode_mean_sqrt_len_tokens": True}, ("mean_sqrt_len",)),
        ({"pooling_mode_weightedmean_tokens": True}, ("weighted_mean",)),
        ({"pooling_mode_lasttoken": True}, ("last",)),
        ({"pooling_mode_mean_tokens": True, "pooling_mode_cls_token": True}, ("cls", "mean")),
        ({"pooling_mode_mean_tokens": False}, ("mean",)),
        ({}, ("mean",)),
        ({"pooling_mode": "weightedmean"}, ("weighted_mean",)),
        ({"pooling_mode": "mean_sqrt_len_tokens"}, ("mean_sqrt_len",)),
        ({"pooling_mode": ["mean", "cls"]}, ("mean", "cls")),
        ({"pooling_mode": "max", "pooling_mode_cls_token": True}, ("max",)),
    ],
)
def test_every_way_to_name_a_pooling_is_read(
    folder: Path, settings: Files, poolings: tuple[Pooling, ...]
) -> None:
    found = describe(write(folder, pooled(settings)))
    assert (found.poolings, found.dim) == (poolings, 8 * len(poolings))


@pytest.mark.parametrize(
    "settings", [{"pooling_mode": "median"}, {"pooling_mode_new_tokens": True}]
)
def test_an_unknown_pooling_is_refused(folder: Path, settings: Files) -> None:
    with pytest.raises(EncoderError, match=r"has a pooling '.*' that is not supported"):
        describe(write(folder, pooled(settings)))


def test_a_pooling_other_than_the_files_is_refused(folder: Path) -> None:
    write(folder, pooled(MEAN))
    assert describe(folder, pooling="mean").poolings == ("mean",)
    with pytest.raises(UsageError, match="pools by mean, not by cls"):
        describe(folder, pooling="cls")


@pytest.mark.parametrize(
    ("config", "files", "length"),
    [
        (BERT, {}, 512),
        (BERT, {"tokenizer_config.json": {"model_max_length": 256}}, 256),
        (BERT, {"tokenizer_config.json": {"model_max_length": 10**30}}, 512),
        (BERT, {"tokenizer_config.json": {"model_max_length": 1e30}}, 512),
        (BERT, {"tokenizer_config.json": {"model_max_length": 8192}}, 512),
        (BERT, {"sentence_bert_config.json": {"max_seq_length": 128}}, 128),
        (BERT, {"sentence_bert_config.json": {"max_seq_length": 4096}}, 512),
        (BERT, {"sentence_bert_config.json": {"max_seq_length": None}}, 512),
        (BERT, {"sentence_roberta_config.json": {"max_seq_length": 100}}, 100),
        (BERT, {"sentence_bert_config.json": {"tokenizer_args": {"model_max_length": 96}}}, 96),
        (BERT, {"sentence_bert_config.json": {"processor_kwargs": {"model_max_length": 9}}}, 9),
        (
            BERT,
            {"sentence_bert_config.json": {"processing_kwargs": {"text": {"max_length": 7}}}},
            7,
        ),
        (BERT | {"max_position_embeddings": 8192}, {}, 8192),
        (BERT | {"model_type": "roberta", "max_position_embeddings": 514}, {}, 512),
        (BERT | {"model_type": "xlm-roberta", "max_position_embeddings": 8194}, {}, 8192),
        (BERT | {"model_type": "camembert", "max_position_embeddings": 514}, {}, 512),
        (
            BERT | {"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 1},
            {},
            512,
        ),
        (MT5, {}, 512),
        (MT5, {"tokenizer_config.json": {"model_max_length": 10**30}}, 512),
        (MT5 | {"n_positions": 64}, {"sentence_bert_config.json": {"max_seq_length": 900}}, 900),
    ],
)
def test_the_length_is_the_first_said_within_the_positions(
    folder: Path, config: Files, files: Files, length: int
) -> None:
    write(folder, pooled(MEAN) | {"config.json": config} | files)
    assert describe(folder).max_length == length


def test_a_length_asked_for_wins_over_the_files(folder: Path) -> None:
    write(folder, {"config.json": BERT, "tokenizer_config.json": {"model_max_length": 128}})
    assert describe(folder, max_length=300).max_length == 300


@pytest.mark.parametrize("length", [513, 2, 0, -1])
def test_a_length_without_positions_names_the_most(folder: Path, length: int) -> None:
    write(folder, {"config.json": BERT})
    with pytest.raises(UsageError) as caught:
        describe(folder, max_length=length)
    assert caught.value.hint == "choose a length from 3 to 512 tokens"


def test_a_t5_has_no_limit(folder: Path) -> None:
    assert describe(write(folder, {"config.json": MT5}), max_length=5000).max_length == 5000


@pytest.mark.parametrize(
    ("asked", "files", "known", "used"),
    [
        (None, {}, "", ""),
        (None, {}, "query: ", "query: "),
        (None, {"prompts": {"query": "Q: "}, "default_prompt_name": None}, "known: ", "known: "),
        (None, {"prompts": {"query": "Q: "}, "default_prompt_name": "query"}, "known: ", "Q: "),
        (None, {"prompts": {}, "default_prompt_name": "document"}, "known: ", ""),
        ("mine: ", {"prompts": {"query": "Q: "}, "default_prompt_name": "query"}, "k: ", "mine: "),
        ("", {"prompts": {"query": "Q: "}, "default_prompt_name": "query"}, "k: ", ""),
    ],
)
def test_the_prompt_asked_for_wins_then_the_files_then_the_known_one(
    folder: Path, asked: str | None, files: Files, known: str, used: str
) -> None:
    write(folder, pooled(MEAN, **{"config_sentence_transformers.json": files}))
    assert describe(folder, prompt=asked, known_prompt=known).prompt == used


def test_prompts_that_say_something_are_named(folder: Path) -> None:
    said = {"prompts": {"query": "Q: ", "document": "", "bitext": "B: "}}
    write(folder, pooled(MEAN, **{"config_sentence_transformers.json": said}))
    assert describe(folder).prompts == ("query", "bitext")


def test_a_default_prompt_that_is_missing_is_told(folder: Path) -> None:
    said = {"prompts": {"query": "Q: "}, "default_prompt_name": "bitext"}
    write(folder, pooled(MEAN, **{"config_sentence_transformers.json": said}))
    with pytest.raises(EncoderError, match="has no prompt 'bitext'"):
        describe(folder)


@pytest.mark.parametrize("name", ["CNN", "LayerNorm", "WordEmbeddings", "StaticEmbedding", "LSTM"])
def test_a_module_that_we_lack_is_named(folder: Path, name: str) -> None:
    files = pooled(MEAN, **{"modules.json": modules("Pooling", name)})
    with pytest.raises(EncoderError, match=f"has a module '{name}' that is not supported"):
        describe(write(folder, files))


def test_a_module_of_the_folder_itself_is_named(folder: Path) -> None:
    files = pooled(MEAN, **{"modules.json": modules("Pooling", prefix="custom_st.")})
    with pytest.raises(EncoderError, match=r"has a module 'custom_st\.Transformer'"):
        describe(write(folder, files))


@pytest.mark.parametrize(
    "names", [(), ("Dense", "Pooling"), ("Pooling", "Pooling"), ("Pooling", "Transformer")]
)
def test_modules_in_another_order_are_refused(folder: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(EncoderError, match="an order that is not supported"):
        describe(write(folder, pooled(MEAN, **{"modules.json": modules(*names)})))


@pytest.mark.parametrize("place", ["../elsewhere", "/etc", "a/../../b"])
def test_a_module_outside_the_folder_is_refused(folder: Path, place: str) -> None:
    files = {"config.json": BERT, "modules.json": modules("Pooling", transformer=place)}
    with pytest.raises(EncoderError, match="leads out of the folder"):
        describe(write(folder, files))


@pytest.mark.parametrize(
    "said",
    [
        {"transformer_task": "fill-mask"},
        {"modality_config": {"text": {"method_output_name": "pooler_output"}}},
        {"modality_config": {"text": {"method_output_name": ["hidden_states", -2]}}},
        {"modality_config": {"message": {"method_output_name": "last_hidden_state"}}},
    ],
)
def test_states_other_than_the_last_are_refused(folder: Path, said: Files) -> None:
    with pytest.raises(EncoderError, match="a use of the model that is not supported"):
        describe(write(folder, pooled(MEAN, **{"sentence_bert_config.json": said})))


@pytest.mark.parametrize(
    ("function", "activation"),
    [
        ("torch.nn.modules.activation.Tanh", "tanh"),
        ("torch.nn.modules.activation.ReLU", "relu"),
        ("torch.nn.modules.activation.GELU", "gelu"),
        ("torch.nn.modules.activation.Sigmoid", "sigmoid"),
        ("torch.nn.modules.linear.Identity", "identity"),
        (None, "identity"),
        ("absent", "tanh"),
    ],
)
def test_every_activation_is_read(folder: Path, function: str | None, activation: str) -> None:
    (dense,) = describe(write(folder, with_dense(activation_function=function))).head
    assert isinstance(dense, DenseLayer)
    assert dense.activation == activation


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"activation_function": "torch.nn.modules.activation.Mish"}, "'torch.*Mish'"),
        ({"activation_function": "os.system.Tanh"}, "function 'os.system.Tanh'"),
        ({"in_features": 16}, "takes vectors of size 16, but gets 8"),
        ({"in_features": "absent"}, "does not tell the size"),
        ({"use_residual": True}, "a residual connection"),
        ({"module_input_name": "token_embeddings"}, "something other than sentences"),
    ],
)
def test_a_dense_layer_that_we_cannot_compute_is_refused(
    folder: Path, changes: Files, problem: str
) -> None:
    with pytest.raises(EncoderError, match=problem):
        describe(write(folder, with_dense(**changes)))


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


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"config.json": '{"model_type": "be'}, "config.json is not JSON"),
        ({"config.json": "[1]"}, "config.json is not a JSON object"),
        ({"config.json": {"model_type": "bert"}}, "does not tell the size"),
        ({"README.md": "# No model"}, "holds no model"),
        (pooled(MEAN, **{"modules.json": {"a": 1}}), "is not a list of modules"),
        ({"config.json": BERT, "modules.json": modules("Pooling")}, "cannot be read"),
    ],
)
def test_a_damaged_folder_is_told(folder: Path, files: Files, problem: str) -> None:
    with pytest.raises(EncoderError, match=problem):
        describe(write(folder, files))


def test_a_missing_folder_is_told(folder: Path) -> None:
    with pytest.raises(EncoderError, match="there is no folder"):
        describe(folder)


def test_an_adapter_alone_names_the_command_that_merges_it(folder: Path) -> None:
    write(folder, {"adapter_config.json": {"r": 8}})
    with pytest.raises(EncoderError, match="an adapter only") as caught:
        describe(folder)
    assert "bitextmine models pull" in caught.value.hint


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=4,
)
NAMES = (
    "hidden_size max_position_embeddings architectures pad_token_id auto_map model_max_length"
    " pooling_mode include_prompt prompts default_prompt_name in_features out_features path"
    " activation_function module_input_name max_seq_length modality_config processing_kwargs"
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES.split()), JSON))
def test_files_of_any_content_are_read_or_refused(strange: Files) -> None:
    with tempfile.TemporaryDirectory() as name:
        files = with_dense() | {
            "config_sentence_transformers.json": {},
            "sentence_bert_config.json": {},
            "tokenizer_config.json": {},
        }
        listed = [module | strange for module in modules("Pooling", "Dense")]
        changed = {path: said | strange for path, said in files.items() if isinstance(said, dict)}
        write(Path(name), changed | {"modules.json": listed})
        try:
            found = describe(Path(name))
        except BitextmineError:
            return
        assert found.max_length >= 1
        assert found.dim >= 1


@pytest.mark.parametrize(
    ("card", "licence", "languages"),
    [
        ("---\nlicense: mit\nlanguage: en\n---\n# Model\n", "mit", {"en"}),
        ("---\nlanguage:\n- multilingual\n- no\n- zh-Hant\n- deu\n---\n", "", {"no", "zh", "de"}),
        ("---\r\nlicense: cc-by-nc-4.0\r\nlanguage: [ja]\r\n---\r\n", "cc-by-nc-4.0", {"ja"}),
        ("---\nlicense: [mit, apache-2.0]\n---\n", "mit, apache-2.0", set()),
        ("---\nlicense: {a: 1}\nlanguage: {a: 1}\n---\n", "", set()),
        ("---\nlicense: [mit\n---\n", "", set()),
        ("---\nlicense: mit\n", "", set()),
        ("---\n- mit\n---\n", "", set()),
        ("# Model\n---\nlicense: mit\n---\n", "", set()),
        ("", "", set()),
    ],
)
def test_licence_and_languages_come_from_the_model_card(
    folder: Path, card: str, licence: str, languages: set[str]
) -> None:
    write(folder, {"README.md": card})
    assert read_licence(folder) == licence
    assert read_languages(folder) == languages


def test_a_folder_without_model_card_names_neither(folder: Path) -> None:
    assert (read_licence(folder), read_languages(folder)) == ("", frozenset())


def test_describing_loads_no_heavy_library(folder: Path) -> None:
    write(folder, with_dense() | {"README.md": "---\nlicense: mit\n---\n"})
    code = (
        "import sys; from pathlib import Path;"
        "from bitextmine.encoders.transformer.description import describe, read_licence;"
        "describe(Path(sys.argv[1])); read_licence(Path(sys.argv[1]));"
        "print({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "set()"
