"""Vectors on disk: normalised, in the order of the sentences, and the same after a crash."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from toy import TOY_INFO, ToyEncoder

from bitextmine import encoding
from bitextmine.config import ShardConfig
from bitextmine.encoders.base import Encoded
from bitextmine.encoders.options import EncoderOptions
from bitextmine.encoders.sources import EncoderSource
from bitextmine.encoding import encode_shard, unit_halfs
from bitextmine.errors import EncoderError
from bitextmine.sharding import build_shard, number_sentences, plan_shards, split_file
from bitextmine.workdir import ShardFiles, Workdir

SOURCE = EncoderSource(
    info=TOY_INFO, options=EncoderOptions(), devices=("cpu",), description=None, weights="tests"
)


@pytest.fixture
def files(tmp_path: Path) -> ShardFiles:
    text = tmp_path / "text"
    text.write_text("".join(f"sentence number {n}\n" for n in range(50)), "utf-8")
    config = ShardConfig(src=(str(text),), tgt=(str(text),))
    workdir = Workdir(tmp_path / "work")
    workdir.create()
    split_file(workdir.root, "src", 0, config)
    plan_shards(workdir.root, "src", config)
    build_shard(workdir.root, "src", 0, config)
    number_sentences(workdir.root, "src")
    return workdir.shard("src", 0)


def root_of(files: ShardFiles) -> Path:
    return files.folder.parents[2]


def use(monkeypatch: pytest.MonkeyPatch, encoder: object) -> None:
    monkeypatch.setattr(encoding, "shared_encoder", lambda source, threads, device: encoder)


def test_vectors_are_unit_halfs_in_the_order_of_the_sentences(
    files: ShardFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    use(monkeypatch, ToyEncoder())
    encode(files)
    stored = np.load(files.embeddings, allow_pickle=False)
    wanted = ToyEncoder().encode([f"sentence number {n}" for n in range(50)]).embeddings
    assert stored.dtype == np.float16
    assert stored.flags.c_contiguous
    np.testing.assert_allclose(stored, wanted, atol=5e-4)
    np.testing.assert_allclose(np.linalg.norm(stored.astype(np.float64), axis=1), 1, atol=1e-3)


def encode(files: ShardFiles) -> int:
    """Encode the only shard; returns how many sentences were reported."""
    reported: list[int] = []
    encode_shard(root_of(files), "src", 0, SOURCE, 1, device="cpu", report=reported.append)
    return sum(reported)


class DyingEncoder(ToyEncoder):
    """Dies after some calls, as a killed process would."""

    def __init__(self, calls: int) -> None:
        self.calls = calls

    def encode(self, sentences: Sequence[str]) -> Encoded:
        if self.calls == 0:
            raise KeyboardInterrupt
        self.calls -= 1
        return super().encode(sentences)


@pytest.mark.parametrize("calls", [0, 1, 3])
def test_a_run_that_died_goes_on_and_gives_the_same_bytes(
    files: ShardFiles, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    monkeypatch.setattr(ToyEncoder, "info", replace(TOY_INFO, chunk_rows=8))
    use(monkeypatch, ToyEncoder())
    encode(files)
    whole = files.embeddings.read_bytes()
    files.embeddings.unlink()
    files.encoded.unlink()
    use(monkeypatch, DyingEncoder(calls))
    with pytest.raises(KeyboardInterrupt):
        encode(files)
    assert not files.embeddings.exists()
    rest = DyingEncoder(7 - calls)  # 50 sentences in chunks of 8 are 7 calls: none is repeated
    use(monkeypatch, rest)
    assert encode(files) == 50  # those of the run before are reported too
    assert rest.calls == 0
    assert files.embeddings.read_bytes() == whole
    assert not list(files.folder.glob("*.part"))


def test_unusable_vectors_become_zero_and_are_counted() -> None:
    vectors = np.array([[3, 4], [0, 0], [np.nan, 1], [1, 0], [0, 2]], dtype=np.float32)
    halfs, unusable = unit_halfs(vectors, (5, 2), "toy")
    assert unusable == 2
    wanted = np.array([[0.6, 0.8], [0, 0], [0, 0], [1, 0], [0, 1]])
    np.testing.assert_allclose(halfs.astype(np.float64), wanted, atol=1e-3)


def test_vectors_of_another_length_are_refused() -> None:
    with pytest.raises(EncoderError, match=r"gave vectors of shape \(2, 3\)"):
        unit_halfs(np.ones((2, 3), dtype=np.float32), (2, 2), "toy")


class BrokenEncoder(ToyEncoder):
    """Gives no usable vector, as half precision does when it overflows."""

    def encode(self, sentences: Sequence[str]) -> Encoded:
        return Encoded(np.full((len(sentences), self.info.dim), np.nan, dtype=np.float32))


def test_an_encoder_that_gives_nothing_usable_is_stopped_at_its_first_chunk(
    files: ShardFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encoding, "_TELLING_ROWS", 50)
    use(monkeypatch, BrokenEncoder())
    with pytest.raises(EncoderError, match="non-finite vectors for 50 of 50 sentences in a row"):
        encode(files)
    assert not files.embeddings.exists()
