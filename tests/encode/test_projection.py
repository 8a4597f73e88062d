"""Fewer dimensions: fitted once on a sample, the same vectors however it ran."""

import logging
import math
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from toy import TOY_INFO, ToyEncoder

from bitextmine import MineConfig, mine
from bitextmine.arrays import Doubles, Stored
from bitextmine.config import Store
from bitextmine.counts import count_shards
from bitextmine.encode import row_format as storing
from bitextmine.encode import stage as encode_stage
from bitextmine.encode.choice import ModelChoice
from bitextmine.encode.projection import principal_axes, projection_notes, rotation, second_moments
from bitextmine.encoders.base import Encoded
from bitextmine.errors import EncoderError, OutputError, UsageError, WorkdirError
from bitextmine.pipeline import encode_workdir, shard_workdir
from bitextmine.workdir import SIDES, Side, Workdir

pytestmark = pytest.mark.usefixtures("toy")


@pytest.fixture
def corpus(tmp_path: Path) -> tuple[Path, Path]:
    """70 src and 90 tgt sentences."""
    paths = tmp_path / "the 'src' file", tmp_path / "die tgt-Datei ä"
    for path, count in zip(paths, (70, 90), strict=True):
        words = (f"{path.name[:7]} {n} on {n * 7 % 11} of {n * n % 97}" for n in range(count))
        path.write_text("\n".join(words) + "\n", "utf-8")
    return paths


def encoded(corpus: tuple[Path, Path], root: Path, **flags: Any) -> Workdir:
    """Shard and encode in this work directory."""
    workdir, config = sharded(corpus, root, **flags)
    encode_workdir(workdir.root, config)
    return workdir


def sharded(corpus: tuple[Path, Path], root: Path, **flags: Any) -> tuple[Workdir, MineConfig]:
    src, tgt = map(str, corpus)
    given = {"model": "toy", "src_lang": "de", "tgt_lang": "en", **flags}
    config, workdir = MineConfig(src=(src,), tgt=(tgt,), **given), Workdir(root)
    workdir.create()
    shard_workdir(workdir.root, config)
    return workdir, config


def rows_of(workdir: Workdir, side: Side) -> Stored:
    """All rows of a side, by sentence number."""
    shards = [workdir.shard(side, shard) for shard in range(count_shards(workdir, side))]
    rows = np.concatenate([np.load(files.embeddings, allow_pickle=False) for files in shards])
    ordered: Stored = np.empty_like(rows)
    ordered[np.concatenate([np.load(files.numbers) for files in shards])] = rows
    return ordered


def bits(workdir: Workdir) -> list[bytes]:
    return [rows_of(workdir, side).tobytes() for side in SIDES]


@settings(
    max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    shard_size=st.sampled_from([9, 20, 1000]),
    chunk=st.sampled_from([1, 5, 1000]),
    threads=st.sampled_from([1, 2]),
    dim=st.sampled_from([1, 7, 64]),
    store=st.sampled_from(["fp16", "int8"]),
)
def test_shards_chunks_and_threads_do_not_change_a_bit(
    corpus: tuple[Path, Path],
    tmp_path_factory: pytest.TempPathFactory,
    shard_size: int,
    chunk: int,
    threads: int,
    dim: int,
    store: Store,
) -> None:
    tmp_path = tmp_path_factory.mktemp("many runs")
    plain = encoded(corpus, tmp_path / "plain", dim=dim, store=store)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ToyEncoder, "info", replace(TOY_INFO, chunk_rows=chunk))
        other = encoded(
            corpus, tmp_path / "other", dim=dim, store=store, shard_size=shard_size, threads=threads
        )
    assert bits(other) == bits(plain)
    if other.projection.exists():
        assert other.projection.read_bytes() == plain.projection.read_bytes()


@pytest.mark.parametrize(("dim", "store"), [(48, "fp16"), (None, "int8"), (48, "int8")])
def test_translations_are_still_found(tmp_path: Path, dim: int | None, store: Store) -> None:
    paths = tmp_path / "src", tmp_path / "tgt"
    for path, word in zip(paths, ("Satz", "sentence"), strict=True):
        lines = (f"{word} {n} und {n * 7 % 31} mit {n * n % 97}\n" for n in range(60))
        path.write_text("".join(lines), "utf-8")
    src, tgt = ((str(path),) for path in paths)
    given: dict[str, Any] = {"model": "toy", "src_lang": "de", "tgt_lang": "en", "threshold": 1.1}
    mined = [
        mine(MineConfig(src=src, tgt=tgt, dim=dim, store=store, shard_size=size, **given))
        for size in (1000, 20)
    ]
    assert mined[0].pairs == mined[1].pairs
    assert sum(pair.src.split()[1] == pair.tgt.split()[1] for pair in mined[0].pairs) >= 57


class Killed(BaseException):
    """Stands for the moment at which a run dies."""


