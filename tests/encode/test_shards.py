"""Vectors on disk: normalised, in the order of the sentences, and the same after a crash."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from one_shard import encode, flip_a_bit, use
from toy import TOY_INFO, ToyEncoder

from bitextmine.encode import shards as encoding
from bitextmine.encode.vectors import check_embeddings
from bitextmine.encoders.base import Encoded
from bitextmine.errors import EncoderError
from bitextmine.files import read_json, this_attempt
from bitextmine.workdir import ShardFiles


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
    assert not files.leftovers()


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


def test_what_was_written_is_noted(encoded: ShardFiles) -> None:
    noted = read_json(encoded.encoded)
    assert (noted["rows"], noted["dim"], noted["dtype"]) == (50, 64, "float16")
    content = encoded.embeddings.read_bytes()
    assert noted["bytes"] == len(content)
    assert noted["checksum"] == hashlib.blake2b(content, digest_size=16).hexdigest()


def test_a_run_that_died_before_the_note_got_its_name_is_noted_by_the_next(
    encoded: ShardFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded.encoded.rename(encoded.progress(this_attempt()))
    use(monkeypatch, DyingEncoder(0))
    assert encode(encoded) == 50
    check_embeddings(encoded, 50)
    assert not encoded.progress(this_attempt()).exists()


def test_a_run_that_died_before_the_rename_encodes_nothing_again(
    encoded: ShardFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    encoded.encoded.rename(encoded.progress(this_attempt()))
    encoded.embeddings.rename(encoded.part(this_attempt()))
    use(monkeypatch, DyingEncoder(0))
    assert encode(encoded) == 50
    check_embeddings(encoded, 50)


@pytest.mark.parametrize("calls", [1, 7])
def test_vectors_that_are_being_encoded_again_are_not_taken_for_finished(
    encoded: ShardFiles, monkeypatch: pytest.MonkeyPatch, calls: int
) -> None:
    whole = encoded.embeddings.read_bytes()
    flip_a_bit(encoded.embeddings)
    encoded.encoded.unlink()
    monkeypatch.setattr(ToyEncoder, "info", replace(TOY_INFO, chunk_rows=8))
    use(monkeypatch, DyingEncoder(calls))
    rename = Path.replace

    def dying(self: Path, target: Path) -> Path:
        if target == encoded.embeddings:
            raise KeyboardInterrupt
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", dying)
    with pytest.raises(KeyboardInterrupt):
        encode(encoded)
    monkeypatch.setattr(Path, "replace", rename)
    use(monkeypatch, DyingEncoder(7 - calls))
    assert encode(encoded) == 50
    assert encoded.embeddings.read_bytes() == whole
    check_embeddings(encoded, 50)
