"""The file of rejects has a line for every line of the input that is no sentence of its own."""

from pathlib import Path

import pytest
from here import run_over

from bitextmine.config import ShardConfig
from bitextmine.shard.sentences import Sentences
from bitextmine.shard.stage import shard
from bitextmine.workdir import SIDES, Side, Sides, Workdir
from bitextmine.write import rejects
from bitextmine.write.rejects import write_rejects

LINES: dict[Side, list[bytes]] = {
    "src": [b"Guten Tag.", b"", b"Gute Nacht.", b"Guten Tag.", b"bad \xff", b"Guten Tag."],
    "tgt": [b"Good day.", b"Good night.", b"Good\xc2\x85night.", b"x\xe2\x80\xa8" + b"y" * 300],
}


@pytest.fixture
def sharded(tmp_path: Path) -> tuple[Workdir, Sides[Sentences]]:
    """Files with a tab and with a byte that is not UTF-8 in their names."""
    paths = {"src": tmp_path / "de\t'ß'", "tgt": tmp_path / "en\udcff"}
    for side in SIDES:
        paths[side].write_bytes(b"\n".join(LINES[side]))
    config = ShardConfig(
        src=(str(paths["src"]),), tgt=(str(paths["tgt"]),), max_chars=300, shard_size=2
    )
    with run_over(tmp_path / "work", make=True) as run:
        return run.workdir, shard(run, config)


def test_every_reject_and_duplicate_is_one_row(
    sharded: tuple[Workdir, Sides[Sentences]], tmp_path: Path
) -> None:
    out = tmp_path / "rejects.tsv"
    write_rejects(*sharded, out)
    header, *lines = out.read_text("utf-8").splitlines()
    assert header == "reason\tside\tfile\tline\ttext"
    rows = [line.split("\t") for line in lines]
    assert {
        (reason, side, Path(file).name, line, text) for reason, side, file, line, text in rows
    } == {
        ("blank", "src", "de 'ß'", "2", ""),
        ("invalid_utf8", "src", "de 'ß'", "5", "bad \ufffd"),
        ("duplicate", "src", "de 'ß'", "4", "Guten Tag."),
        ("duplicate", "src", "de 'ß'", "6", "Guten Tag."),
        ("too_long", "tgt", "en\\udcff", "4", "x " + "y" * 198),
        ("duplicate", "tgt", "en\\udcff", "3", "Good night."),
    }
    assert len(rows) == 6
    assert [row[1] for row in rows] == sorted(row[1] for row in rows)


def test_duplicates_are_looked_up_a_few_at_a_time_to_the_same_effect(
    sharded: tuple[Workdir, Sides[Sentences]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rejects(*sharded, tmp_path / "at once")
    monkeypatch.setattr(rejects, "REPEATS", 1)
    write_rejects(*sharded, tmp_path / "one by one")
    assert (tmp_path / "one by one").read_bytes() == (tmp_path / "at once").read_bytes()
