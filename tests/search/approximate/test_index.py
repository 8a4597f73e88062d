"""An index depends on the sentences, the factory string and the seed, and on nothing else."""

from pathlib import Path

import numpy as np
import pytest
from indexed import ENOUGH, translations

from bitextmine.errors import EncoderError, OutputError, UsageError
from bitextmine.search.approximate.factory import HNSW, ivf_factory
from bitextmine.search.approximate.index import build_index, draw_training_rows
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.rows import Rows


def built(
    path: Path,
    rows: Rows,
    numbers: np.ndarray[tuple[int], np.dtype[np.int64]],
    factory: str,
    *,
    seed: int = 1,
    threads: int = 1,
) -> bytes:
    build_index(path, rows, numbers, factory=factory, seed=seed, threads=threads, memory=ENOUGH)
    content = path.read_bytes()
    path.unlink()
    return content


@pytest.mark.parametrize(
    "factory", [ivf_factory(1500, 32), HNSW, "PCAR16,IVF16,PQ8x4fs", "RR32,IVF16,RaBitQ"]
)
def test_the_same_bytes_whatever_the_threads_and_shards(factory: str, tmp_path: Path) -> None:
    rows, _ = translations(1500, 1, 32)
    shuffled = np.random.default_rng(2).permutation(1500)
    alone = built(tmp_path / "index", Rows([rows]), np.arange(1500), factory)
    parts = Rows(np.array_split(rows[shuffled], 7))
    assert built(tmp_path / "index", parts, shuffled, factory, threads=3) == alone


def test_another_seed_gives_another_index(tmp_path: Path) -> None:
    rows, numbers = Rows([translations(1500, 1, 32)[0]]), np.arange(1500)
    first, second = (built(tmp_path / "i", rows, numbers, "IVF30,Flat", seed=s) for s in (1, 2))
    assert first != second


def test_a_finished_index_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "index"
    path.write_bytes(b"finished")
    rows = Rows([translations(30, 1, 8)[0]])
    build_index(path, rows, np.arange(30), factory="Flat", seed=1, threads=1, memory=ENOUGH)
    assert path.read_bytes() == b"finished"


def test_progress_counts_every_vector(tmp_path: Path) -> None:
    counted: list[int] = []
    rows = Rows([translations(5000, 1, 8)[0]])
    build_index(
        tmp_path / "index",
        rows,
        np.arange(5000),
        factory="Flat",
        seed=1,
        threads=1,
        memory=ENOUGH,
        progress=counted.append,
    )
    assert sum(counted) == 5000
    assert len(counted) > 1


def test_too_little_memory_is_told_before_work_begins(tmp_path: Path) -> None:
    rows = Rows([translations(5000, 1, 64)[0]])
    with pytest.raises(UsageError, match="the index Flat over 5,000 sentences takes") as refusal:
        build_index(
            tmp_path / "index",
            rows,
            np.arange(5000),
            factory="Flat",
            seed=1,
            threads=1,
            memory=1000,
        )
    assert "--memory" in refusal.value.hint
    assert not list(tmp_path.iterdir())


def test_what_faiss_cannot_train_is_told_in_two_lines(tmp_path: Path) -> None:
    rows = Rows([translations(100, 1, 8)[0]])
    with pytest.raises(UsageError, match="cannot build it over 100 vectors"):
        build_index(
            tmp_path / "index",
            rows,
            np.arange(100),
            factory="PQ4",
            seed=1,
            threads=1,
            memory=ENOUGH,
        )
    assert not list(tmp_path.iterdir())


def test_vectors_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    rows = translations(100, 1, 8)[0]
    rows[3, 2] = np.nan
    with pytest.raises(EncoderError, match="indexed sentence 3"):
        build_index(
            tmp_path / "index",
            Rows([rows]),
            np.arange(100),
            factory="Flat",
            seed=1,
            threads=1,
            memory=ENOUGH,
        )


def test_a_missing_folder_is_told(tmp_path: Path) -> None:
    rows = Rows([translations(30, 1, 8)[0]])
    with pytest.raises(OutputError, match="no such file"):
        build_index(
            tmp_path / "nowhere" / "index",
            rows,
            np.arange(30),
            factory="Flat",
            seed=1,
            threads=1,
            memory=ENOUGH,
        )


@pytest.mark.parametrize("n_rows", [1, 7, 100, 500])
def test_a_sample_has_distinct_sentences_from_everywhere(n_rows: int) -> None:
    rows = np.zeros((100, 101), np.float16)
    rows[np.arange(100), np.arange(100)] = 1
    side = SearchSide.prepare(rows, np.arange(100), name="src")
    sample = draw_training_rows(side, n_rows, seed=5)
    drawn = sample.argmax(axis=1)
    assert len(drawn) == min(n_rows, 100)
    assert np.all(np.diff(drawn) > 0)
    bounds = np.arange(len(drawn) + 1) * 100 // len(drawn)
    assert np.all((bounds[:-1] <= drawn) & (drawn < bounds[1:]))
