"""Vectors are handed on only if all are there and are those that were written."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from one_shard import encode, flip_a_bit
from sharded import both_sharded, sharded

from bitextmine.config import EncodeConfig
from bitextmine.counts import count_shards
from bitextmine.encode.vectors import Vectors, all_encoded, check_embeddings, open_vectors
from bitextmine.errors import WorkdirError
from bitextmine.pipeline import encode_workdir
from bitextmine.workdir import SIDES, ShardFiles, Side, Workdir


def test_a_copy_of_the_vectors_is_as_good(encoded: ShardFiles) -> None:
    content = encoded.embeddings.read_bytes()
    encoded.embeddings.unlink()
    encoded.embeddings.write_bytes(content)
    os.utime(encoded.embeddings, (1, 1))
    check_embeddings(encoded, 50)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


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


SIZES = {"src": 30, "tgt": 8}


@pytest.fixture
def workdir(tmp_path: Path, toy: str) -> Workdir:
    """A work directory of several src shards and one tgt shard, encoded."""
    src, tgt = ("\n".join(f"{side} {n}" for n in range(count)) for side, count in SIZES.items())
    workdir = both_sharded(tmp_path, src, tgt, shard_size=10)
    encode_workdir(workdir.root, EncodeConfig(model=toy, src_lang="de", tgt_lang="en"))
    return workdir


def test_the_vectors_of_a_side_are_those_of_its_shards(workdir: Workdir) -> None:
    src, tgt = open_vectors(workdir)
    assert (len(src), len(tgt), src.dim, tgt.dim) == (30, 8, 64, 64)
    stored = [
        np.load(workdir.shard("src", shard).embeddings).shape
        for shard in range(count_shards(workdir, "src"))
    ]
    assert len(stored) > 1
    assert src.shard_sizes == [rows for rows, _ in stored]


@pytest.mark.parametrize("side", SIDES)
def test_every_shard_of_a_side_is_checked(workdir: Workdir, side: Side) -> None:
    for shard in range(count_shards(workdir, side)):
        path = workdir.shard(side, shard).embeddings
        whole = path.read_bytes()
        flip_a_bit(path)
        with pytest.raises(WorkdirError, match="has changed since it was written") as told:
            Vectors(workdir, side).check()
        assert str(path) in str(told.value)
        path.write_bytes(whole)
        Vectors(workdir, side).check()


@pytest.mark.parametrize("side", SIDES)
def test_all_are_encoded_only_when_the_last_shard_is(workdir: Workdir, side: Side) -> None:
    assert all_encoded(workdir)
    workdir.shard(side, count_shards(workdir, side) - 1).encoded.unlink()
    assert not all_encoded(workdir)


def test_what_was_never_encoded_cannot_be_opened(tmp_path: Path) -> None:
    workdir, _ = sharded(tmp_path / "a", "one\ntwo\n")
    with pytest.raises(WorkdirError, match="no finished results of the stage 'encode'") as told:
        open_vectors(workdir)
    assert "run `bitextmine encode " in told.value.hint
