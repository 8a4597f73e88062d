"""Rows come to a device in the order asked for, and no buffer is filled before it is free."""

import threading
import time
from collections.abc import Iterator

import numpy as np
import pytest
import torch
from brute_force import clustered
from on_device import CPU, brought, side_of

from bitextmine.errors import EncoderError
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.gpu.device_rows import DeviceRows, Scales
from bitextmine.search.gpu.feed import Feed, Load, PlainCopies, RowBuffer

N, D, STEP = 300, 13, 128


@pytest.fixture
def side() -> SearchSide:
    """A side that nobody has measured."""
    vectors = clustered(N, 1, D)[0]
    vectors[::50] = 0
    return SearchSide.arrange(vectors, np.arange(N), name="src")


def loads(side: SearchSide, buffers: list[RowBuffer]) -> Iterator[Load]:
    """Ask for all rows in order, into buffers that take turns."""
    scales = Scales(side, 2)
    for turn, (start, stop) in enumerate(side.blocks(STEP)):
        buffer = buffers[turn % len(buffers)]
        yield Load(side, scales, buffer.rows.part(0, stop - start, start), claims=buffer)


def assert_brought(rows: DeviceRows, side: SearchSide, start: int) -> None:
    """Compare rows with the same ones of a side that was measured on the CPU."""
    measured = side_of(side.rows(0, N))
    stop = min(start + STEP, N)
    expected = brought(measured, start, stop, k=2)
    n = stop - start
    assert torch.equal(rows.vectors[:n, :D], expected.vectors[:n, :D])
    assert rows.vectors[:, D:].eq(0).all()
    assert torch.equal(rows.lengths[:n], expected.lengths[:n])
    scales = Scales(measured, 2)
    wanted = [scales.run(*run) for run in measured.blocks(STEP)][start // STEP]
    np.testing.assert_array_equal(rows.scales[: len(wanted)].numpy(), wanted)


def is_feeding() -> bool:
    return "bitextmine feed" in [thread.name for thread in threading.enumerate()]


@pytest.mark.parametrize("n_buffers", [1, 2])
def test_rows_are_brought_and_measured_in_the_order_asked_for(
    side: SearchSide, n_buffers: int
) -> None:
    buffers = [RowBuffer(STEP, D, CPU) for _ in range(n_buffers)]
    with Feed(loads(side, buffers), buffers, PlainCopies()) as feed:
        for turn, (start, _) in enumerate(side.blocks(STEP)):
            feed.wait()
            buffer = buffers[turn % n_buffers]
            assert_brought(buffer.rows, side, start)
            buffer.release()
    np.testing.assert_array_equal(side.lengths, side_of(side.rows(0, N)).lengths)
    assert not is_feeding()


def test_a_buffer_is_filled_again_only_when_it_is_released(side: SearchSide) -> None:
    buffer = RowBuffer(STEP, D, CPU)
    with Feed(loads(side, [buffer]), [buffer], PlainCopies()) as feed:
        feed.wait()
        time.sleep(0.05)  # in which the next rows would come
        assert_brought(buffer.rows, side, 0)
        buffer.release()
        feed.wait()
        assert_brought(buffer.rows, side, STEP)


def test_whoever_leaves_early_ends_the_thread_and_reads_no_more(side: SearchSide) -> None:
    buffer = RowBuffer(STEP, D, CPU)
    with Feed(loads(side, [buffer]), [buffer], PlainCopies()) as feed:
        feed.wait()
    assert not is_feeding()
    assert np.isnan(side.lengths[STEP:]).all()


def test_a_vector_that_cannot_be_used_is_told_where_it_is_waited_for(side: SearchSide) -> None:
    vectors = side.rows(0, N)
    vectors[200, 3] = np.nan
    broken = SearchSide.arrange(vectors, np.arange(N), name="src")
    buffers = [RowBuffer(STEP, D, CPU) for _ in range(2)]
    with Feed(loads(broken, buffers), buffers, PlainCopies()) as feed:
        feed.wait()
        with pytest.raises(EncoderError, match="src sentence 200 has a vector of length nan"):
            feed.wait()
    assert not is_feeding()


def test_an_error_in_reading_is_raised_where_it_is_waited_for(side: SearchSide) -> None:
    def failing() -> Iterator[Load]:
        raise OSError("the disk is gone")
        yield  # which makes it a generator

    with Feed(failing(), [], PlainCopies()) as feed, pytest.raises(OSError, match="disk is gone"):
        feed.wait()
    assert not is_feeding()
