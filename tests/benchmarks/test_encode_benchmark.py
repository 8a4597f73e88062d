"""The encoding benchmarks: their arithmetic by hand, and that both ways compute the same."""

from pathlib import Path

import encode_checkpoint
import gpu_model
import gpu_report
import gpu_steps
import numpy as np
import pytest
import sentences
import torch
import zstandard

from bitextmine.encoders.transformer.flat_t5 import FlatT5
from bitextmine.encoders.transformer.network import Network
from bitextmine.encoders.transformer.tokens import TokenIds

TINY = gpu_model.Shape.of("tiny", None)


def lengths(*values: int) -> "np.ndarray[tuple[int, ...], np.dtype[np.int64]]":
    """Tokens of sentences."""
    return np.array(values, dtype=np.int64)


def test_a_token_of_mt5_xxl_takes_nine_billion_operations() -> None:
    xxl = gpu_model.Shape.of("xxl", None)
    # 24 layers of 4 * 4096 * 4096 + 3 * 4096 * 10240 weights, two operations each
    assert xxl.flops(lengths(1)) == pytest.approx(9.261e9 + 0.393e6, rel=1e-4)


def test_attention_counts_by_the_square_of_the_length() -> None:
    attention = TINY.flops(lengths(6)) - 2 * TINY.flops(lengths(3))
    assert attention == TINY.layers * 4 * TINY.inner * (36 - 2 * 9)


def test_the_number_of_layers_can_be_chosen() -> None:
    short = gpu_model.Shape.of("xxl", 3)
    assert 8 * short.flops(lengths(20)) == gpu_model.Shape.of("xxl", None).flops(lengths(20))


def test_all_ways_to_run_the_random_model_agree(tmp_path: Path) -> None:
    model = gpu_model.random_model(TINY, "cpu", torch.float32)
    starts = np.array([0, 3, 8, 11, 30], dtype=np.int64)
    ids = np.random.default_rng(1).integers(2, 1000, 30).astype(np.int32)
    tokens = TokenIds(ids, starts, 0)
    theirs = gpu_steps.host(gpu_model.run_padded(model, gpu_model.pad(tokens, 12, "cpu")))
    flat = FlatT5(model, "cpu", torch.float32)
    network = Network(flat, gpu_model.description(tmp_path, TINY.d), "cpu")
    ours = gpu_steps.host(gpu_steps.run_network(network, gpu_steps.prepare(network, tokens, 12)))
    np.testing.assert_allclose(ours, theirs, rtol=1e-4, atol=1e-5)


def test_a_step_that_fails_is_told_and_the_next_one_runs(
    capsys: pytest.CaptureFixture[str],
) -> None:
    report = gpu_report.Report()
    with report.step("library", "cpu"):
        raise ModuleNotFoundError("No module named 'x'\nmore")
    with report.step("ours", "cpu") as figures:
        figures["tokens_per_s"] = 5
    assert report.failed == {"library": "ModuleNotFoundError: No module named 'x'"}
    assert report.steps["ours"]["tokens_per_s"] == 5
    assert "library: cannot: ModuleNotFoundError" in capsys.readouterr().out


def test_shares_and_ratios_are_those_of_the_same_run() -> None:
    report = gpu_report.Report()
    report.steps = {
        "gemm": {"own_tflops": 500.0, "square_tflops": 800.0},
        gpu_report.LIBRARY: {"batch 32": {"tflops": 200.0, "tokens_per_s": 20.0}},
        "pipeline": {"tflops": 400.0, "tokens_per_s": 50.0, "sentences_per_s": 2.0},
    }
    gpu_report.conclude(report)
    pipeline = report.steps["pipeline"]
    assert pipeline["share_of_own_gemm"] == 0.8
    assert pipeline["share_of_square_gemm"] == 0.5
    assert pipeline["times_library_batch_32"] == 2.5
    assert "80.0%" in gpu_report.table(report)


def test_ratios_of_turns_are_medians_and_rates_are_totals() -> None:
    same = np.array([1.0, 0.9999], dtype=np.float32)
    turns = [
        encode_checkpoint.Turn(10, 100, ours, 0.1, default, 2.0, same)
        for ours, default in ((1.0, 2.0), (2.0, 3.0), (1.0, 3.0))
    ]
    row = encode_checkpoint.summary("mixed", 64, turns)
    assert (row.ratio_default, row.ratio_default_min, row.ratio_default_max) == (2.0, 1.5, 3.0)
    assert row.ratio_best == 2.0
    assert (row.sentences_per_s, row.tokens_per_s) == (7.5, 75.0)
    assert row.tokenising_share == pytest.approx(0.3 / 4)
    assert row.cosine_min == pytest.approx(0.9999)


def test_without_the_shared_data_the_bundled_sample_is_drawn_from(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(sentences, "DATA", tmp_path / "not here")
    drawn, origin = sentences.mixed_sentences(5000)
    assert len(drawn) == 5000 and "bundled sample" in origin
    assert drawn == sentences.mixed_sentences(5000)[0]


def test_the_sample_of_the_shared_data_is_of_the_size_asked_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    for name in ("ntrex/ntrex.deu.txt", "tatoeba/tatoeba.fin-eng.fin", "mining/is-en/is-en.is"):
        file = tmp_path / (name + ".zst")
        file.parent.mkdir(parents=True)
        file.write_bytes(_zstd(f"id\t{name} one\nid\t{name} two\n"))
    monkeypatch.setattr(sentences, "DATA", tmp_path)
    drawn, _ = sentences.mixed_sentences(10)
    assert len(drawn) == 10
    assert {text.split("/")[0] for text in drawn} == {"ntrex", "tatoeba", "mining"}


def _zstd(text: str) -> bytes:
    return zstandard.compress(text.encode())
