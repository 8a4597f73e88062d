"""Shards of unique sentences, built from files with bounded memory."""

import tempfile
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from here import here
from hypothesis import given, settings
from hypothesis import strategies as st
from sharded import sentences, shard_side, sharded, written

from bitextmine.config import ShardConfig
from bitextmine.counts import count_shards, side_counts
from bitextmine.errors import UsageError
from bitextmine.shard import buckets, build
from bitextmine.shard.build import build_shard, first_occurrences
from bitextmine.shard.numbering import NUMBERING_BYTES_A_SENTENCE
from bitextmine.shard.sentences import Sentences, shard_texts
from bitextmine.workdir import Workdir


def test_duplicates_meet_across_files_and_the_first_place_stays(tmp_path: Path) -> None:
    workdir, config = sharded(tmp_path / "a", "x\ny\nx\n", "y\n z \n\nx\n", shard_size=1)
    assert sentences(workdir, config) == ["x", "y", "z"]
    found = Sentences(workdir, "src")
    places = [(Path(origin.file).name, origin.line) for _, origin in found.fetch(np.arange(3))]
    assert places == [("part 0.txt", 1), ("part 0.txt", 2), ("part 1.txt", 2)]
    counts = side_counts(workdir, "src")
    assert counts == {
        "read": 7, "rejected": {"blank": 1}, "mended": {}, "duplicates": 3, "unique": 3,
    }  # fmt: skip


TEXTS = st.lists(st.sampled_from(["", "a", "b b", "ä", "c" * 9, "d\x00", "Ünïcode 語"]), min_size=1)


@given(TEXTS, TEXTS, st.integers(1, 9), st.sampled_from([1, 20, 1 << 20]))
@settings(max_examples=25, deadline=None)
def test_neither_shards_nor_memory_change_the_sentences(
    one: list[str], two: list[str], shard_size: int, flush: int
) -> None:
    one = [*one, "always one"]
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(buckets, "FLUSH_BYTES", flush)
        contents = ["\n".join(one) + "\n", "\n".join(two) + "\n"]
        workdir, config = sharded(Path(folder), *contents, shard_size=shard_size)
        expected = list(dict.fromkeys(t.replace("\0", "") for t in [*one, *two] if t))
        assert sentences(workdir, config) == expected
        counts = side_counts(workdir, "src")
        rejected = sum(counts["rejected"].values())
        assert counts["read"] == rejected + counts["duplicates"] + counts["unique"]
        assert counts["read"] == len(one) + len(two)
        assert counts["unique"] == len(expected)


# Sentences, copies that only normalising makes equal, blank, too long, with controls, damaged.
PIECES = st.one_of(
    st.sampled_from(
        [b"", b" ", b"a", b" a ", b"a\0", b"e\xcc\x81", b"\xc3\xa9", b"\xff", b"x" * 50, b"b b"]
    ),
    st.text(max_size=12).map(lambda text: text.encode().replace(b"\n", b" ")),
)
FILES = st.lists(st.lists(PIECES, max_size=12), min_size=1, max_size=3)


def numbered(workdir: Workdir, config: ShardConfig) -> list[tuple[int, int, str, str]]:
    """Return number, id, text and origin of every sentence, in the order of numbers."""
    files = [workdir.shard("src", shard) for shard in range(count_shards(workdir, "src"))]
    numbers = np.concatenate([np.load(each.numbers) for each in files])
    ids = np.concatenate([np.load(each.ids) for each in files])
    order = np.argsort(numbers)
    found = Sentences(workdir, "src").fetch(numbers[order])
    return [
        (number, sentence_id, text, f"{Path(origin.file).name}:{origin.line}")
        for number, sentence_id, (text, origin) in zip(
            numbers[order].tolist(), ids[order].tolist(), found, strict=True
        )
    ]


@given(
    pieces=FILES,
    shard_size=st.integers(1, 9),
    flush_bytes=st.sampled_from([1, 250, 1 << 20]),
    numbered_at_once=st.integers(1, 20),
)
@settings(max_examples=30, deadline=None)
def test_ids_numbers_and_texts_are_the_same_for_any_shard_size_and_memory(
    pieces: list[list[bytes]], shard_size: int, flush_bytes: int, numbered_at_once: int
) -> None:
    contents = [b"\n".join([b"first", *some]) + b"\n" for some in pieces]
    with tempfile.TemporaryDirectory(prefix="l'été ") as folder, pytest.MonkeyPatch.context() as m:
        plain, config = sharded(Path(folder) / "a", *contents, max_chars=40)
        m.setattr(buckets, "FLUSH_BYTES", flush_bytes)
        other, small = written(Path(folder) / "b", *contents, max_chars=40, shard_size=shard_size)
        shard_side(other, small, numbered_at_once * NUMBERING_BYTES_A_SENTENCE)
        expected = numbered(plain, config)
        assert [number for number, *_ in expected] == list(range(len(expected)))
        assert numbered(other, small) == expected
        for workdir in (plain, other):
            counts = side_counts(workdir, "src")
            rejected = sum(counts["rejected"].values())
            assert counts["read"] == sum(content.count(b"\n") for content in contents)
            assert counts["read"] == rejected + counts["duplicates"] + counts["unique"]
            assert counts["unique"] == len(expected)
        assert side_counts(other, "src") == side_counts(plain, "src")


