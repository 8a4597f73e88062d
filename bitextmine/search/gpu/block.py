"""Blocks of similarities on a device: products, the maxima of their tiles, and what those hide."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bitextmine.search.gpu.device_lists import DeviceLists
from bitextmine.search.gpu.device_rows import CosineScorer, DeviceRows
from bitextmine.search.gpu.feed import record_event, stream_of
from bitextmine.search.gpu.kernels import COLUMN_TILE, ROW_TILE, Kernels, scaled

# So many similarities are read again at a time; on a device with small blocks a part of a block.
_PIECE_SCORES = 1 << 24
_LEAST_PIECE_SCORES = 1 << 20
_PIECES_A_BLOCK = 64


class DeviceBlock:
    """One reused buffer of similarities, and the largest of each tile.

    Parameters
    ----------
    rows, columns : int
        The largest block it has to hold; multiples of both tiles.
    """

    def __init__(self, rows: int, columns: int, kernels: Kernels, device: torch.device) -> None:
        def buffer(size: int) -> Tensor:
            return torch.empty(size, dtype=torch.float32, device=device)

        self._kernels = kernels
        self._buffers = (
            buffer(rows * columns),
            buffer(rows * (columns // ROW_TILE)),
            buffer(rows // COLUMN_TILE * columns),
        )
        self._piece = max(
            _LEAST_PIECE_SCORES, min(_PIECE_SCORES, rows * columns // _PIECES_A_BLOCK)
        )

    def fill(self, rows: DeviceRows, columns: DeviceRows) -> None:
        """Compute the similarities of two runs of rows."""
        self._rows, self._columns = rows, columns
        height, width = len(rows.vectors), len(columns.vectors)
        self._scores = self._buffers[0][: height * width].view(height, width)
        tiles = width // ROW_TILE
        self._by_row = self._buffers[1][: height * tiles].view(tiles, height)
        self._by_column = self._buffers[2][: height // COLUMN_TILE * width].view(-1, width)
        multiply(rows.vectors, columns.vectors, self._scores)
        self._kernels.tile_maxima(
            self._scores, rows.scales, columns.scales, self._by_row, self._by_column
        )
        self._filled = record_event(self._scores.device)

    def nominate(
        self, row_lists: DeviceLists, column_lists: DeviceLists, resident: DeviceRows
    ) -> None:
        """Add what reaches the thresholds of its row or column to the lists of that.

        The lists of rows are ranked at once, since the columns will leave the device; those of
        columns may grow as long as the resident rows stay.
        """
        if self._filled is not None:
            self._filled.wait()
        along_rows = _BlockView(
            self._scores.view(len(self._scores), -1, ROW_TILE),
            self._by_row,
            self._rows,
            self._columns,
            columnwise=False,
        )
        along_columns = _BlockView(
            self._scores.view(-1, COLUMN_TILE, self._scores.shape[1]),
            self._by_column,
            self._columns,
            self._rows,
            columnwise=True,
        )
        scorer = CosineScorer(self._rows, self._columns, self._kernels)
        along_rows.nominate(row_lists, scorer, self._piece)
        row_lists.rank(scorer)
        scorer = CosineScorer(self._columns, resident, self._kernels)
        along_columns.nominate(column_lists, scorer, self._piece)


class BlockPair:
    """Two blocks that take turns: a GPU computes one while the other is searched."""

    def __init__(self, rows: int, columns: int, kernels: Kernels, device: torch.device) -> None:
        self._blocks = [DeviceBlock(rows, columns, kernels, device) for _ in range(2)]
        self._stream = stream_of(device, "products") if device.type == "cuda" else None

    def compute(self, rows: DeviceRows, columns: DeviceRows) -> DeviceBlock:
        """Fill the block that was searched first, once the device has done so."""
        block = self._blocks[0]
        self._blocks.reverse()
        if self._stream is None:
            block.fill(rows, columns)
        else:
            # All that was given to this thread's stream so far: rows, and the last search.
            self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
            with torch.cuda.stream(self._stream):
                block.fill(rows, columns)
        return block


def multiply(rows: Tensor, columns: Tensor, out: Tensor) -> None:
    """Write rows @ columns.T in float32: float16 factors, sums in float32.

    The mixed product exists for CUDA alone; elsewhere the factors are converted, exactly.
    """
    if rows.device.type == "cuda":
        torch.mm(rows, columns.t(), out_dtype=torch.float32, out=out)
    else:
        torch.mm(rows.float(), columns.float().t(), out=out)


@dataclass(frozen=True)
class _BlockView:
    """A block seen along its rows or its columns, the owners: each has its tiles.

    scores is the block with the axis of the others cut into tiles; maxima is (tiles, owners).
    """

    scores: Tensor
    maxima: Tensor
    own: DeviceRows
    other: DeviceRows
    columnwise: bool

    @property
    def tile(self) -> int:
        """Similarities of a tile."""
        return self.scores.shape[1 if self.columnwise else 2]

    def nominate(self, lists: DeviceLists, scorer: CosineScorer, piece: int) -> None:
        """Add what reaches the thresholds of its owner to the lists, some tiles at a time."""
        if lists.fresh and lists.k <= len(self.other):
            lists.raise_thresholds(self._kth(lists.k, piece))
        # By owner, then by tile: so candidates come in the order that lists want.
        reaching = (self.maxima >= lists.thresholds).t().contiguous()
        tiles = reaching.view(-1).nonzero()[:, 0]
        for start in range(0, len(tiles), piece // self.tile):
            self._nominate_tiles(lists, tiles[start : start + piece // self.tile], scorer)

    def _nominate_tiles(self, lists: DeviceLists, flat: Tensor, scorer: CosineScorer) -> None:
        """Read some tiles again, and add what reaches the thresholds."""
        owners, tiles = flat // len(self.maxima), flat % len(self.maxima)
        values = self._read(owners, tiles)
        found, members = (values >= lists.thresholds[owners, None]).nonzero(as_tuple=True)
        others = tiles[found] * self.tile + members + self.other.start
        lists.add(owners[found], others, values[found, members], scorer)

    def _read(self, owners: Tensor, tiles: Tensor) -> Tensor:
        """Return the similarities of whole tiles, (len(owners), tile)."""
        at = (tiles, slice(None), owners) if self.columnwise else (owners, tiles)
        others = self.other.scales.view(-1, self.tile)[tiles]
        return scaled(self.scores[at], self.own.scales[owners, None], others)

    def _kth(self, k: int, piece: int) -> Tensor:
        """A bound of every owner's k-th similarity: the k-th largest maximum, or itself."""
        n_tiles, n_owners = self.maxima.shape
        if k <= n_tiles:
            return self.maxima.t().topk(k).values[:, -1]
        kth = torch.empty(n_owners, dtype=torch.float32, device=self.maxima.device)
        every_tile = torch.arange(n_tiles, device=kth.device)
        step = max(1, piece // (n_tiles * self.tile))
        for start in range(0, n_owners, step):
            owners = torch.arange(start, min(start + step, n_owners), device=kth.device)
            tiles = every_tile.repeat(len(owners))
            values = self._read(owners.repeat_interleave(n_tiles), tiles)
            kth[owners] = values.view(len(owners), -1).topk(k).values[:, -1]
        return kth
