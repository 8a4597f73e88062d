"""A checkpoint is loaded whole, or refused in two lines; a plain model computes as transformers."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import small_models
import torch
from flat_batches import in_a_row, random_ids, states_of
from safetensors.torch import load_file, save_file
from small_models import library
from torch import Tensor

from bitextmine.checkpoints.description import describe
from bitextmine.config import EncoderOptions
from bitextmine.encoders.spec import load_spec, resolve_spec
from bitextmine.encoders.transformer.backbone import (
    Backbone,
    PlainBackbone,
    count_multiplied,
    load_backbone,
)
from bitextmine.encoders.transformer.flat_bert import FlatBert
from bitextmine.encoders.transformer.flat_t5 import FlatT5
from bitextmine.errors import BitextmineError, EncoderError, UsageError
from bitextmine.machine import Limits

Change = Callable[[dict[str, Tensor]], dict[str, Tensor]]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "Modèle 'von' \"A\""


def load(folder: Path, device: str = "cpu") -> Backbone:
    described = describe(folder)
    return load_backbone(described, device=device, dtype=torch.float32, trust_remote_code=False)


def refused(folder: Path, load: Callable[[Path], object] = load) -> str:
    """Load in vain; returns the cause, and checks that cause and remedy are a line each."""
    with pytest.raises(EncoderError) as caught:
        load(folder)
    assert caught.value.hint and "\n" not in caught.value.hint
    assert "\n" not in str(caught.value)
    return str(caught.value)


def rewrite(folder: Path, change: Change) -> None:
    """Change the tensors of a folder."""
    path = folder / "model.safetensors"
    save_file(change(load_file(path)), path, {"format": "pt"})


def set_config(folder: Path, **changes: Any) -> None:
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | changes))


@pytest.mark.parametrize(
    ("build", "kind"),
    [
        (small_models.mt5, FlatT5),
        (small_models.t5, FlatT5),
        (small_models.bert, FlatBert),
        (small_models.xlm_roberta, FlatBert),
        (small_models.modernbert, PlainBackbone),
    ],
)
def test_every_model_gets_the_fastest_form_that_fits(
    folder: Path, build: small_models.Builder, kind: type
) -> None:
    assert isinstance(load(build(folder)), kind)


def test_the_encoder_of_a_whole_t5_is_enough(folder: Path) -> None:
    whole = small_models.mt5(folder, model="MT5ForConditionalGeneration")
    assert isinstance(load(whole), FlatT5)


def test_a_head_of_pre_training_may_be_there_or_not(folder: Path) -> None:
    small_models.bert(folder)
    masked = library("transformers").BertForMaskedLM.from_pretrained(folder)
    masked.save_pretrained(folder)  # without pooler, with a head that we do not run
    names = load_file(folder / "model.safetensors")
    assert any(name.startswith("cls.") for name in names)
    assert not any("pooler" in name for name in names)
    assert isinstance(load(folder), FlatBert)


@pytest.mark.parametrize(
    ("build", "missing"),
    [
        (small_models.mt5, "encoder.block.1.layer.0.SelfAttention.k.weight"),
        (small_models.mt5, "encoder.final_layer_norm.weight"),
        (small_models.mt5, "shared.weight"),
        (small_models.bert, "encoder.layer.0.attention.self.query.bias"),
        (small_models.bert, "embeddings.word_embeddings.weight"),
        (small_models.xlm_roberta, "encoder.layer.1.output.LayerNorm.weight"),
        (small_models.modernbert, "layers.2.mlp.Wo.weight"),
    ],
)
def test_a_missing_tensor_is_never_made_up(
    folder: Path, build: small_models.Builder, missing: str
) -> None:
    rewrite(build(folder), lambda tensors: {n: t for n, t in tensors.items() if n != missing})
    name = "encoder.embed_tokens.weight" if missing == "shared.weight" else missing
    assert f"{name} is missing" in refused(folder)


@pytest.mark.parametrize("build", [small_models.bert, small_models.mt5])
def test_weights_of_another_size_than_the_config_says_are_refused(
    folder: Path, build: small_models.Builder
) -> None:
    build(folder)
    size = "d_ff" if build is small_models.mt5 else "intermediate_size"
    set_config(folder, **{size: 56})
    problem = refused(folder)
    assert "0.intermediate.dense.bias is" in problem or "DenseReluDense.wi_0.weight is" in problem


def test_a_config_that_contradicts_itself_is_refused(folder: Path) -> None:
    small_models.modernbert(folder)
    set_config(folder, num_hidden_layers=1)
    assert "`num_hidden_layers` (1) must be equal to the number of `layer_types`" in refused(folder)


def test_more_layers_in_the_config_than_in_the_weights_are_refused(folder: Path) -> None:
    small_models.bert(folder)
    set_config(folder, num_hidden_layers=3)
    assert "encoder.layer.2." in refused(folder)


@pytest.mark.parametrize("build", [small_models.bert, small_models.mt5])
def test_fewer_layers_in_the_config_than_in_the_weights_are_refused(
    folder: Path, build: small_models.Builder
) -> None:
    """Or a part of the model would be run, which gives vectors too."""
    build(folder)
    set_config(folder, **{"num_layers" if build is small_models.mt5 else "num_hidden_layers": 1})
    assert "config.json, which has no place for " in refused(folder)


def test_weights_of_another_model_are_refused(folder: Path, tmp_path: Path) -> None:
    other = small_models.modernbert(tmp_path / "other")
    small_models.bert(folder)
    (folder / "model.safetensors").write_bytes((other / "model.safetensors").read_bytes())
    assert "not those of config.json" in refused(folder)


@pytest.mark.parametrize("kept", [0, 5, 200, 0.5, -1])
def test_truncated_weights_are_refused(folder: Path, kept: float) -> None:
    path = small_models.bert(folder) / "model.safetensors"
    content = path.read_bytes()
    path.write_bytes(content[: int(kept * len(content)) if kept == 0.5 else int(kept)])
    assert "model.safetensors is truncated or damaged" in refused(folder)


def test_a_folder_without_weights_is_refused(folder: Path) -> None:
    (small_models.bert(folder) / "model.safetensors").unlink()
    assert refused(folder) == f"no weights in {folder}"


class Malicious:
    """Writes a file when it is unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> Any:
        return Path.touch, (self.trace,)


