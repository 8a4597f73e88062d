"""What flat models share: attention as if sentence by sentence, and compiled steps.

Compiled steps equal plain ones, are compiled once, and a broken compiler costs speed alone.
"""

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models
import torch
from small_models import library
from torch import Tensor

from bitextmine.arrays import Floats
from bitextmine.checkpoints.description import describe
from bitextmine.encoders.transformer.attention import Compiled, attend
from bitextmine.encoders.transformer.backbone import load_backbone
from bitextmine.encoders.transformer.network import Network
from bitextmine.encoders.transformer.runners import DeviceRunner
from bitextmine.encoders.transformer.tokens import TokenIds

needs_compiler = pytest.mark.skipif(
    shutil.which(os.environ.get("CXX", "g++")) is None, reason="there is no C++ compiler"
)
BUDGET = 256
HEADS, D_HEAD = 3, 4
GROUPS = ((2, 5), (1, 3), (4, 1))
TOKENS = 17


def random(*shape: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(5))


def by_hand(qkv: Tensor, scale: float, bias: Tensor | None) -> Tensor:
    """Softmax of the products, times the values, for one sentence."""
    query, key, value = qkv.view(len(qkv), 3, HEADS, D_HEAD).permute(1, 2, 0, 3)
    products = query @ key.transpose(1, 2) * scale
    if bias is not None:
        products = products + bias[0, :, : len(qkv), : len(qkv)]
    mixed: Tensor = products.softmax(-1) @ value
    return mixed.transpose(0, 1).reshape(len(qkv), HEADS * D_HEAD)


@pytest.mark.parametrize("biased", [True, False])
def test_every_sentence_attends_to_itself_alone(biased: bool) -> None:
    qkv, bias = random(TOKENS, 3 * HEADS * D_HEAD), random(1, HEADS, 5, 5) if biased else None
    corner = None if bias is None else lambda length: bias[:, :, :length, :length]
    mixed = attend(qkv, GROUPS, HEADS, scale=0.7, bias=corner)
    lengths = [length for sentences, length in GROUPS for _ in range(sentences)]
    expected = [by_hand(part, 0.7, bias) for part in torch.split(qkv, lengths)]
    torch.testing.assert_close(mixed, torch.cat(expected))


def test_padding_gives_zeros() -> None:
    qkv = random(TOKENS + 6, 3 * HEADS * D_HEAD)
    mixed = attend(qkv, GROUPS, HEADS, scale=1.0, bias=None)
    assert mixed[TOKENS:].count_nonzero() == 0
    assert mixed[:TOKENS].count_nonzero() == TOKENS * HEADS * D_HEAD


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(autouse=True)
def fresh_compiler(cache: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Compile anew, and forget it afterwards."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(cache))
    torch.compiler.reset()
    library("torch._dynamo.utils").counters.clear()
    yield
    torch.compiler.reset()


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("Modelle 'é'")
    builders: dict[str, Any] = {"mt5": small_models.mt5, "bert": small_models.bert}
    return {
        name: build(root / name, **{"num_layers" if name == "mt5" else "num_hidden_layers": 5})
        for name, build in builders.items()
    }


def window(seed: int) -> TokenIds:
    rng = np.random.default_rng(seed)
    starts = np.concatenate([[0], np.cumsum(rng.integers(2, 60, 40))]).astype(np.int64)
    return TokenIds(rng.integers(5, 300, starts[-1], dtype=np.int32), starts, 0)


def vectors(folder: Path, *, compiled: bool, budget: int = BUDGET) -> Floats:
    """Encode three windows, several batches each."""
    described = describe(folder)
    backbone = load_backbone(described, device="cpu", dtype=torch.float32, trust_remote_code=False)
    runner = DeviceRunner(Network(backbone, described, "cpu"), budget, compiled=compiled)
    return np.concatenate([runner.start(window(seed)).wait().embeddings for seed in range(3)])


@needs_compiler
@pytest.mark.parametrize("name", ["mt5", "bert"])
def test_two_steps_are_compiled_once_for_all_layers_and_batches(
    folders: dict[str, Path], name: str
) -> None:
    expected = vectors(folders[name], compiled=False)
    assert vectors(folders[name], compiled=True) == pytest.approx(expected, abs=2e-5, rel=2e-5)
    counters = library("torch._dynamo.utils").counters
    assert counters["stats"]["unique_graphs"] == 2
    assert not counters["recompiles"] and not counters["graph_break"]


def test_a_broken_compiler_is_told_and_nothing_else_changes(
    folders: dict[str, Path], caplog: pytest.LogCaptureFixture
) -> None:
    expected = vectors(folders["mt5"], compiled=False, budget=320)
    with library("torch._inductor.config").patch("cpp.cxx", (None, "/nowhere/c++ 'é'")):
        found = vectors(folders["mt5"], compiled=True, budget=320)
    assert np.array_equal(found, expected)
    told = [record.getMessage() for record in caplog.records if record.name.startswith("bitext")]
    assert len(told) == 1
    assert told[0].startswith("encoding uncompiled, which is slower; cannot compile: ")


@needs_compiler
def test_other_shapes_run_uncompiled() -> None:
    step = Compiled(lambda x, y: x.sin() + y)
    x = torch.linspace(0, 1, 8)[:, None]
    step.prepare(x, x)
    frames = library("torch._dynamo.utils").counters["stats"]["unique_graphs"]
    torch.testing.assert_close(step(x, x), x.sin() + x)
    torch.testing.assert_close(step(x[:5], x[:5]), (x.sin() + x)[:5])
    assert library("torch._dynamo.utils").counters["stats"]["unique_graphs"] == frames


def test_a_step_that_was_not_prepared_runs_as_it_is() -> None:
    assert Compiled(lambda x: x + 1)(torch.ones(2)).tolist() == [2, 2]
