"""Threads share out blocks: each is done once, on one core, and an interrupt ends all of them."""

import signal
import threading
import time
from collections.abc import Iterator
from itertools import chain

import pytest
import torch

from bitextmine.search.exact.workers import share_out


@pytest.mark.parametrize("n_workers", [1, 4])
def test_every_item_is_done_once(n_workers: int) -> None:
    done: list[list[int]] = []
    share_out(range(1000), lambda items: done.append(list(items)), n_workers)
    assert len(done) == n_workers
    assert sorted(chain.from_iterable(done)) == list(range(1000))


def test_items_are_made_by_one_thread_at_a_time() -> None:
    def slowly() -> Iterator[int]:  # a generator that two threads enter at once raises
        for item in range(40):
            time.sleep(0.001)
            yield item

    done: list[int] = []
    share_out(slowly(), done.extend, 4)
    assert sorted(done) == list(range(40))


def test_each_worker_computes_on_one_core_and_the_caller_on_as_many_as_before() -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        seen: list[int] = []
        share_out(range(4), lambda items: seen.extend(torch.get_num_threads() for _ in items), 2)
        assert seen == [1] * 4
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_an_error_of_a_worker_reaches_the_caller() -> None:
    def fail_at_50(items: Iterator[int]) -> None:
        for item in items:
            if item == 50:
                raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        share_out(range(100), fail_at_50, 3)


def test_after_an_error_the_others_end_with_the_item_in_hand() -> None:
    done: list[int] = []

    def fail_at_10(items: Iterator[int]) -> None:
        for item in items:
            if item == 10:
                raise OSError("the disk is gone")
            time.sleep(0.001)
            done.append(item)

    with pytest.raises(OSError, match="the disk is gone"):
        share_out(range(20_000), fail_at_10, 3)
    assert len(done) < 10_000


def test_after_an_interrupt_every_worker_ends_with_the_item_in_hand() -> None:
    done: list[int] = []

    def interrupt_at_10(items: Iterator[int]) -> None:
        for item in items:
            if item == 10:
                signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)
            time.sleep(0.01)
            done.append(item)

    with pytest.raises(KeyboardInterrupt):
        share_out(range(500), interrupt_at_10, 3)
    assert len(done) < 250
    assert sorted(done) == list(range(len(done)))


def test_an_interrupt_while_items_are_made_reaches_the_caller() -> None:
    def interrupted() -> Iterator[int]:
        yield 1
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        share_out(interrupted(), lambda items: [None for _ in items].clear(), 2)


def test_without_items_every_worker_ends_at_once() -> None:
    done: list[list[int]] = []
    share_out([], lambda items: done.append(list(items)), 3)
    assert done == [[], [], []]
