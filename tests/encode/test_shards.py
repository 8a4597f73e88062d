"""Vectors on disk: normalised, in the order of the sentences, and the same after a crash."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from here import here
from toy import TOY_INFO, ToyEncoder

from bitextmine.config import EncoderOptions, ShardConfig
from bitextmine.encode import shards as encoding
from bitextmine.encode.shards import encode_shard
from bitextmine.encode.vectors import check_embeddings
from bitextmine.encoders.base import Encoded
from bitextmine.encoders.spec import EncoderSpec
from bitextmine.errors import EncoderError, WorkdirError
from bitextmine.files import read_json, this_attempt
from bitextmine.shard.build import build_shard, plan_shards
from bitextmine.shard.numbering import number_sentences
from bitextmine.shard.split import split_file
from bitextmine.workdir import ShardFiles, Workdir

SPEC = EncoderSpec(info=TOY_INFO, options=EncoderOptions(), description=None, weights="tests")


@pytest.fixture
def files(tmp_path: Path) -> ShardFiles:
    text = tmp_path / "text"
    text.write_text("".join(f"sentence number {n}\n" for n in range(50)), "utf-8")
    config = ShardConfig(src=(str(text),), tgt=(str(text),))
    workdir = Workdir(tmp_path / "work")
    workdir.create()
    split_file(workdir.root, "src", 0, config, **here())
    plan_shards(workdir.root, "src", config.shard_size, **here())
    build_shard(workdir.root, "src", 0, **here())
    number_sentences(workdir.root, "src", **here())
    return workdir.shard("src", 0)


def root_of(files: ShardFiles) -> Path:
    return files.folder.parents[2]


def use(monkeypatch: pytest.MonkeyPatch, encoder: object) -> None:
    monkeypatch.setattr(encoding, "shared_encoder", lambda spec, threads, device: encoder)


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
    encode_shard(root_of(files), "src", 0, SPEC, **here(reported.append))
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


@pytest.fixture
def encoded(files: ShardFiles, monkeypatch: pytest.MonkeyPatch) -> ShardFiles:
    """The shard with its vectors, all as they were written."""
    use(monkeypatch, ToyEncoder())
    encode(files)
    check_embeddings(files, 50)
    return files


def test_what_was_written_is_noted(encoded: ShardFiles) -> None:
    noted = read_json(encoded.encoded)
    assert (noted["rows"], noted["dim"], noted["dtype"]) == (50, 64, "float16")
    content = encoded.embeddings.read_bytes()
    assert noted["bytes"] == len(content)
    assert noted["checksum"] == hashlib.blake2b(content, digest_size=16).hexdigest()


def test_a_copy_of_the_vectors_is_as_good(encoded: ShardFiles) -> None:
    content = encoded.embeddings.read_bytes()
    encoded.embeddings.unlink()
    encoded.embeddings.write_bytes(content)
    os.utime(encoded.embeddings, (1, 1))
    check_embeddings(encoded, 50)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)


def turn(path: Path) -> None:
    """Write the same vectors under another shape of the same size."""
    path.write_bytes(path.read_bytes().replace(b"(50, 64)", b"(64, 50)"))


def as_integers(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"<f2", b"<i2"))


def scribble(path: Path) -> None:
    path.write_bytes(b"?" * path.stat().st_size)


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (Path.unlink, "cannot be read: .*No such file"),
        (cut, "has 6,527 bytes, not 6,528"),
        (flip_a_bit, "has changed since it was written"),
        (turn, r"holds float16 \(64, 50\), not float16 \(50, 64\)"),
        (as_integers, "holds int16"),
        (scribble, "cannot be read: .*magic"),
    ],
)
def test_changed_vectors_are_refused(
    encoded: ShardFiles, damage: Callable[[Path], None], told: str
) -> None:
    damage(encoded.embeddings)
    with pytest.raises(WorkdirError, match=told) as error:
        check_embeddings(encoded, 50)
    assert error.value.hint.startswith(f"delete {encoded.encoded}, encode again")
    encoded.encoded.unlink()
    assert encode(encoded) == 50  # the remedy works
    check_embeddings(encoded, 50)


def test_vectors_of_other_sentences_are_refused(encoded: ShardFiles) -> None:
    with pytest.raises(WorkdirError, match=r"not float16 \(51, 64\)"):
        check_embeddings(encoded, 51)


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
