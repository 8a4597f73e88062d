"""A search on a device, panel by panel: what is brought there, computed, and taken back."""

from collections.abc import Iterator
from dataclasses import dataclass

import torch

from bitextmine.progress import Advance
from bitextmine.search.exact.precision import device_error
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.gpu.block import BlockPair, DeviceBlock
from bitextmine.search.gpu.device_lists import DeviceLists
from bitextmine.search.gpu.device_rows import DeviceRows, Scales, Scorer
from bitextmine.search.gpu.feed import Copies, Feed, Load, PinnedCopies, PlainCopies, Room
from bitextmine.search.gpu.found import Found
from bitextmine.search.gpu.kernels import Kernels
from bitextmine.search.gpu.sizes import Sizes


@dataclass(frozen=True)
class _Chunk:
    """Streamed rows on the device, their lists, and the room they take."""

    rows: DeviceRows
    lists: DeviceLists
    room: Room


@dataclass(frozen=True)
class _Step:
    """A block: resident rows and their lists against a chunk."""

    rows: DeviceRows
    lists: DeviceLists
    chunk: _Chunk
    ends_chunk: bool


class PanelSearch:
    """One search on a device, of fixed sizes.

    Parameters
    ----------
    resident, streamed : SearchSide
        Neither empty; measured on the way.
    found : Found
        What an earlier search has found, and where this one puts what it finds.
    sizes : Sizes
        No larger than the sides need.
    """

    def __init__(
        self,
        resident: SearchSide,
        streamed: SearchSide,
        found: Found,
        sizes: Sizes,
        kernels: Kernels,
        device: torch.device,
        progress: Advance,
    ) -> None:
        d, k = resident.vectors.shape[1], found.k
        self._resident, self._streamed = resident, streamed
        self._sizes, self._kernels, self._device = sizes, kernels, device
        self._progress = progress
        self._found = found
        self._starts = range(found.n_done, len(resident), sizes.panel)
        self._error = device_error(d)
        self._scales = Scales(resident, k), Scales(streamed, k)
        self._panel = Room(sizes.panel, d, device)
        self._chunks = [Room(sizes.columns, d, device) for _ in range(2)]
        self._blocks = BlockPair(sizes.rows, sizes.columns, kernels, device)

    def run(self, threads: int) -> None:
        """Compare everything that is left with everything; threads read vectors.

        Raises
        ------
        EncoderError
            A vector cannot be used.
        torch.OutOfMemoryError
            The memory of the device does not suffice.
        """
        on_gpu = self._device.type == "cuda"
        copies: Copies = PlainCopies()
        if on_gpu:
            copies = PinnedCopies(self._device, threads, self._kernels)
        try:
            with Feed(self._loads(), [self._panel, *self._chunks], copies) as feed:
                for start in self._starts:
                    self._search_panel(self._panel_rows(start), feed)
        finally:
            if on_gpu:  # before any of its memory is given back
                torch.cuda.synchronize(self._device)

    def _panel_rows(self, start: int) -> DeviceRows:
        n = min(self._sizes.panel, len(self._resident) - start)
        return self._panel.rows.part(0, n, start)

    def _blocks_of(self, panel: DeviceRows) -> Iterator[DeviceRows]:
        step = self._sizes.rows
        for first in range(0, len(panel), step):
            yield panel.part(first, min(step, len(panel) - first), panel.start + first)

    def _chunk_rows(self) -> Iterator[tuple[Room, DeviceRows]]:
        """All chunks of the streamed side, in rooms that take turns."""
        step, n = self._sizes.columns, len(self._streamed)
        for turn, start in enumerate(range(0, n, step)):
            room = self._chunks[turn % 2]
            yield room, room.rows.part(0, min(step, n - start), start)

    def _loads(self) -> Iterator[Load]:
        """Everything to bring, in order: a first chunk, the panel, and the other chunks."""
        of_resident, of_streamed = self._scales
        for start in self._starts:
            panel = self._panel_rows(start)
            for room, chunk in self._chunk_rows():
                yield Load(self._streamed, of_streamed, chunk, claims=room)
                if chunk.start:
                    continue
                for rows in self._blocks_of(panel):
                    first = self._panel if rows.start == start else None
                    yield Load(self._resident, of_resident, rows, claims=first)

    def _search_panel(self, panel: DeviceRows, feed: Feed) -> None:
        """Compare resident rows with everything, and take their lists.

        A block is computed while the one before it is searched.
        """
        lists: list[DeviceLists] = []
        before: tuple[_Step, DeviceBlock] | None = None
        for step in self._steps(panel, lists, feed):
            block = self._blocks.compute(step.rows, step.chunk.rows)
            if before:
                self._search_block(*before, panel)
            before = step, block
        assert before, "neither side is empty"
        self._search_block(*before, panel)
        for rows, found in zip(self._blocks_of(panel), lists, strict=True):
            self._found.of_resident[rows.start : rows.start + len(rows)] = found.taken(len(rows))
        self._found.n_done = panel.start + len(panel)
        self._panel.release()

    def _steps(self, panel: DeviceRows, lists: list[DeviceLists], feed: Feed) -> Iterator[_Step]:
        """All blocks of a panel, each as soon as its rows are there; fills the lists of rows."""
        k_resident = self._found.of_resident.shape[1]
        k_streamed = self._found.of_streamed.shape[1]
        rows_of = list(self._blocks_of(panel))
        for room, chunk in self._chunk_rows():
            feed.wait()
            known = self._known(chunk, panel.start)
            columns = _Chunk(chunk, DeviceLists(chunk.scales, k_streamed, self._error, known), room)
            for i, rows in enumerate(rows_of):
                if not chunk.start:
                    feed.wait()
                    lists.append(DeviceLists(rows.scales, k_resident, self._error))
                yield _Step(rows, lists[i], columns, ends_chunk=i == len(rows_of) - 1)

    def _known(self, chunk: DeviceRows, panel_start: int) -> torch.Tensor | None:
        """What earlier panels found for a chunk."""
        if not panel_start:
            return None
        keys = self._found.of_streamed[chunk.start : chunk.start + len(chunk)]
        return torch.from_numpy(keys).to(self._device)

    def _search_block(self, step: _Step, block: DeviceBlock, panel: DeviceRows) -> None:
        """Search a block; and take the lists of the chunk, if it has met the whole panel."""
        chunk = step.chunk
        block.nominate(step.lists, chunk.lists, panel)
        self._progress(len(step.rows) * len(chunk.rows))
        if step.ends_chunk:
            chunk.lists.settle(Scorer(chunk.rows, panel, self._kernels))
            stop = chunk.rows.start + len(chunk.rows)
            self._found.of_streamed[chunk.rows.start : stop] = chunk.lists.taken(len(chunk.rows))
            chunk.room.release()