def test_a_run_that_died_at_any_file_goes_on_to_the_same_bits(
    corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ToyEncoder, "info", replace(TOY_INFO, chunk_rows=50))
    flags: dict[str, Any] = {"dim": 10, "store": "int8"}
    plain = encoded(corpus, tmp_path / "plain", **flags)
    fresh, config = sharded(corpus, tmp_path / "fresh", **flags)
    rename, countdown = Path.replace, [-1]

    def dying(self: Path, target: Path) -> Path:
        if countdown[0] == 0:
            raise Killed
        countdown[0] -= 1
        return rename(self, target)

    monkeypatch.setattr(Path, "replace", dying)
    deaths = 0
    while True:
        work = Workdir(shutil.copytree(fresh.root, tmp_path / f"work {deaths}"))
        countdown[0] = deaths
        try:
            encode_workdir(work.root, config)
            break
        except Killed:
            countdown[0] = -1
        encode_workdir(work.root, config)
        assert bits(work) == bits(plain)
        assert not list(work.root.glob("*/sample"))
        deaths += 1
    assert deaths > 15  # every file of the stage was the last one once


@pytest.mark.parametrize("store", ["fp16", "int8"])
def test_vectors_of_few_directions_lose_nothing(
    corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, store: Store
) -> None:
    drawn = np.random.default_rng(4).standard_normal((12, 64))
    encode = ToyEncoder.encode

    def flat(self: ToyEncoder, sentences: Sequence[str]) -> Encoded:
        found = encode(self, sentences).embeddings[:, :12] @ drawn
        units = found / np.linalg.norm(found, axis=1, keepdims=True)
        return Encoded(units.astype(np.float32))

    monkeypatch.setattr(ToyEncoder, "encode", flat)
    full = [rows_of(encoded(corpus, tmp_path / "full"), side) for side in SIDES]
    short = encoded(corpus, tmp_path / "short", dim=12, store=store)
    assert projection_notes(short) == {"dim": 12, "of": 64, "sentences": 160, "kept": 1.0}
    for side, rows in zip(SIDES, full, strict=True):
        error = 0.02 if store == "int8" else 2e-3
        np.testing.assert_allclose(gram(rows_of(short, side)), gram(rows), atol=error)


def gram(rows: Stored) -> Doubles:
    units: Doubles = rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return units @ units.T


