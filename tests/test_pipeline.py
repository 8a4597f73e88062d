"""The whole journey: the same pairs however it ran, resumed or not, and counts that add up."""

import json
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy import TOY_INFO, ToyEncoder, src_line, tgt_line

from bitextmine import MineConfig, mine
from bitextmine.encode import stage as encode_stage
from bitextmine.encoders.base import Encoded
from bitextmine.errors import BitextmineError, EncoderError, OutputError, WorkdirError
from bitextmine.search import grid
from bitextmine.search import stage as search_stage
from bitextmine.shard import buckets
from bitextmine.shard import stage as shard_stage


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Path, Path]:
    """60 src and 80 tgt sentences with 40 translations, duplicates, blanks and a long line."""
    src, tgt = tmp_path / "the 'src' file.txt", tmp_path / "die tgt-Datei ä.txt"
    src_lines = [src_line(n) for n in range(60)] + ["", src_line(3), "x" * 2500, src_line(3)]
    tgt_lines = [tgt_line(n) for n in range(20, 100)] + [tgt_line(30), "  "]
    src.write_text("\n".join(src_lines) + "\n", "utf-8")
    tgt.write_text("\n".join(reversed(tgt_lines)), "utf-8")
    return src, tgt


def mined_bytes(corpus: tuple[Path, Path], out: Path, **flags: Any) -> bytes:
    mine(config(corpus, out=out, **flags))
    return out.read_bytes()


def config(corpus: tuple[Path, Path], **flags: Any) -> MineConfig:
    return MineConfig(
        **{
            "src": (str(corpus[0]),),
            "tgt": (str(corpus[1]),),
            "model": "toy",
            "src_lang": "de",
            "tgt_lang": "en",
            "format": "jsonl",
            **flags,
        }
    )


pytestmark = pytest.mark.usefixtures("toy")


def test_translations_are_found_with_their_places(corpus: tuple[Path, Path]) -> None:
    mined = mine(config(corpus, threshold=1.1))
    assert 40 <= mined.n_pairs == len(mined.pairs) < 50
    best = mined.pairs[0]
    lines = corpus[0].read_text("utf-8").split("\n")
    assert lines[best.src_origin.line - 1] == best.src
    assert best.src_origin.file == str(corpus[0])
    right = sum(p.src.split()[1] == p.tgt.split()[1] for p in mined.pairs)
    assert right == 40  # all that there are
    assert [p.score for p in mined.pairs] == sorted((p.score for p in mined.pairs), reverse=True)


def test_every_line_is_accounted_for(corpus: tuple[Path, Path]) -> None:
    counts = mine(config(corpus)).card["counts"]
    for side, read, duplicates, rejected in (
        ("src", 64, 2, {"blank": 1, "too_long": 1}),
        ("tgt", 82, 1, {"blank": 1}),
    ):
        told = counts[side]
        assert (told["read"], told["duplicates"], told["rejected"]) == (read, duplicates, rejected)
        assert told["read"] == told["duplicates"] + sum(rejected.values()) + told["unique"]
        fates = [n for name, n in told.items() if name == "paired" or name.startswith("unpaired")]
        assert sum(fates) == told["unique"]
    assert counts["src"]["paired"] == counts["tgt"]["paired"] == counts["pairs"]


@given(
    shard_size=st.sampled_from([9, 20, 1000]),
    chunk=st.sampled_from([5, 16, 1000]),
    flush=st.sampled_from([50, 1 << 20]),
    panel=st.sampled_from([7, 25, 1000]),
    retrieval=st.sampled_from(["max", "intersect", "fwd", "bwd", "union"]),
)
@settings(
    max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
def test_shards_chunks_blocks_and_memory_do_not_change_a_byte(
    corpus: tuple[Path, Path],
    tmp_path: Path,
    shard_size: int,
    chunk: int,
    flush: int,
    panel: int,
    retrieval: str,
) -> None:
    out = tmp_path / "pairs"
    plain = mined_bytes(corpus, out, retrieval=retrieval)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ToyEncoder, "info", replace(TOY_INFO, chunk_rows=chunk))
        patch.setattr(buckets, "FLUSH_BYTES", flush)
        patch.setattr(grid, "CPU_ROWS", panel)
        assert mined_bytes(corpus, out, retrieval=retrieval, shard_size=shard_size) == plain


