"""Modules, poolings, dense layers and prompts are read as sentence-transformers writes them."""

from pathlib import Path

import pytest
from model_files import BERT, MEAN, Files, modules, pooled, with_dense, write

from bitextmine.checkpoints.description import DenseLayer, describe
from bitextmine.config import Pooling
from bitextmine.errors import EncoderError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "Modèle 'von' \"A\" 日本"


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


def test_a_module_whose_folder_is_null_lies_in_the_models_own(folder: Path) -> None:
    listed = modules("Pooling")
    listed[0]["path"] = None
    assert describe(write(folder, pooled(MEAN, **{"modules.json": listed}))).folder == folder


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
