"""Rows on their way from disk to a device, while the device computes."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from queue import SimpleQueue
from threading import Thread
from types import TracebackType
from typing import Literal

import numpy as np
import torch
from torch import Tensor
from torch.cuda import Stream

from bitextmine.arrays import Stored
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.gpu.device_rows import DeviceRows, Scales
from bitextmine.search.gpu.kernels import PLAIN, Kernels

_PINNED_BYTES = 32 << 20  # of each buffer that a GPU reads from
_PINNED_BUFFERS = 3  # One is being filled, one is being read, and one is in between.
_DTYPES = {np.dtype(np.float16): torch.float16, np.dtype(np.int8): torch.int8}
_READ_BYTES = 1 << 20  # at a time, which stays in cache on its way to a buffer

# A moment in the work of a GPU, to wait for; None where nothing lags behind.
Event = torch.cuda.Event | None


def record_event(device: torch.device) -> Event:
    """Record how far the work is that this thread has given to the device."""
    return torch.cuda.current_stream(device).record_event() if device.type == "cuda" else None


@cache  # for good: libraries keep a workspace for each stream that ever used them
def stream_of(device: torch.device, work: Literal["search", "products", "copies"]) -> Stream:
    """A queue of work for a GPU, beside the one that torch uses."""
    # All else is short, and done while long products run: it should not wait for those.
    new: Callable[..., Stream] = Stream  # its own hints say nothing
    return new(device, priority=0 if work == "products" else -1)


class RowBuffer:
    """Memory for rows on a device, which is filled again and again."""

    def __init__(self, n: int, d: int, device: torch.device) -> None:
        self.rows = DeviceRows.allocate(n, d, device)
        self._released: SimpleQueue[Event] = SimpleQueue()
        self.release()

    def release(self) -> None:
        """Let it be filled again, once the device has done what this thread gave it."""
        self._released.put(record_event(self.rows.vectors.device))

    def abandon(self) -> None:
        """Let whoever waits for it go on, since nobody will fill it any more."""
        self._released.put(None)

    def claim(self) -> Event:
        """Wait until it is released, and take it; says for what the device must wait."""
        return self._released.get()


@dataclass(frozen=True)
class Load:
    """A run of positions to bring to a device, into a part of a buffer.

    The first one into a buffer `claims` it, which waits until it is free.
    """

    side: SearchSide
    scales: Scales
    into: DeviceRows
    claims: RowBuffer | None = None


class PlainCopies:
    """Brings rows to the CPU's own memory."""

    def bring(self, load: Load, released: Event) -> Event:
        """Copy the rows of a load."""
        into = load.into
        stored = load.side.rows(into.start, into.start + into.n)
        into.vectors[: into.n, : stored.shape[1]] = torch.from_numpy(stored)
        _measure(load, PLAIN)  # Triton's interpreter serves one thread at a time
        return None

    def close(self) -> None:
        """Nothing is left to wait for."""


class PinnedCopies:
    """Brings rows to a GPU, through buffers that it reads while its other work goes on."""

    def __init__(self, device: torch.device, threads: int, kernels: Kernels) -> None:
        self._device, self._kernels = device, kernels
        self._stream = stream_of(device, "copies")
        self._readers = ThreadPoolExecutor(threads, "bitextmine reader")
        self._pinned = [
            torch.empty(_PINNED_BYTES, dtype=torch.uint8, pin_memory=True)
            for _ in range(_PINNED_BUFFERS)
        ]
        self._read: list[Event] = [None] * _PINNED_BUFFERS
        self._turn = 0

    def bring(self, load: Load, released: Event) -> Event:
        """Read the rows of a load, and give their copies to the GPU."""
        into, step = load.into, max(1, _PINNED_BYTES // _row_bytes(load.side))
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            if released is not None:
                released.wait()
            for first in range(0, into.n, step):
                n = min(step, into.n - first)
                self._bring(load.side, into.start + first, into.vectors[first : first + n])
            _measure(load, self._kernels)
            return record_event(self._device)

    def _bring(self, side: SearchSide, start: int, into: Tensor) -> None:
        """Bring no more rows than a buffer holds."""
        self._turn = (self._turn + 1) % _PINNED_BUFFERS
        read = self._read[self._turn]
        if read is not None:
            read.synchronize()
        row_bytes = _row_bytes(side)
        rows = self._pinned[self._turn][: len(into) * row_bytes].view(_DTYPES[side.vectors.dtype])
        rows = rows.view(len(into), -1)
        step = max(1, _READ_BYTES // row_bytes)
        fill = partial(_fill, rows.numpy(), side, start, step)
        list(self._readers.map(fill, range(0, len(rows), step)))
        if rows.dtype != into.dtype:  # int8 becomes float16 on the GPU: exact, and fewer bytes
            rows = rows.to(self._device, non_blocking=True)
        into[:, : rows.shape[1]].copy_(rows, non_blocking=True)
        self._read[self._turn] = record_event(self._device)

    def close(self) -> None:
        """Wait until nothing is being copied."""
        self._readers.shutdown()
        self._stream.synchronize()


def _fill(buffer: Stored, side: SearchSide, start: int, step: int, first: int) -> None:
    """Read a few rows into their place in a buffer."""
    stop = min(first + step, len(buffer))
    side.rows(start + first, start + stop, out=buffer[first:stop])


def _row_bytes(side: SearchSide) -> int:
    return side.vectors.shape[1] * side.vectors.dtype.itemsize


def _measure(load: Load, kernels: Kernels) -> None:
    """Measure rows where they are now, which is sooner done than on the CPU; wait for them."""
    into, stop = load.into, load.into.start + load.into.n
    load.side.set_lengths(into.start, into.measured(kernels).cpu().numpy())
    into.lengths[: into.n] = torch.from_numpy(load.side.lengths[into.start : stop])
    into.scales.copy_(torch.from_numpy(load.scales.run(into.start, stop)))


Copies = PlainCopies | PinnedCopies


class Feed:
    """Brings loads to a device, in the order asked for, from a thread of its own.

    Use it as a context: however that ends, the thread ends too, and nothing is being copied.
    """

    def __init__(self, loads: Iterable[Load], buffers: Sequence[RowBuffer], copies: Copies) -> None:
        self._loads, self._buffers, self._copies = loads, buffers, copies
        self._loaded: SimpleQueue[Event | BaseException] = SimpleQueue()
        self._stopped = False
        self._thread = Thread(target=self._run, name="bitextmine feed", daemon=True)

    def __enter__(self) -> "Feed":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stopped = True
        for buffer in self._buffers:
            buffer.abandon()  # the thread may wait for one
        self._thread.join()
        self._copies.close()

    def wait(self) -> None:
        """Wait for the next load, as must what the device is given from now on.

        Raises
        ------
        EncoderError
            A vector cannot be used.
        Exception
            Whatever else reading raised.
        """
        loaded = self._loaded.get()
        if isinstance(loaded, BaseException):
            raise loaded
        if loaded is not None:
            loaded.wait()

    def _run(self) -> None:
        try:
            for load in self._loads:
                released = load.claims.claim() if load.claims else None
                if self._stopped:
                    return
                self._loaded.put(self._copies.bring(load, released))
        except BaseException as error:  # raised again where it is waited for
            self._loaded.put(error)
