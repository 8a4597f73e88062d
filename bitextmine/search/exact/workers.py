"""Threads that share out blocks, each computing its own on one core."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from threading import Lock
from typing import Generic, TypeVar

import torch

Item = TypeVar("Item")


class _Shared(Generic[Item]):
    """An iterator that several threads may draw from, and one may stop."""

    def __init__(self, items: Iterable[Item]) -> None:
        self._items = iter(items)
        self._lock = Lock()
        self._stopped = False

    def __iter__(self) -> Iterator[Item]:
        return self

    def __next__(self) -> Item:
        with self._lock:
            if self._stopped:
                raise StopIteration
            return next(self._items)

    def stop(self) -> None:
        self._stopped = True


def share_out(
    items: Iterable[Item], work: Callable[[Iterator[Item]], None], n_workers: int
) -> None:
    """Run `work` in threads that draw from the same items, until none are left.

    One core a block, not all cores on each: threads that meet after every operation all wait
    whenever one of them is late, which on a shared machine halves the speed.
    """
    n_threads = torch.get_num_threads()
    shared = _Shared(items)
    with ThreadPoolExecutor(n_workers, initializer=torch.set_num_threads, initargs=(1,)) as threads:
        try:
            running = [threads.submit(work, iter(shared)) for _ in range(n_workers)]
            wait(running, return_when=FIRST_EXCEPTION)
        finally:
            shared.stop()  # after an error or an interrupt the others end with their block
    torch.set_num_threads(n_threads)  # parts of torch take a worker's 1 for everyone
    for worker in running:
        worker.result()
