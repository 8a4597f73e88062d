"""Threads in which torch computes on one core each."""

import threading
from concurrent.futures import ThreadPoolExecutor

import torch


def single_threaded_workers(count: int, name: str) -> ThreadPoolExecutor:
    """Start threads in which torch uses one thread, leaving all other threads as they are."""
    before = torch.get_num_threads()
    all_started = threading.Barrier(count + 1)
    workers = ThreadPoolExecutor(count, name, initializer=_use_one_thread)
    for _ in range(count):
        workers.submit(all_started.wait)
    all_started.wait()
    torch.set_num_threads(before)
    return workers


def _use_one_thread() -> None:
    """Give torch one thread in the calling thread."""
    torch.set_num_threads(1)
    # A thread takes the setting over at its first look, and keeps it from then on.
    torch.get_num_threads()
