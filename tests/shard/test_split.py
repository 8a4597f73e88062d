"""Lines of a file go into buckets or among the rejects, and an input must stay what it was."""

import errno
import os
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from here import here
from hypothesis import given, settings
from hypothesis import strategies as st
from sharded import sharded, written

from bitextmine.counts import reject_records
from bitextmine.errors import InputError, WorkdirError
from bitextmine.files import read_json
from bitextmine.shard import buckets
from bitextmine.shard.buckets import BUCKETS, BucketReader
from bitextmine.shard.split import split_file
from bitextmine.workdir import LINE_BITS

# Blank, repeated, too short, too long, with controls, with bytes that are not UTF-8, and ordinary.
PIECES = st.one_of(
    st.sampled_from([b"", b"  \t", b"a", b"same", b"x" * 40, b"\0\x07", b"caf\xe9", b"\xff\xfe"]),
    st.text(max_size=30).map(lambda text: text.encode().replace(b"\n", b" ")),
)


@given(
    st.lists(PIECES, max_size=20),
    st.booleans(),
    st.sampled_from(["reject", "replace"]),
    st.sampled_from([1, 60, 1 << 20]),
)
@settings(deadline=None)
def test_every_line_is_either_in_a_bucket_or_among_the_rejects(
    pieces: list[bytes], ends: bool, on_invalid: str, flush_bytes: int
) -> None:
    lines = [b"first", *pieces, b"last"]
    content = b"\n".join(lines) + b"\n" * ends
    with tempfile.TemporaryDirectory(prefix="l'été ") as folder, pytest.MonkeyPatch.context() as m:
        m.setattr(buckets, "FLUSH_BYTES", flush_bytes)
        workdir, config = written(
            Path(folder) / "a",
            b"other\n",
            content,
            min_chars=2,
            max_chars=20,
            on_invalid=on_invalid,
        )
        for file in range(2):
            split_file(workdir.root, "src", file, config, **here())
        done = read_json(workdir.lines_done("src", 1))
        table = BucketReader([workdir.lines("src", 1)], BUCKETS, slice(0, BUCKETS)).read_table(
            most=len(lines)
        )
        assert table is not None
        assert set((table.ids >> LINE_BITS).tolist()) == {1}
        accepted = (table.ids & ((1 << LINE_BITS) - 1)).tolist()
        rejected = [record["line"] - 1 for record in reject_records(workdir, "src")]
        assert sorted(accepted + rejected) == list(range(len(lines)))
        assert done["read"] == len(lines)
        assert sum(done["rejected"].values()) == len(rejected)


def test_copies_of_a_sentence_meet_in_one_bucket(tmp_path: Path) -> None:
    workdir, config = written(tmp_path / "a", "x\n  x\n", "y\nx \n")
    for file in range(2):
        split_file(workdir.root, "src", file, config, **here())
    files = [workdir.lines("src", file) for file in range(2)]
    ids: dict[int, list[int]] = {}
    for bucket in range(BUCKETS):
        table = BucketReader(files, BUCKETS, slice(bucket, bucket + 1)).read_table(most=9)
        if table is not None and len(table.ids):
            ids[bucket] = np.sort(table.ids).tolist()
    other = 1 << LINE_BITS
    assert sorted(ids.values()) == [[0, 1, other + 1], [other]]


def test_rejected_lines_keep_their_place(tmp_path: Path) -> None:
    workdir, _ = sharded(tmp_path / "a", "good\n\n" + "x" * 3000 + "\n")
    records = list(reject_records(workdir, "src"))
    assert [(r["reason"], r["line"]) for r in records] == [("blank", 2), ("too_long", 3)]
    assert records[1]["text"] == "x" * 200


def test_damaged_lines_are_warned_of_by_number(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    workdir, config = written(tmp_path / "a", "good\n\n" + "x" * 3000 + "\n" + "a\0b\n" * 7)
    split_file(workdir.root, "src", 0, config, **here())
    rejected, mended = caplog.messages
    assert "rejected 1 line(s) as too_long (line 3)" in rejected
    assert "mended 7 line(s) as control_characters (line 4, 5, 6, 7, 8 …)" in mended


def test_an_input_that_changed_is_refused_and_one_only_touched_is_not(tmp_path: Path) -> None:
    workdir, config = sharded(tmp_path / "a", "x\ny\n")
    path = Path(config.src[0])
    path.write_bytes(b"x\ny\n")  # new time, same content
    split_file(workdir.root, "src", 0, config, **here())
    path.write_bytes(b"x\nz\n")
    with pytest.raises(WorkdirError, match="has changed since"):
        split_file(workdir.root, "src", 0, config, **here())


def test_an_input_that_cannot_be_read_again_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir, config = sharded(tmp_path / "a", "x\ny\n")
    path = Path(config.src[0])
    path.write_bytes(b"x\ny\n")  # new time, same content
    usual = Path.open

    def refuse(self: Path, *arguments: Any, **options: Any) -> Any:
        if self == path:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return usual(self, *arguments, **options)

    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(InputError, match="permission denied"):
        split_file(workdir.root, "src", 0, config, **here())
