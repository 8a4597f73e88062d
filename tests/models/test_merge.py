"""Merged models give the vectors of base and adapter together, in every library."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models
import torch
from safetensors.torch import load_file
from small_models import SENTENCES

from bitextmine.arrays import Floats
from bitextmine.checkpoints.manifest import read_manifest, verify_manifest
from bitextmine.config import EncoderOptions
from bitextmine.encoders.spec import load_spec, resolve_spec
from bitextmine.errors import EncoderError, OutputError
from bitextmine.machine import Limits
from bitextmine.models import weight_files
from bitextmine.models.merge import merge

BASES: dict[str, tuple[Callable[[Path], Path], str, list[str]]] = {
    "mt5": (small_models.mt5, "MT5EncoderModel", ["q", "v"]),
    "bert": (small_models.bert, "AutoModel", ["query", "value"]),
    "xlm-r": (small_models.xlm_roberta, "AutoModel", ["query", "key", "value"]),
}


def adapted(base: Path, model_class: str, targets: list[str], folder: Path) -> Any:
    """Put a random adapter on a model and save it; returns peft's model."""
    transformers, peft = small_models.library("transformers"), small_models.library("peft")
    model = getattr(transformers, model_class).from_pretrained(base)
    torch.manual_seed(11)
    settings = peft.LoraConfig(r=4, lora_alpha=6, target_modules=targets)
    model = peft.get_peft_model(model, settings)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    return model.eval()


def encoded(folder: Path) -> Floats:
    spec = resolve_spec(str(folder), EncoderOptions(), Limits(("cpu",)))
    vectors = load_spec(spec, threads=1, device="cpu").encode(list(SENTENCES)).embeddings
    units: Floats = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    return units


@pytest.mark.parametrize("kind", BASES)
def test_merged_equals_unmerged_in_every_library(kind: str, tmp_path: Path) -> None:
    build, model_class, targets = BASES[kind]
    base, folder = build(tmp_path / "it's a base"), tmp_path / "ad « apter »"
    unmerged = adapted(base, model_class, targets, folder)
    out = merge(str(folder), out=tmp_path / "merged")
    transformers = small_models.library("transformers")
    model = getattr(transformers, model_class).from_pretrained(out).eval()
    ids = torch.randint(5, 300, (4, 12), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected = unmerged(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
        found = model(input_ids=ids, attention_mask=torch.ones_like(ids)).last_hidden_state
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    library = small_models.library("sentence_transformers").SentenceTransformer(
        str(out), device="cpu"
    )
    theirs = library.encode(list(SENTENCES), normalize_embeddings=True)
    np.testing.assert_allclose(encoded(out), theirs, atol=1e-5)
    assert np.abs(encoded(out) - encoded(base)).max() > 0.01


def test_of_a_whole_mt5_only_the_encoder_is_written(tmp_path: Path) -> None:
    whole = small_models.mt5(tmp_path / "whole", model="MT5ForConditionalGeneration")
    adapted(whole, "MT5EncoderModel", ["q", "v"], tmp_path / "adapter")
    out = merge(str(tmp_path / "adapter"), out=tmp_path / "merged", base=str(whole))
    assert not any("decoder" in name for name in load_file(out / "model.safetensors"))
    assert encoded(out).shape == (len(SENTENCES), 32)


def test_a_head_before_the_names_of_the_encoder_is_no_matter(tmp_path: Path) -> None:
    base = small_models.bert(tmp_path / "base")
    expected = adapted(base, "AutoModel", ["query", "value"], tmp_path / "adapter")
    transformers = small_models.library("transformers")
    headed = transformers.BertForMaskedLM.from_pretrained(base)
    headed.save_pretrained(tmp_path / "base")
    out = merge(str(tmp_path / "adapter"), out=tmp_path / "merged")
    name = "encoder.layer.0.attention.self.query.weight"
    weights = load_file(out / "model.safetensors")
    merged = expected.merge_and_unload().state_dict()[name]
    torch.testing.assert_close(weights[f"bert.{name}"], merged)


def test_weights_keep_their_type_and_are_written_in_parts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    base = small_models.bert(tmp_path / "base")
    adapted(base, "AutoModel", ["query", "value"], tmp_path / "adapter")
    transformers = small_models.library("transformers")
    half = transformers.AutoModel.from_pretrained(base, dtype=torch.bfloat16)
    half.save_pretrained(base)
    monkeypatch.setattr(weight_files, "FILE_BYTES", 20_000)
    out = merge(str(tmp_path / "adapter"), out=tmp_path / "merged")
    parts = sorted(out.glob("model-*.safetensors"))
    assert len(parts) > 2
    dtypes = {tensor.dtype for part in parts for tensor in load_file(part).values()}
    assert torch.bfloat16 in dtypes
    assert torch.float32 not in dtypes
    verify_manifest(out)
    assert encoded(out).shape == (len(SENTENCES), 32)


def test_a_merged_folder_is_complete_and_not_written_twice(tmp_path: Path) -> None:
    base = small_models.bert(tmp_path / "base")
    adapted(base, "AutoModel", ["query", "value"], tmp_path / "adapter")
    out = merge(str(tmp_path / "adapter"), out=tmp_path / "merged")
    before = (out / "model.safetensors").stat()
    merge(str(tmp_path / "adapter"), out=out)
    assert (out / "model.safetensors").stat() == before
    manifest = read_manifest(out)
    assert manifest is not None
    assert [source["role"] for source in manifest.sources] == ["base", "adapter"]


def test_an_adapter_for_another_base_is_refused(tmp_path: Path) -> None:
    base = small_models.bert(tmp_path / "base")
    adapted(base, "AutoModel", ["query", "value"], tmp_path / "adapter")
    other = small_models.bert(tmp_path / "other", hidden_size=40)
    with pytest.raises(EncoderError, match="for another base"):
        merge(str(tmp_path / "adapter"), out=tmp_path / "merged", base=str(other))
    shallow = small_models.bert(tmp_path / "shallow", num_hidden_layers=1)
    with pytest.raises(EncoderError, match="which the base does not have"):
        merge(str(tmp_path / "adapter"), out=tmp_path / "merged", base=str(shallow))


def test_a_folder_with_something_else_is_left_alone(tmp_path: Path) -> None:
    base = small_models.bert(tmp_path / "base")
    adapted(base, "AutoModel", ["query", "value"], tmp_path / "adapter")
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(OutputError, match="not empty"):
        merge(str(tmp_path / "adapter"), out=tmp_path / "mine")
