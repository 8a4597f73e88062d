"""Every line and every sentence is counted once, and the counts add up."""

import tempfile
from collections import Counter
from pathlib import Path

import pytest
from here import run_over
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import src_line, tgt_line

from bitextmine import MineConfig, mine
from bitextmine.config import EncodeConfig, ShardConfig
from bitextmine.counts import (
    count_shards,
    encoded_counts,
    format_rejects,
    reject_records,
    run_counts,
    shard_sizes,
    side_counts,
)
from bitextmine.files import read_json, write_json
from bitextmine.pipeline import encode_workdir
from bitextmine.shard.stage import shard
from bitextmine.workdir import SIDES, Side, Workdir


def sharded(root: Path, texts: dict[Side, list[list[str]]], *, shard_size: int) -> Workdir:
    """Write the files of both sides, and do the stage over them."""
    paths: dict[Side, list[str]] = {"src": [], "tgt": []}
    for side in SIDES:
        for number, lines in enumerate(texts[side]):
            path = root / f"{side} 'é' {number}.txt"
            path.write_text("".join(line + "\n" for line in lines), "utf-8")
            paths[side].append(str(path))
    config = ShardConfig(
        src=tuple(paths["src"]), tgt=tuple(paths["tgt"]), max_chars=20, shard_size=shard_size
    )
    with run_over(root / "work", config, make=True) as run:
        shard(run, config)
        return run.workdir


LINES = st.sampled_from(["", "  ", "eins", "zwei", "drei", "vier", "fünf\t", "y" * 21, "z" * 99])
FILES = st.lists(st.lists(LINES, max_size=8), min_size=1, max_size=3)


@given(FILES, FILES, st.sampled_from([1, 3, 1000]))
@settings(max_examples=12, deadline=None)
def test_lines_are_rejected_repeated_or_unique_whatever_the_files_and_shards(
    src: list[list[str]], tgt: list[list[str]], shard_size: int
) -> None:
    texts: dict[Side, list[list[str]]] = {"src": [["one"], *src], "tgt": [*tgt, ["two"]]}
    with tempfile.TemporaryDirectory() as folder:
        workdir = sharded(Path(folder), texts, shard_size=shard_size)
        for side in SIDES:
            lines = [line.strip() for file in texts[side] for line in file]
            sentences = [line for line in lines if 1 <= len(line) <= 20]
            rejected = Counter(
                "too_long" if line else "blank" for line in lines if not 1 <= len(line) <= 20
            )
            assert side_counts(workdir, side) == {
                "read": len(lines),
                "rejected": rejected,
                "mended": {},
                "duplicates": len(sentences) - len(set(sentences)),
                "unique": len(set(sentences)),
            }
            assert sum(shard_sizes(workdir, side)) == len(set(sentences))
            assert len(shard_sizes(workdir, side)) == count_shards(workdir, side)


def test_rejects_are_told_by_reason(tmp_path: Path) -> None:
    lines = ["x" * 30, "", *(f"line {n}" for n in range(1230)), "", "line 3"]
    workdir = sharded(tmp_path, {"src": [lines], "tgt": [["a"]]}, shard_size=9999)
    assert format_rejects(workdir, "src") == "1,234 lines read: 2 blank, 1 too_long"
    assert format_rejects(workdir, "tgt") == "1 lines read"


def test_rejected_lines_come_in_the_order_of_files_and_lines(tmp_path: Path) -> None:
    files = [["a", "", "x" * 30], ["", "b"], ["c"], ["y" * 30]]
    workdir = sharded(tmp_path, {"src": files, "tgt": [["a"]]}, shard_size=9999)
    records = [
        (Path(each["file"]).stem[-1], each["line"], each["reason"])
        for each in reject_records(workdir, "src")
    ]
    assert records == [
        ("0", 2, "blank"),
        ("0", 3, "too_long"),
        ("1", 1, "blank"),
        ("3", 1, "too_long"),
    ]


@pytest.mark.usefixtures("toy")
def test_the_counts_of_encoding_are_those_of_all_shards(tmp_path: Path) -> None:
    lines = [f"line {n}" for n in range(12)]
    workdir = sharded(tmp_path, {"src": [lines], "tgt": [["a"]]}, shard_size=3)
    encode_workdir(workdir.root, EncodeConfig(model="toy", src_lang="de", tgt_lang="en"))
    assert encoded_counts(workdir, "src") == {"truncated": 0, "unusable": 0}
    for number in range(count_shards(workdir, "src")):
        noted = workdir.shard("src", number).encoded
        write_json(noted, read_json(noted) | {"truncated": number, "unusable": 10**number})
    n_shards = count_shards(workdir, "src")
    assert n_shards > 2
    assert encoded_counts(workdir, "src") == {
        "truncated": n_shards * (n_shards - 1) // 2,
        "unusable": int("1" * n_shards),
    }


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("threshold", [0.0, 1.1, 99.0])
def test_every_line_of_a_run_is_rejected_repeated_paired_or_unpaired(
    tmp_path: Path, threshold: float
) -> None:
    src = [src_line(n) for n in range(30)] + ["", src_line(4), "x" * 3000]
    tgt = [tgt_line(n) for n in range(20, 45)] + [tgt_line(21), tgt_line(21)]
    for name, lines in (("src", src), ("tgt", tgt)):
        (tmp_path / name).write_text("\n".join(lines), "utf-8")
    mined = mine(
        MineConfig(
            src=(str(tmp_path / "src"),),
            tgt=(str(tmp_path / "tgt"),),
            model="toy",
            src_lang="de",
            tgt_lang="en",
            shard_size=10,
            threshold=threshold,
            workdir=tmp_path / "work",
        )
    )
    counts = mined.card["counts"]
    for side, unique in (("src", 30), ("tgt", 25)):
        told = counts[side]
        assert told["read"] == sum(told["rejected"].values()) + told["duplicates"] + told["unique"]
        unpaired = sum(n for name, n in told.items() if name.startswith("unpaired"))
        assert told["unique"] == unique == told["paired"] + unpaired
        assert told["paired"] == mined.n_pairs


@pytest.mark.usefixtures("toy")
def test_the_counts_of_a_run_are_those_of_its_stages_together(tmp_path: Path) -> None:
    workdir = sharded(tmp_path, {"src": [["a", "b", "a"]], "tgt": [["a", ""]]}, shard_size=9)
    encode_workdir(workdir.root, EncodeConfig(model="toy", src_lang="de", tgt_lang="en"))
    selected = {"candidates": 4, "src": {"paired": 1}, "tgt": {"paired": 1}}
    encoded = {"mended": {}, "truncated": 0, "unusable": 0, "paired": 1}
    assert run_counts(workdir, selected) == {
        "candidates": 4,
        "src": {"read": 3, "rejected": {}, "duplicates": 1, "unique": 2} | encoded,
        "tgt": {"read": 2, "rejected": {"blank": 1}, "duplicates": 0, "unique": 1} | encoded,
    }