@pytest.mark.alone
def test_copies_of_one_sentence_cost_no_text(tmp_path: Path) -> None:
    workdir, _config = sharded(tmp_path / "a", ("y" * 1000 + "\n") * 20_000)
    (workdir.shard("src", 0).done).unlink()
    tracemalloc.start()
    build_shard(workdir.root, "src", 0, **here())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 28 << 20  # one frame of 20 MB, not 20,000 strings beside it


@pytest.mark.alone
def test_a_shard_takes_little_more_memory_than_its_text(tmp_path: Path) -> None:
    n = 20_000
    content = "".join(f"{number} {'word ' * 20}\n" for number in range(n))
    workdir, _config = sharded(tmp_path / "a", content)
    (workdir.shard("src", 0).done).unlink()
    tracemalloc.start()
    build_shard(workdir.root, "src", 0, **here())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < len(content) + 128 * n


@pytest.mark.parametrize(
    ("constant", "problem"),
    [("DEDUP_BYTES_A_LINE", "more lines"), ("GATHER_BYTES_A_SENTENCE", "more text")],
)
def test_a_shard_beyond_the_memory_is_refused_and_built_with_more(
    tmp_path: Path, constant: str, problem: str
) -> None:
    workdir, config = sharded(tmp_path / "a", "x\ny\nz\n")
    files = workdir.shard("src", 0)
    files.done.unlink()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(build, constant, 100 << 20)
        said = f"src shard 0 has {problem} than fits the 280M"
        with pytest.raises(UsageError, match=said) as error:
            build_shard(workdir.root, "src", 0, **here(memory=280 << 20))
        assert "--memory, or a smaller --shard-size" in error.value.hint
        assert not files.done.exists()
        build_shard(workdir.root, "src", 0, **here(memory=1 << 30))
    assert sentences(workdir, config) == ["x", "y", "z"]


def test_a_side_may_have_hundreds_of_shards(tmp_path: Path) -> None:
    text = "".join(f"sentence {n}\n" for n in range(300))
    workdir, config = sharded(tmp_path / "a", text, shard_size=1)
    assert count_shards(workdir, "src") == 300
    assert sentences(workdir, config) == text.splitlines()


def test_shards_are_about_as_large_as_asked(tmp_path: Path) -> None:
    text = "".join(f"sentence {n}\n" for n in range(5000))
    workdir, _ = sharded(tmp_path / "a", text, shard_size=1000)
    assert count_shards(workdir, "src") == 5
    sizes = [len(shard_texts(workdir.shard("src", n))) for n in range(5)]
    assert sum(sizes) == 5000
    assert max(sizes) < 1300


def test_a_second_run_reads_nothing_again(tmp_path: Path) -> None:
    workdir, config = sharded(tmp_path / "a", "x\ny\n")
    before = {p: p.stat().st_mtime_ns for p in workdir.root.rglob("*") if p.is_file()}
    shard_side(workdir, config)
    assert {p: p.stat().st_mtime_ns for p in workdir.root.rglob("*") if p.is_file()} == before


def test_first_occurrences_by_hand() -> None:
    digests = np.array([[5, 1], [3, 3], [5, 1], [5, 2], [3, 3]], dtype=np.uint64)
    ids = np.array([40, 10, 20, 30, 50])
    first, repeated = first_occurrences(digests, ids)
    assert ids[first].tolist() == [10, 20, 30]
    assert ids[repeated.rows].tolist() == [40, 50]
    assert repeated.first_ids.tolist() == [20, 10]


@given(st.lists(st.integers(0, 5)))
def test_first_occurrences_are_those_of_a_dictionary(contents: list[int]) -> None:
    ids = np.random.default_rng(len(contents)).permutation(len(contents)).astype(np.int64)
    digests = np.array([[content, 7] for content in contents], dtype=np.uint64).reshape(-1, 2)
    first, repeated = first_occurrences(digests, ids)
    seen: dict[int, int] = {}
    for row in np.argsort(ids).tolist():
        seen.setdefault(contents[row], int(ids[row]))
    assert ids[first].tolist() == sorted(seen.values())
    for row, first_id in zip(repeated.rows.tolist(), repeated.first_ids.tolist(), strict=True):
        assert seen[contents[row]] == first_id != ids[row]
    assert len(first) + len(repeated.rows) == len(contents)