def test_one_file_or_several_is_the_same_text(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    whole = mine(config(corpus)).pairs
    lines = corpus[0].read_text("utf-8").splitlines(keepends=True)
    parts = [tmp_path / f"part{n}" for n in (1, 2)]
    parts[0].write_text("".join(lines[:25]), "utf-8")
    parts[1].write_text("".join(lines[25:]), "utf-8")
    split = mine(config(corpus, src=(str(tmp_path / "part*"),))).pairs
    assert [(p.score, p.src, p.tgt) for p in split] == [(p.score, p.src, p.tgt) for p in whole]
    assert {Path(p.src_origin.file).name for p in split} == {"part1", "part2"}


class Killed(BaseException):
    """Stands for the moment at which a run dies."""


@pytest.fixture
def dying(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Let the process die before the n-th file gets its name."""
    countdown = [-1]
    rename = Path.replace

    def replace(self: Path, target: Path) -> Path:
        if countdown[0] == 0:
            raise Killed
        countdown[0] -= 1
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", replace)
    yield countdown
    countdown[0] = -1


def test_a_run_that_died_at_any_file_goes_on_to_the_same_bytes(
    corpus: tuple[Path, Path], tmp_path: Path, dying: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyEncoder, "info", replace(TOY_INFO, chunk_rows=16))
    monkeypatch.setattr(grid, "CPU_ROWS", 35)
    plain = mined_bytes(corpus, tmp_path / "plain", shard_size=30)
    out, deaths = tmp_path / "pairs", 0
    while True:
        dying[0] = deaths
        try:
            mine(config(corpus, shard_size=30, workdir=tmp_path / f"work {deaths}", out=out))
            break
        except Killed:
            deaths += 1
        dying[0] = -1
        flags = {"shard_size": 30, "workdir": tmp_path / f"work {deaths - 1}"}
        assert mined_bytes(corpus, out, **flags) == plain
        out.unlink()
    assert deaths > 40  # every file of the run was the last one once
    assert out.read_bytes() == plain


def test_select_again_needs_no_search(
    corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = {"margin": "distance", "retrieval": "union"}
    fresh = mine(config(corpus, **other))
    mine(config(corpus, workdir=tmp_path / "work"))
    for module, task in (
        (shard_stage, "build_shard"),
        (encode_stage, "encode_shard"),
        (search_stage, "search_block"),
        (search_stage, "merge_panel"),
    ):
        monkeypatch.setattr(module, task, lambda *arguments, **where: None)
    again = mine(config(corpus, workdir=tmp_path / "work", **other))
    assert again.pairs == fresh.pairs


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"min_chars": 2}, "min_chars: 1 there, 2 now"),
        ({"k": 5}, "k: 4 there, 5 now"),
        ({"model": "use-m3"}, "model: 'toy' there, 'use-m3' now"),
    ],
)
def test_a_work_directory_of_other_settings_is_refused(
    corpus: tuple[Path, Path], tmp_path: Path, changed: dict[str, Any], named: str
) -> None:
    mine(config(corpus, workdir=tmp_path / "work"))
    with pytest.raises(WorkdirError, match=named):
        mine(config(corpus, workdir=tmp_path / "work", **changed))


def test_the_run_card_tells_how_the_pairs_were_made(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    out = tmp_path / "pairs.jsonl.zst"
    mine(config(corpus, out=out, workdir=tmp_path / "work", retrieval="intersect"))
    card = json.loads((tmp_path / "pairs.jsonl.zst.run.json").read_text("utf-8"))
    assert (
        json.loads((tmp_path / "work" / "run.json").read_text("utf-8"))["counts"] == card["counts"]
    )
    assert card["encoder"]["licence"] == "Apache-2.0"
    assert card["threshold"] == {"value": 1.02, "source": "chosen for the tests"}
    assert card["settings"]["select"]["retrieval"] == "intersect"
    assert card["settings"]["search"]["k"] == 4
    assert card["seconds"].keys() == {"shard", "encode", "search", "select", "write", "total"}
    assert card["machine"]["packages"]["numpy"]


def test_k_is_capped_to_the_other_side_and_recorded(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    few = tmp_path / "few"
    few.write_text("".join(tgt_line(n) + "\n" for n in (20, 21, 22)), "utf-8")
    mined = mine(config(corpus, tgt=(str(few),), threshold=0.0))
    assert mined.card["k"] == {"asked": 4, "src": 3, "tgt": 4}
    assert mined.n_pairs == 3


def test_a_sentence_without_a_vector_is_in_no_pair(
    corpus: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = ToyEncoder.encode

    def broken(self: ToyEncoder, sentences: Sequence[str]) -> Encoded:
        embeddings = encode(self, sentences).embeddings
        embeddings[[" 30 " in sentence for sentence in sentences]] = 0
        return Encoded(embeddings)

    monkeypatch.setattr(ToyEncoder, "encode", broken)
    mined = mine(config(corpus, margin="distance", threshold=-9.0, k=16, retrieval="union"))
    assert not any(" 30 " in pair.src + pair.tgt for pair in mined.pairs)
    assert mined.card["counts"]["src"]["unusable"] == 1
    assert any("zero or non-finite vectors for 1 of 60" in w for w in mined.card["warnings"])
    monkeypatch.setattr(
        ToyEncoder, "encode", lambda self, s: Encoded(encode(self, s).embeddings * 0)
    )
    with pytest.raises(EncoderError, match="60 of 60 src sentences"):
        mine(config(corpus))


def test_an_unknown_model_is_refused_before_any_work(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(EncoderError, match="no encoder 'nope'"):
        mine(config(corpus, model="nope", workdir=tmp_path / "work"))
    assert not (tmp_path / "work").exists()


def test_paths_may_be_path_objects(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    mine(config(corpus, src=corpus[0], tgt=[corpus[1]], out=str(tmp_path / "pairs")))
    assert (tmp_path / "pairs").exists()


def test_one_sentence_a_side_is_a_pair(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).write_text("eins 17\n", "utf-8")
    mined = mine(config((tmp_path / "a", tmp_path / "b"), threshold=1.0))
    assert [(p.score, p.src) for p in mined.pairs] == [(1.0, "eins 17")]


def test_the_same_file_on_both_sides_pairs_every_sentence_with_itself(
    corpus: tuple[Path, Path],
) -> None:
    mined = mine(config((corpus[0], corpus[0]), threshold=0.0))
    assert mined.n_pairs == 60
    assert all(p.src == p.tgt and p.cosine == 1.0 for p in mined.pairs)


def test_all_duplicates_are_one_sentence(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    same = tmp_path / "same"
    same.write_text("immer gleich\n" * 1000, "utf-8")
    counts = mine(config(corpus, src=(str(same),))).card["counts"]["src"]
    assert (counts["read"], counts["duplicates"], counts["unique"]) == (1000, 999, 1)


def test_a_threshold_that_keeps_nothing_gives_an_empty_file(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    assert mined_bytes(corpus, tmp_path / "none", threshold=99.0) == b""


def test_rejects_tell_the_fate_of_every_line_that_is_no_sentence(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    rejects = tmp_path / "rejects.tsv"
    mine(config(corpus, rejects=rejects))
    header, *rows = [line.split("\t") for line in rejects.read_text("utf-8").splitlines()]
    assert header == ["reason", "side", "file", "line", "text"]
    assert [(row[0], row[1], row[3]) for row in rows] == [
        ("blank", "src", "61"),
        ("too_long", "src", "63"),
        ("duplicate", "src", "62"),
        ("duplicate", "src", "64"),
        ("blank", "tgt", "1"),
        ("duplicate", "tgt", "72"),
    ]


def test_where_the_output_cannot_go_is_told_before_any_work(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        mine(config(corpus, out=tmp_path / "missing" / "pairs", workdir=tmp_path / "work"))
    assert not (tmp_path / "work").exists()


def test_nothing_is_left_in_the_temporary_folder(
    corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(scratch))
    mine(config(corpus))
    with pytest.raises(BitextmineError):
        mine(config(corpus, model="no such model"))
    assert list(scratch.iterdir()) == []