def test_a_larger_corpus_is_looked_at_in_part(
    corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(storing, "LEAST_SAMPLE", 30)
    monkeypatch.setattr(storing, "SAMPLE_PER_DIMENSION", 0)
    one = encoded(corpus, tmp_path / "one", dim=8)
    other = encoded(corpus, tmp_path / "other", dim=8, seed=2)
    assert projection_notes(one)["sentences"] == 60
    assert one.projection.read_bytes() != other.projection.read_bytes()


def test_fewer_sentences_than_dimensions_are_refused(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    for path in corpus:
        path.write_text("".join(f"sentence {n}\n" for n in range(6)), "utf-8")
    with pytest.raises(UsageError, match="--dim is 13, but there are only 12 sent") as error:
        encoded(corpus, tmp_path / "work", dim=13)
    assert error.value.hint == "give at most 12, or leave --dim out"
    assert rows_of(encoded(corpus, tmp_path / "other", dim=12), "src").shape == (6, 12)


def test_a_dimension_that_the_encoder_lacks_is_refused_before_any_work(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    src, tgt = ((str(path),) for path in corpus)
    config = MineConfig(src=src, tgt=tgt, model="toy", dim=65, workdir=tmp_path / "work")
    with pytest.raises(UsageError, match="--dim is 65, but the vectors of toy have 64"):
        mine(config)
    assert not (tmp_path / "work").exists()


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({}, "dim: 16 there, 64 now"),
        ({"dim": 15}, "dim: 16 there, 15 now"),
        ({"dim": 16, "store": "int8"}, "stored: 'float16' there, 'int8' now"),
        ({"dim": 16, "seed": 2}, "projection: {'of': 64, 'sample': 5000, 'seed': 1} there"),
    ],
)
def test_a_work_directory_of_another_format_is_refused(
    corpus: tuple[Path, Path], tmp_path: Path, changed: dict[str, Any], named: str
) -> None:
    encoded(corpus, tmp_path / "work", dim=16)
    with pytest.raises(WorkdirError, match=named):
        encoded(corpus, tmp_path / "work", **changed)


def test_all_dimensions_are_no_projection(corpus: tuple[Path, Path], tmp_path: Path) -> None:
    plain = encoded(corpus, tmp_path / "plain")
    full = encoded(corpus, tmp_path / "full", dim=64)
    assert bits(full) == bits(plain)
    assert not full.projection.exists()
    assert projection_notes(full) == {}


def test_a_projection_is_fitted_once(
    corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = encoded(corpus, tmp_path / "work", dim=9)
    before = bits(work)
    work.shard("tgt", 0).encoded.unlink()
    work.done("encode").unlink()
    for name in ("draw_sample", "encode_sample", "fit_projection"):
        monkeypatch.setattr(encode_stage, name, None)
    assert bits(encoded(corpus, tmp_path / "work", dim=9)) == before


def test_a_projection_that_went_is_not_fitted_again(
    corpus: tuple[Path, Path], tmp_path: Path
) -> None:
    work = encoded(corpus, tmp_path / "work", dim=9)
    work.shard("tgt", 0).encoded.unlink()
    work.projection.unlink()
    with pytest.raises(WorkdirError, match="it is missing, and vectors were made with it"):
        encoded(corpus, tmp_path / "work", dim=9)


def test_a_sample_that_a_twin_has_done_with_is_not_needed(
    corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags: dict[str, Any] = {"dim": 10, "store": "int8"}
    plain = encoded(corpus, tmp_path / "plain", **flags)
    workdir, config = sharded(corpus, tmp_path / "twins", **flags)
    encode = ToyEncoder.encode

    def overtaken(self: ToyEncoder, sentences: Sequence[str]) -> Encoded:
        shutil.copy(plain.projection, workdir.projection)
        for side in SIDES:
            shutil.rmtree(workdir.sample(side).folder, ignore_errors=True)
        return encode(self, sentences)

    monkeypatch.setattr(ToyEncoder, "encode", overtaken)
    encode_workdir(workdir.root, config)
    assert bits(workdir) == bits(plain)


def test_a_sample_that_went_without_a_projection_is_an_error(
    corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workdir, config = sharded(corpus, tmp_path / "work", dim=10)
    encode = ToyEncoder.encode

    def robbed(self: ToyEncoder, sentences: Sequence[str]) -> Encoded:
        shutil.rmtree(workdir.sample("src").folder)
        return encode(self, sentences)

    monkeypatch.setattr(ToyEncoder, "encode", robbed)
    with pytest.raises(OutputError, match="sample"):
        encode_workdir(workdir.root, config)


def test_a_sample_without_a_usable_vector_is_refused(
    corpus: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    encode = ToyEncoder.encode
    monkeypatch.setattr(
        ToyEncoder, "encode", lambda self, s: Encoded(encode(self, s).embeddings * 0)
    )
    with pytest.raises(EncoderError, match="non-finite vectors for all 70 sentences of a sample"):
        encoded(corpus, tmp_path / "work", dim=9)


def test_a_threshold_of_more_dimensions_is_warned_of(
    corpus: tuple[Path, Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        work = encoded(corpus, tmp_path / "work", dim=9)
    assert "measured with 64, and drops more pairs with 9" in caplog.text
    assert ModelChoice.of(work).warnings
    assert not ModelChoice.of(encoded(corpus, tmp_path / "full", store="int8")).warnings


@given(st.integers(0, 1000), st.sampled_from([1, 2]))
@settings(max_examples=15, deadline=None)
def test_moments_are_exact_in_any_order_and_number_of_threads(seed: int, threads: int) -> None:
    drawn = np.random.default_rng(seed)
    rows = drawn.standard_normal((50, 9)) + 0.3
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16)
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    shuffled = second_moments(drawn.permutation(rows))
    torch.set_num_threads(before)
    assert shuffled.tobytes() == second_moments(rows).tobytes()
    halves = rows.astype(np.float64)
    exact = math.fsum(halves[:, 2] * halves[:, 3]) / 50
    assert shuffled[2, 3] == pytest.approx(exact, abs=1e-6)


def test_zero_rows_do_not_count() -> None:
    rows = np.eye(3, dtype=np.float16)[[0, 1, 1]]
    with_zero = np.concatenate([rows, np.zeros((2, 3), np.float16)])
    np.testing.assert_array_equal(second_moments(with_zero), second_moments(rows))


def test_axes_are_orthonormal_and_the_longest_come_first() -> None:
    drawn = np.random.default_rng(2)
    directions = np.linalg.qr(drawn.standard_normal((6, 6)))[0]
    values = np.array([5.0, 4, 3, 2, 1, 0.5])
    axes, share = principal_axes(directions * values @ directions.T, 4)
    np.testing.assert_allclose(axes.T @ axes, np.eye(4), atol=1e-12)
    np.testing.assert_allclose(np.abs((axes * directions[:, :4]).sum(axis=0)), 1, atol=1e-12)
    assert share == pytest.approx(14 / 15.5)
    assert all(column[np.abs(column).argmax()] > 0 for column in axes.T)


@pytest.mark.parametrize("dim", [1, 2, 3, 64, 100])
def test_a_rotation_is_orthogonal_and_spreads_every_dimension(dim: int) -> None:
    turned = rotation(dim, seed=1)
    np.testing.assert_allclose(turned.T @ turned, np.eye(dim), atol=1e-12)
    assert np.abs(turned).max() <= math.sqrt(2 / dim) + 1e-12
