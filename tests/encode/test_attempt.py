"""Attempts at a shard: each has a file of its own, and all end with the same bytes."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import pytest
import twins
from here import here
from one_shard import SPEC, root_of, use
from sharded import sharded
from toy import ToyEncoder

from bitextmine.arrays import Stored
from bitextmine.encode import attempt
from bitextmine.encode.attempt import Attempt, note_renamed
from bitextmine.encode.row_format import RowFormat
from bitextmine.encode.shards import encode_shard
from bitextmine.encode.vectors import check_embeddings
from bitextmine.encoders.base import Encoded
from bitextmine.errors import OutputError
from bitextmine.files import ABANDONED_S, read_json, this_attempt
from bitextmine.workdir import ShardFiles

N = 60
ELSEWHERE = "another-node-f00~4711~12345"  # an attempt of a process of another machine
FORM = RowFormat(64, 64)


@pytest.fixture
def files(tmp_path: Path) -> ShardFiles:
    """A shard that is not encoded yet."""
    text = "".join(f"sentence number {n}\n" for n in range(N))
    workdir, _ = sharded(tmp_path / "it's « a shard »", text)
    return workdir.shard("src", 0)


def whole(files: ShardFiles) -> bytes:
    """Return what the finished file must hold."""
    expected = ToyEncoder().encode([f"sentence number {n}" for n in range(N)]).embeddings
    units = expected / np.linalg.norm(expected, axis=1)[:, None]
    with Attempt(files, N, FORM) as begun:
        header = begun._header()
        files.part(this_attempt()).unlink()
    rows: bytes = units.astype(np.float16).tobytes()
    return header + rows


@pytest.mark.parametrize("apart", [0.0, 0.1, 0.3, 0.6, 1.0])
def test_twins_without_locks_give_the_same_bytes(files: ShardFiles, apart: float) -> None:
    expected = whole(files)
    assert twins.run_twins(twins.encode, root_of(files), apart) == [0, 0]
    assert files.embeddings.read_bytes() == expected
    check_embeddings(files, N)
    assert files.leftovers() == []


def begin_elsewhere(files: ShardFiles, rows: int) -> None:
    """Leave the first rows of an attempt of another machine, and half a chunk more."""
    with Attempt(files, N, FORM) as begun:
        found = ToyEncoder().encode([f"sentence number {n}" for n in range(N)]).embeddings
        units = (found / np.linalg.norm(found, axis=1)[:, None]).astype(np.float16)
        begun.add(units[:rows], 0, 0)
    own = this_attempt()
    with files.part(own).open("ab") as part:
        part.write(units[rows : rows + 2].tobytes()[:-7])
    files.part(own).rename(files.part(ELSEWHERE))
    files.progress(own).rename(files.progress(ELSEWHERE))


class Counted(ToyEncoder):
    """Counts the sentences that it encodes."""

    def __init__(self) -> None:
        self.count = 0

    def encode(self, sentences: Sequence[str]) -> Encoded:
        self.count += len(sentences)
        return super().encode(sentences)


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> Counted:
    encoder = Counted()
    use(monkeypatch, encoder)
    return encoder


@pytest.mark.parametrize("rows", [1, 20, N])
def test_rows_of_another_attempt_are_taken_over(
    files: ShardFiles, counted: Counted, rows: int
) -> None:
    expected = whole(files)
    begin_elsewhere(files, rows)
    encode_shard(root_of(files), "src", 0, SPEC, **here())
    assert files.embeddings.read_bytes() == expected
    assert counted.count == N - rows


@pytest.mark.parametrize("gone", ["part", "progress"])
def test_an_attempt_that_ends_while_it_is_looked_at_is_passed_over(
    files: ShardFiles, counted: Counted, monkeypatch: pytest.MonkeyPatch, gone: str
) -> None:
    expected = whole(files)
    begin_elsewhere(files, 20)

    def ending(path: Path) -> dict[str, Any]:
        if gone == "progress" and path == files.progress(ELSEWHERE):
            path.unlink(missing_ok=True)
        known = read_json(path)
        files.part(ELSEWHERE).unlink(missing_ok=True)
        return known

    monkeypatch.setattr(attempt, "read_json", ending)
    encode_shard(root_of(files), "src", 0, SPEC, **here())
    assert files.embeddings.read_bytes() == expected
    assert counted.count == N


def test_a_note_that_goes_while_the_renamed_file_is_looked_at_is_passed_over(
    files: ShardFiles,
) -> None:
    files.embeddings.write_bytes(b"theirs")
    with patch.object(ShardFiles, "attempts", lambda self: [ELSEWHERE]):
        note_renamed(files)
    assert not files.encoded.exists()


def test_files_of_another_machine_stay_until_nobody_can_be_writing_them(
    files: ShardFiles, counted: Counted
) -> None:
    begin_elsewhere(files, 20)
    encode_shard(root_of(files), "src", 0, SPEC, **here())
    assert files.leftovers() == [files.part(ELSEWHERE), files.progress(ELSEWHERE)]
    for path in files.leftovers():
        os.utime(path, (path.stat().st_mtime - ABANDONED_S - 1,) * 2)
    encode_shard(root_of(files), "src", 0, SPEC, **here())
    assert files.leftovers() == []


def test_an_attempt_that_is_overtaken_stops_and_leaves_the_other_ones_file(
    files: ShardFiles, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Counted, "info", twins.SlowEncoder.info)
    add = Attempt.add

    def overtaken(self: Attempt, stored: Stored, truncated: int, unusable: int) -> None:
        add(self, stored, truncated, unusable)
        files.embeddings.write_bytes(b"theirs")
        files.encoded.write_text("{}", "utf-8")

    monkeypatch.setattr(Attempt, "add", overtaken)
    reported: list[int] = []
    encode_shard(root_of(files), "src", 0, SPEC, **here(reported.append))
    assert files.embeddings.read_bytes() == b"theirs"
    assert counted.count < N
    assert sum(reported) == N
    assert files.leftovers() == []


def test_a_file_of_another_size_than_was_written_is_never_noted(
    files: ShardFiles, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = Attempt.finish

    def scribbled(self: Attempt) -> None:
        with files.part(this_attempt()).open("ab") as part:
            part.write(b"from a twin")
        finish(self)

    monkeypatch.setattr(Attempt, "finish", scribbled)
    with pytest.raises(OutputError, match="has 7,819 bytes where 7,808 were written") as told:
        encode_shard(root_of(files), "src", 0, SPEC, **here())
    assert "run the same again" in told.value.hint
    assert not files.encoded.exists()
    monkeypatch.setattr(Attempt, "finish", finish)
    encode_shard(root_of(files), "src", 0, SPEC, **here())  # the remedy works
    check_embeddings(files, N)
