"""What becomes of an encoder's vectors: the same bits in any company, and what they keep."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from toy import TOY_INFO

from bitextmine.arrays import Doubles, Floats, Halfs, Stored
from bitextmine.config import EncodeConfig, Store
from bitextmine.encode.projection import rotation
from bitextmine.encode.row_format import (
    LEAST_SAMPLE,
    MOST_SAMPLE,
    SAMPLE_PER_DIMENSION,
    RowFormat,
    RowMaker,
    load_projection,
    plain_rows,
    row_format,
    unit_halfs,
)
from bitextmine.errors import EncoderError, UsageError, WorkdirError
from bitextmine.workdir import Workdir


def vectors(count: int, dim: int, seed: int) -> Floats:
    """Vectors that lean to one side, as those of encoders do, some much longer than others."""
    drawn = np.random.default_rng(seed)
    lengths = 10.0 ** drawn.integers(-3, 4, (count, 1))
    return ((drawn.standard_normal((count, dim)) + 0.5) * lengths).astype(np.float32)


def matrix(form: RowFormat) -> Halfs:
    """Some orthonormal columns."""
    return rotation(form.encoder_dim, seed=3)[:, : form.dim].astype(np.float16)


def test_unusable_vectors_become_zero_and_are_counted() -> None:
    given = np.array([[3, 4], [0, 0], [np.nan, 1], [1, 0], [0, 2]], dtype=np.float32)
    halfs, unusable = unit_halfs(given, (5, 2), "toy")
    assert unusable == 2
    wanted = np.array([[0.6, 0.8], [0, 0], [0, 0], [1, 0], [0, 1]])
    np.testing.assert_allclose(halfs.astype(np.float64), wanted, atol=1e-3)


def test_vectors_of_another_length_are_refused() -> None:
    with pytest.raises(EncoderError, match=r"gave vectors of shape \(2, 3\)"):
        RowMaker(RowFormat(2, 2)).make(np.ones((2, 3), dtype=np.float32), 2, "toy")


@settings(max_examples=40, deadline=None)
@given(
    count=st.integers(1, 60),
    dim=st.integers(1, 70),
    share=st.floats(0.01, 1),
    store=st.sampled_from(["fp16", "int8"]),
    cut=st.integers(0, 60),
    threads=st.sampled_from([1, 2]),
    seed=st.integers(0, 1000),
)
def test_a_row_has_the_same_bits_in_any_company(
    count: int, dim: int, share: float, store: Store, cut: int, threads: int, seed: int
) -> None:
    form = RowFormat(max(1, int(dim * share)), dim, store)
    given = vectors(count, dim, seed)
    given[seed % count] = 0
    rows = RowMaker(form, matrix(form) if form.is_projected else None)
    together, _ = rows.make(given, count, "toy")
    pieces = [piece for piece in (given[:cut], given[cut:]) if len(piece)]
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    apart = [rows.make(piece, len(piece), "toy")[0] for piece in pieces]
    alone = [rows.make(given[row : row + 1], 1, "toy")[0] for row in range(count)]
    torch.set_num_threads(before)
    assert np.concatenate(apart).tobytes() == together.tobytes()
    assert np.concatenate(alone).tobytes() == together.tobytes()


@pytest.mark.parametrize("store", ["fp16", "int8"])
def test_rows_are_what_exact_arithmetic_gives(store: Store) -> None:
    form = RowFormat(20, 50, store)
    given = vectors(9, 50, seed=5)
    halfs, _ = unit_halfs(given, given.shape, "toy")
    # Python's whole numbers: every float16 is a multiple of 2^-24.
    left, right = ((side * 2.0**24).astype(np.int64).astype(object) for side in (
        halfs.astype(np.float64), matrix(form).astype(np.float64)
    ))  # fmt: skip
    exact = left @ right
    rows, _ = RowMaker(form, matrix(form)).make(given, 9, "toy")
    for row, wanted in zip(rows, exact, strict=True):
        largest = max(abs(number) for number in wanted)
        if store == "int8":
            assert row.tolist() == [round(127 * number / largest) for number in wanted]
        else:
            length = sum(number * number for number in wanted) ** 0.5
            np.testing.assert_allclose(
                row.astype(np.float64), [number / length for number in wanted], rtol=6e-4, atol=1e-7
            )


def test_other_devices_give_the_same_bits() -> None:
    form = RowFormat(20, 50)
    given = vectors(40, 50, seed=6)
    on_cpu, _ = RowMaker(form, matrix(form)).make(given, 40, "toy")
    by_torch, _ = RowMaker(form, matrix(form), "cpu:0").make(given, 40, "toy")
    assert on_cpu.tobytes() == by_torch.tobytes()


@pytest.mark.parametrize(("store", "error"), [("fp16", 1e-3), ("int8", 0.02)])
def test_a_rotation_keeps_all_cosines(store: Store, error: float) -> None:
    form = RowFormat(96, 96, store)
    given = vectors(30, 96, seed=7)
    given[:, 5] *= 40  # an outlier dimension, as language models have
    rows: Stored = given.astype(np.float16)
    if form.is_projected:
        rows, _ = RowMaker(form, rotation(96, seed=1).astype(np.float16)).make(given, 30, "toy")
    np.testing.assert_allclose(cosines(rows), cosines(given), atol=error)


def cosines(rows: Stored) -> Doubles:
    units: Doubles = rows / np.linalg.norm(rows.astype(np.float64), axis=1, keepdims=True)
    return units @ units.T


def test_int8_rows_use_the_whole_range() -> None:
    form = RowFormat(8, 8, "int8")
    rows, _ = RowMaker(form, matrix(form)).make(vectors(20, 8, seed=8), 20, "toy")
    assert rows.dtype == np.int8
    assert np.abs(rows.astype(int)).max(axis=1).tolist() == [127] * 20


@pytest.mark.parametrize("store", ["fp16", "int8"])
def test_vectors_outside_the_kept_dimensions_become_zero_and_are_counted(store: Store) -> None:
    form = RowFormat(1, 2, store)
    given = np.array([[1, 0], [0, 1], [0, 0], [np.inf, 0], [1, 1]], dtype=np.float32)
    rows, unusable = RowMaker(form, np.array([[1], [0]], np.float16)).make(given, 5, "toy")
    assert unusable == 3
    assert (rows != 0).ravel().tolist() == [True, False, False, False, True]


def test_a_small_share_in_the_kept_dimensions_still_has_a_direction() -> None:
    form = RowFormat(2, 3)
    given = np.array([[3e-5, 4e-5, 1]], dtype=np.float32)
    rows, unusable = RowMaker(form, np.eye(3, 2, dtype=np.float16)).make(given, 1, "toy")
    assert unusable == 0
    np.testing.assert_allclose(rows.astype(np.float64), [[0.6, 0.8]], atol=1e-2)


def test_what_is_asked_for_decides_the_format() -> None:
    plain = plain_rows(TOY_INFO)
    assert row_format(EncodeConfig(), TOY_INFO) == plain
    assert row_format(EncodeConfig(dim=64), TOY_INFO) == plain
    assert not plain.is_projected
    shorter = row_format(EncodeConfig(dim=16, store="int8", seed=5), TOY_INFO)
    assert shorter == RowFormat(16, 64, "int8", 5)
    assert shorter.identity()["projection"] == {"of": 64, "sample": 5000, "seed": 5}
    assert row_format(EncodeConfig(store="int8"), TOY_INFO).is_projected


def test_a_sample_grows_with_the_dimensions() -> None:
    assert RowFormat(64, 384).sample == LEAST_SAMPLE
    assert RowFormat(64, 4096).sample == 4096 * SAMPLE_PER_DIMENSION
    assert RowFormat(64, 1 << 20).sample == MOST_SAMPLE
    assert RowFormat(64, 64, "int8").sample == 0


def test_more_dimensions_than_there_are_are_refused() -> None:
    with pytest.raises(UsageError, match="--dim is 65, but the vectors of toy have 64") as error:
        row_format(EncodeConfig(dim=65), TOY_INFO)
    assert error.value.hint == "give at most 64, or leave --dim out"


@pytest.mark.parametrize("damage", ["missing", "cut", "of another shape"])
def test_a_damaged_projection_is_refused(tmp_path: Path, damage: str) -> None:
    workdir = Workdir(tmp_path / "o'work ä")
    workdir.create()
    form = RowFormat(20, 50)
    assert load_projection(workdir, plain_rows(replace(TOY_INFO, dim=50))) is None
    if damage != "missing":
        np.save(workdir.projection, matrix(form if damage == "cut" else RowFormat(21, 50)))
    if damage == "cut":
        workdir.projection.write_bytes(workdir.projection.read_bytes()[:-1])
    with pytest.raises(WorkdirError, match=r"cannot use .*projection\.npy"):
        load_projection(workdir, form)
