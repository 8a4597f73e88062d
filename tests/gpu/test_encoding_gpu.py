"""On a real GPU: vectors as on the CPU, too little memory survived, the same pairs twice."""

import logging
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models as small
import torch

from bitextmine.arrays import Floats
from bitextmine.config import EncoderOptions, Pooling
from bitextmine.demo import SAMPLE
from bitextmine.encoders.spec import load_spec, resolve_spec
from bitextmine.encoders.transformer.heads import pool
from bitextmine.machine import Limits

GPU = "cuda:0"
MIB = 1 << 20
BUILDERS = (small.mt5, small.t5, small.bert, small.xlm_roberta, small.modernbert)
TEXTS = [" ".join(small.SENTENCES[i % 9 : i % 9 + 1 + i % 3]) for i in range(200)]
POOLINGS: tuple[Pooling, ...] = ("mean", "cls", "last", "max", "mean_sqrt_len", "weighted_mean")

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]


def load(folder: Path, device: str, options: EncoderOptions) -> Any:
    """Load a model folder onto a device."""
    spec = resolve_spec(str(folder), options, Limits((device,)))
    return load_spec(spec, threads=2, device=device)


def on_cpu(folder: Path, texts: Sequence[str] = TEXTS) -> Floats:
    """Vectors in float32 on the processor."""
    vectors: Floats = load(folder, "cpu", EncoderOptions(dtype="float32")).encode(texts).embeddings
    return vectors


def least_cosine(one: Floats, other: Floats) -> float:
    """The lowest cosine of corresponding rows."""
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    return float(((one * other).sum(axis=1) / lengths).min())


@pytest.fixture
def little_memory() -> Iterator[None]:
    """Leave torch 256 MiB of the GPU."""
    torch.cuda.empty_cache()
    total = torch.cuda.get_device_properties(0).total_memory
    torch.cuda.set_per_process_memory_fraction(
        (torch.cuda.memory_reserved(0) + 256 * MIB) / total, 0
    )
    yield
    torch.cuda.set_per_process_memory_fraction(1.0, 0)


@pytest.mark.parametrize("build", BUILDERS)
def test_vectors_in_float32_are_those_of_the_cpu(build: small.Builder, tmp_path: Path) -> None:
    folder = build(tmp_path / "model 'größer'")
    options = EncoderOptions(dtype="float32", compile=False)
    assert least_cosine(load(folder, GPU, options).encode(TEXTS).embeddings, on_cpu(folder)) > (
        0.99999
    )


@pytest.mark.parametrize("build", BUILDERS)
def test_vectors_in_bfloat16_are_close_to_those_of_the_cpu(
    build: small.Builder, tmp_path: Path
) -> None:
    folder = build(tmp_path / "model")
    options = EncoderOptions(dtype="bfloat16", compile=False)
    assert least_cosine(load(folder, GPU, options).encode(TEXTS).embeddings, on_cpu(folder)) > 0.999


@pytest.mark.parametrize("build", [small.mt5, small.t5, small.xlm_roberta])
def test_compiling_works_and_changes_no_more_than_rounding(
    build: small.Builder, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = build(tmp_path / "model")
    options = EncoderOptions(dtype="float32", batch_tokens=512)
    with caplog.at_level(logging.WARNING):
        vectors = load(folder, GPU, options).encode(TEXTS).embeddings
    assert "compile" not in caplog.text
    assert least_cosine(vectors, on_cpu(folder)) > 0.99999


def test_windows_come_back_in_order_while_the_gpu_works_ahead(tmp_path: Path) -> None:
    folder = small.mt5(tmp_path / "model")
    encoder = load(folder, GPU, EncoderOptions(dtype="float32", compile=False, batch_tokens=256))
    windows = [TEXTS[at : at + 30] for at in range(0, len(TEXTS), 30)]
    streamed = [encoded.embeddings for encoded in encoder.encode_stream(windows)]
    assert least_cosine(np.concatenate(streamed), on_cpu(folder)) > 0.99999


def test_every_pooling_is_that_of_the_cpu() -> None:
    noise = torch.Generator().manual_seed(3)
    hidden = torch.randn(5, 7, 16, generator=noise)
    pooled = pool(hidden.to(GPU), POOLINGS, skip=2).cpu()
    torch.testing.assert_close(pooled, pool(hidden, POOLINGS, skip=2))


@pytest.mark.usefixtures("little_memory")
def test_out_of_memory_halves_the_batches_and_loses_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = small.mt5(tmp_path / "model")
    # A million tokens take 128 MiB for the residual stream alone, and several times that in all.
    options = EncoderOptions(dtype="float32", compile=False, batch_tokens=1 << 20)
    encoder = load(folder, GPU, options)
    with caplog.at_level(logging.WARNING):
        vectors = encoder.encode(TEXTS).embeddings
    assert f"{GPU} is out of memory: going on with batches of 524,288 tokens" in caplog.text
    assert encoder._runner.budget < 1 << 20
    assert least_cosine(vectors, on_cpu(folder)) > 0.99999


def test_mining_on_a_gpu_gives_the_same_pairs_twice(tmp_path: Path) -> None:
    folder = small.mt5(tmp_path / "model")
    first, second = (mined(folder, tmp_path / name) for name in ("first.tsv", "second.tsv"))
    assert first.count(b"\n") > 100
    assert first == second


def mined(folder: Path, out: Path) -> bytes:
    """Mine the bundled sample, in a process of its own."""
    command = [
        sys.executable, "-m", "bitextmine", "mine",
        "--src", str(SAMPLE / "sample.de.zst"), "--tgt", str(SAMPLE / "sample.en.zst"),
        "--src-lang", "de", "--tgt-lang", "en", "--model", str(folder),
        "--devices", GPU, "--threshold", "0", "--out", str(out),
    ]  # fmt: skip
    run = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    assert run.returncode == 0, run.stderr
    return out.read_bytes()
