"""Batches on a device: memory that does not suffice costs time, never the run."""

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import small_models
import torch
from torch import Tensor

from bitextmine.arrays import Floats
from bitextmine.checkpoints.description import describe
from bitextmine.encoders.transformer.backbone import load_backbone
from bitextmine.encoders.transformer.batches import Groups, cut_to
from bitextmine.encoders.transformer.network import Network
from bitextmine.encoders.transformer.runners import LEAST_TOKENS, CoresRunner, DeviceRunner
from bitextmine.encoders.transformer.tokens import TokenIds
from bitextmine.errors import EncoderError


class Small:
    """A real backbone on a device whose memory is good for so many tokens."""

    def __init__(self, backbone: Any, room: int) -> None:
        self._backbone = backbone
        self.dim, self.static, self.vocabulary = backbone.dim, backbone.static, backbone.vocabulary
        self.room = room
        self.sizes: list[int] = []

    def __call__(self, ids: Tensor, groups: Groups) -> Tensor:
        self.sizes.append(len(ids))
        if len(ids) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory")
        states: Tensor = self._backbone(ids, groups)
        return states

    def compile(self, tokens: int) -> None:
        self._backbone.compile(tokens)


Built = Callable[[int], tuple[Network, Small]]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Built:
    """Build a network with room for some tokens."""
    described = describe(small_models.mt5(tmp_path_factory.mktemp("ein 'T5'")))

    def build(room: int) -> tuple[Network, Small]:
        backbone = load_backbone(
            described, device="cpu", dtype=torch.float32, trust_remote_code=False
        )
        small = Small(backbone, room)
        return Network(small, described, "cpu"), small

    return build


def window(*lengths: int) -> TokenIds:
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    ids = np.random.default_rng(6).integers(3, 400, starts[-1], dtype=np.int32)
    return TokenIds(ids, starts, 0)


WINDOW = window(*np.random.default_rng(7).integers(2, 90, 60).tolist())


def encoded(built: Built, tokens: TokenIds) -> Floats:
    """Vectors where memory suffices."""
    return DeviceRunner(built(10**9)[0], 4096, compiled=False).start(tokens).wait().embeddings


def test_a_device_gives_what_the_cores_give(built: Built) -> None:
    network, _ = built(10**9)
    cores = CoresRunner(network, 512, threads=2).start(WINDOW).wait()
    assert encoded(built, WINDOW) == pytest.approx(cores.embeddings, abs=1e-5)


def test_out_of_memory_halves_the_budget_and_changes_no_vector(
    built: Built, caplog: pytest.LogCaptureFixture
) -> None:
    network, small = built(600)
    runner = DeviceRunner(network, 2048, compiled=False)
    with caplog.at_level(logging.WARNING):
        found = runner.start(WINDOW).wait()
    assert found.embeddings == pytest.approx(encoded(built, WINDOW), abs=1e-5)
    assert (found.truncated, runner.budget, set(small.sizes)) == (0, 512, {2048, 1024, 512})
    assert [record.getMessage() for record in caplog.records] == [
        "cpu is out of memory: going on with batches of 1,024 tokens",
        "cpu is out of memory: going on with batches of 512 tokens",
    ]


def test_later_windows_keep_the_smaller_budget(built: Built) -> None:
    network, small = built(600)
    runner = DeviceRunner(network, 2048, compiled=False)
    runner.start(WINDOW).wait()
    small.sizes.clear()
    runner.start(WINDOW).wait()
    assert set(small.sizes) == {512}


def test_a_sentence_that_does_not_fit_is_cut_and_counted(built: Built) -> None:
    network, _ = built(600)
    tokens = window(700, 20, 512, 513)
    found = DeviceRunner(network, 2048, compiled=False).start(tokens).wait()
    assert found.truncated == 2
    assert found.embeddings == pytest.approx(encoded(built, cut_to(tokens, 512)), abs=1e-5)


def test_one_long_sentence_costs_no_smaller_batches(
    built: Built, caplog: pytest.LogCaptureFixture
) -> None:
    network, _ = built(LEAST_TOKENS)
    runner = DeviceRunner(network, LEAST_TOKENS, compiled=False)
    for _ in range(2):
        found = runner.start(window(9, LEAST_TOKENS + 40)).wait()
        assert found.truncated == 1
    assert runner.budget == LEAST_TOKENS
    assert [record.getMessage() for record in caplog.records] == [
        "cpu is out of memory: sentences are cut to 256 tokens"
    ]


def test_no_sentence_is_cut_while_memory_suffices(built: Built) -> None:
    network, _ = built(10**9)
    assert DeviceRunner(network, 256, compiled=False).start(window(700)).wait().truncated == 0


def test_out_of_memory_with_the_least_batch_ends_the_run(built: Built) -> None:
    network, _ = built(10)
    with pytest.raises(EncoderError, match=f"with batches of {LEAST_TOKENS} tokens") as caught:
        DeviceRunner(network, 2048, compiled=False).start(WINDOW)
    assert "--devices" in caught.value.hint


def test_what_was_too_large_is_let_go_before_the_next_try(
    built: Built, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An error in hand would hold on to it: its traceback knows every tensor."""
    import sys

    network, _ = built(600)
    seen: list[object] = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: seen.append(sys.exception()))
    DeviceRunner(network, 1024, compiled=False).start(WINDOW)
    assert seen == [None]


def test_a_window_without_sentences_has_no_vectors(built: Built) -> None:
    network, _ = built(10**9)
    nothing = DeviceRunner(network, 256, compiled=False).start(window()).wait().embeddings
    assert nothing.shape == (0, network.dim)


def test_cancelled_work_is_not_computed(built: Built) -> None:
    network, small = built(10**9)
    runner = CoresRunner(network, 32, threads=1)
    runner.start(WINDOW).cancel()
    runner.start(window(5)).wait()  # after all that was left
    assert len(small.sizes) < 10