@pytest.mark.parametrize("new", [True, False])
def test_a_pickle_with_code_is_refused_and_the_code_not_run(
    folder: Path, tmp_path: Path, new: bool
) -> None:
    (small_models.bert(folder) / "model.safetensors").unlink()
    weights, trace = folder / "pytorch_model.bin", tmp_path / "trace"
    if new:
        torch.save({"a": Malicious(trace)}, weights)
    else:
        weights.write_bytes(pickle.dumps({"a": Malicious(trace)}))
    assert "pytorch_model.bin" in refused(folder)
    assert not trace.exists()


def test_a_pickle_of_tensors_is_loaded(folder: Path) -> None:
    path = small_models.bert(folder) / "model.safetensors"
    torch.save(load_file(path), folder / "pytorch_model.bin")
    path.unlink()
    assert isinstance(load(folder), FlatBert)


def from_source(folder: Path) -> object:
    spec = resolve_spec(str(folder), EncoderOptions(), Limits(("cpu",)))
    return load_spec(spec, threads=1, device="cpu")


def test_a_decoder_is_refused(folder: Path) -> None:
    transformers = library("transformers")
    config = transformers.GPT2Config(n_embd=8, n_layer=1, n_head=2, vocab_size=20, n_positions=16)
    transformers.GPT2LMHeadModel(config).save_pretrained(folder)
    assert "is of type 'gpt2', a decoder-only model" in refused(folder, from_source)


@pytest.mark.parametrize("build", [small_models.bert, small_models.mt5])
def test_a_folder_without_tokenizer_is_refused(folder: Path, build: small_models.Builder) -> None:
    build(folder)
    for path in folder.iterdir():
        if path.name not in ("config.json", "model.safetensors"):
            path.unlink()
    assert refused(folder, from_source) == f"{folder} holds no tokenizer"


def test_float16_is_refused_for_t5(folder: Path) -> None:
    small_models.t5(folder)
    with pytest.raises(UsageError, match="whose activations overflow it") as caught:
        resolve_spec(str(folder), EncoderOptions(dtype="float16"), Limits(("cpu",)))
    assert isinstance(caught.value, BitextmineError)
    assert "bfloat16" in caught.value.hint


def test_a_gpu_that_is_too_small_is_told_before_anything_is_on_it(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (2**30, 8 * 2**30))
    small_models.bert(folder)
    problem = refused(folder, lambda folder: load(folder, "cuda:0"))
    assert problem == f"{folder.name} needs about 1.5 GiB on cuda:0, which has 1.0 GiB free of 8.0"


def test_weights_that_are_looked_up_are_not_multiplied(folder: Path, tmp_path: Path) -> None:
    width, inner, d_ff = 32, 4 * 12, 48
    layer = 4 * width * inner + 3 * width * d_ff + 2 * width
    whole = small_models.mt5(folder, model="MT5ForConditionalGeneration")
    assert count_multiplied(whole) == count_multiplied(small_models.mt5(tmp_path / "encoder"))
    assert abs(count_multiplied(whole) - (2 * layer + width)) <= 32 * 4  # the position bias


def test_an_adapter_beside_its_model_is_refused(folder: Path) -> None:
    small_models.bert(folder)
    (folder / "adapter_config.json").write_text("{}")
    assert refused(folder) == f"{folder} holds an adapter beside its model"


def test_a_model_that_does_not_run_is_refused_before_the_run(folder: Path) -> None:
    small_models.xlm_roberta(folder)
    config = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps(config | {"pad_token_id": None}))
    assert refused(folder).startswith(f"the model in {folder} does not run: ")


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_plain_states_are_those_of_each_sentence_alone(tmp_path: Path, dtype: torch.dtype) -> None:
    folder = small_models.modernbert(tmp_path / "Modèle 'é'")
    model = library("transformers").AutoModel.from_pretrained(folder, dtype=dtype).eval()
    groups = ((1, 60), (3, 17), (4, 2))
    ids = random_ids(groups, 400)
    backbone = PlainBackbone(model, "cpu")
    found, expected = in_a_row(backbone, ids, groups), states_of(model, ids, groups)
    assert found.dtype == torch.float32
    assert found.shape == (119, backbone.dim)
    exact = dtype == torch.float32
    torch.testing.assert_close(
        found, expected.float(), atol=1e-5 if exact else 0.1, rtol=1e-5 if exact else 0.1
    )


def test_a_plain_model_is_not_filled_up_and_never_compiled(tmp_path: Path) -> None:
    model = library("transformers").AutoModel.from_pretrained(small_models.modernbert(tmp_path))
    backbone = PlainBackbone(model, "cpu")
    backbone.compile(64)
    assert not backbone.static
