"""One search on a device, of fixed sizes: what is brought there, computed, and taken back.

As many rows of one side as fit are resident at a time, and for each such run the whole other
side streams past, chunk by chunk. A chunk meets the resident rows block by block, while `feed`
brings the next one.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from bitextmine.progress import Advance
from bitextmine.search.exact.precision import device_error
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.gpu.block import BlockPair, DeviceBlock
from bitextmine.search.gpu.device_lists import DeviceLists
from bitextmine.search.gpu.device_rows import CosineScorer, DeviceRows, Scales
from bitextmine.search.gpu.feed import Copies, Feed, Load, PinnedCopies, PlainCopies, RowBuffer
from bitextmine.search.gpu.found import Found
from bitextmine.search.gpu.kernels import Kernels
from bitextmine.search.gpu.sizes import Sizes


@dataclass(frozen=True)
class DeviceSetup:
    """Where a search runs, and with what.

    Attributes
    ----------
    device : torch.device
        A GPU, or the CPU to try the code.
    kernels : Kernels
        The inner loops.
    threads : int
        CPU threads that read vectors.
    """

    device: torch.device
    kernels: Kernels
    threads: int


@dataclass(frozen=True)
class _Chunk:
    """Streamed rows on the device, their lists, and the buffer they take."""

    rows: DeviceRows
    lists: DeviceLists
    buffer: RowBuffer


@dataclass(frozen=True)
class _DeviceComparison:
    """One block: resident rows and their lists against a chunk, perhaps the last of its blocks."""

    rows: DeviceRows
    lists: DeviceLists
    chunk: _Chunk
    ends_chunk: bool


class ResidentSearch:
    """One search on a device, of fixed sizes.

    Parameters
    ----------
    resident, streamed : SearchSide
        Neither empty; measured on the way.
    found : Found
        What an earlier search has found, and where this one puts what it finds.
    sizes : Sizes
        No larger than the sides need.
    progress : callable
        Called with the number of pairs in each block that was searched.
    """

    def __init__(
        self,
        resident: SearchSide,
        streamed: SearchSide,
        found: Found,
        sizes: Sizes,
        setup: DeviceSetup,
        progress: Advance,
    ) -> None:
        device, kernels = setup.device, setup.kernels
        d, k = resident.vectors.shape[1], found.k
        self._resident, self._streamed = resident, streamed
        self._found, self._sizes, self._setup = found, sizes, setup
        self._progress = progress
        self._starts = range(found.n_done, len(resident), sizes.resident)
        self._error = device_error(d)
        self._scales = Scales(resident, k), Scales(streamed, k)
        self._resident_buffer = RowBuffer(sizes.resident, d, device)
        self._chunk_buffers = [RowBuffer(sizes.columns, d, device) for _ in range(2)]
        self._blocks = BlockPair(sizes.rows, sizes.columns, kernels, device)

    def run(self) -> None:
        """Compare every resident row that is left with the whole other side.

        Raises
        ------
        EncoderError
            A vector cannot be used.
        torch.OutOfMemoryError
            The memory of the device does not suffice.
        """
        setup = self._setup
        on_gpu = setup.device.type == "cuda"
        copies: Copies = PlainCopies()
        if on_gpu:
            copies = PinnedCopies(setup.device, setup.threads, setup.kernels)
        try:
            with Feed(self._loads(), [self._resident_buffer, *self._chunk_buffers], copies) as feed:
                for start in self._starts:
                    self._search_resident(self._resident_rows(start), feed)
        finally:
            if on_gpu:  # before any of its memory is freed
                torch.cuda.synchronize(setup.device)

    def _resident_rows(self, start: int) -> DeviceRows:
        """View the rows that are resident together, of which the first has this position."""
        n = min(self._sizes.resident, len(self._resident) - start)
        return self._resident_buffer.rows.part(0, n, start)

    def _blocks_of(self, resident: DeviceRows) -> Iterator[DeviceRows]:
        """Yield the resident rows of each block."""
        step = self._sizes.rows
        for first in range(0, len(resident), step):
            yield resident.part(first, min(step, len(resident) - first), resident.start + first)

    def _chunk_rows(self) -> Iterator[tuple[RowBuffer, DeviceRows]]:
        """Yield all chunks of the streamed side, in buffers that take turns."""
        step, n = self._sizes.columns, len(self._streamed)
        for turn, start in enumerate(range(0, n, step)):
            buffer = self._chunk_buffers[turn % 2]
            yield buffer, buffer.rows.part(0, min(step, n - start), start)

    def _loads(self) -> Iterator[Load]:
        """Yield all there is to bring, in order: a first chunk, resident rows, the other chunks."""
        of_resident, of_streamed = self._scales
        for start in self._starts:
            resident = self._resident_rows(start)
            for buffer, chunk in self._chunk_rows():
                yield Load(self._streamed, of_streamed, chunk, claims=buffer)
                if chunk.start:
                    continue
                for rows in self._blocks_of(resident):
                    first = self._resident_buffer if rows.start == start else None
                    yield Load(self._resident, of_resident, rows, claims=first)

    def _search_resident(self, resident: DeviceRows, feed: Feed) -> None:
        """Compare resident rows with everything, and take their lists.

        A block is computed while the one before it is searched.
        """
        lists: list[DeviceLists] = []
        before: tuple[_DeviceComparison, DeviceBlock] | None = None
        for comparison in self._comparisons(resident, lists, feed):
            block = self._blocks.compute(comparison.rows, comparison.chunk.rows)
            if before:
                self._search_block(*before, resident)
            before = comparison, block
        assert before, "neither side is empty"
        self._search_block(*before, resident)
        for rows, found in zip(self._blocks_of(resident), lists, strict=True):
            self._found.of_resident[rows.start : rows.start + len(rows)] = found.best(len(rows))
        self._found.n_done = resident.start + len(resident)
        self._resident_buffer.release()

    def _comparisons(
        self, resident: DeviceRows, lists: list[DeviceLists], feed: Feed
    ) -> Iterator[_DeviceComparison]:
        """Yield all blocks, each as soon as its rows are there; fill the lists of resident rows."""
        k_resident = self._found.of_resident.shape[1]
        k_streamed = self._found.of_streamed.shape[1]
        rows_of = list(self._blocks_of(resident))
        for buffer, chunk in self._chunk_rows():
            feed.wait()
            known = self._found_before(chunk, resident.start)
            columns = _Chunk(
                chunk, DeviceLists(chunk.scales, k_streamed, self._error, known), buffer
            )
            for i, rows in enumerate(rows_of):
                if not chunk.start:
                    feed.wait()
                    lists.append(DeviceLists(rows.scales, k_resident, self._error))
                yield _DeviceComparison(rows, lists[i], columns, ends_chunk=i == len(rows_of) - 1)

    def _found_before(self, chunk: DeviceRows, first_resident: int) -> torch.Tensor | None:
        """Bring back the lists of a chunk, if earlier resident rows have met it."""
        if not first_resident:
            return None
        keys = self._found.of_streamed[chunk.start : chunk.start + len(chunk)]
        return torch.from_numpy(keys).to(self._setup.device)

    def _search_block(
        self, comparison: _DeviceComparison, block: DeviceBlock, resident: DeviceRows
    ) -> None:
        """Search a block; and take the lists of the chunk, if it has met all resident rows."""
        chunk = comparison.chunk
        block.nominate(comparison.lists, chunk.lists, resident)
        self._progress(len(comparison.rows) * len(chunk.rows))
        if comparison.ends_chunk:
            chunk.lists.rank(CosineScorer(chunk.rows, resident, self._setup.kernels))
            stop = chunk.rows.start + len(chunk.rows)
            self._found.of_streamed[chunk.rows.start : stop] = chunk.lists.best(len(chunk.rows))
            chunk.buffer.release()
