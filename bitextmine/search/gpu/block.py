"""Blocks of similarities on a device: products, the maxima of their tiles, and what those hide."""

from dataclasses import dataclass

import torch
from torch import Tensor

from bitextmine.search.gpu.device_lists import DeviceLists
from bitextmine.search.gpu.device_rows import DeviceRows, Scorer
from bitextmine.search.gpu.feed import mark, stream_of
from bitextmine.search.gpu.kernels import COLUMN_TILE, ROW_TILE, Kernels, scaled

_PIECE = 1 << 24  # similarities read again at a time; fewer on a device with small blocks
_LEAST_PIECE = 1 << 20
_PIECES = 64  # of a block


class DeviceBlock:
    """One reused buffer of similarities, and the largest of each tile.

    Parameters
    ----------
    rows, columns : int
        The largest block it has to hold; multiples of both tiles.
    """

    def __init__(self, rows: int, columns: int, kernels: Kernels, device: torch.device) -> None:
        def room(size: int) -> Tensor:
            return torch.empty(size, dtype=torch.float32, device=device)

        self._kernels = kernels
        self._room = (
            room(rows * columns),
            room(rows * (columns // ROW_TILE)),
            room(rows // COLUMN_TILE * columns),
        )
        self._piece = max(_LEAST_PIECE, min(_PIECE, rows * columns // _PIECES))

    def fill(self, src: DeviceRows, tgt: DeviceRows) -> None:
        """Compute the similarities of two runs of rows."""
        self.src, self.tgt = src, tgt
        rows, columns = len(src.vectors), len(tgt.vectors)
        self._scores = self._room[0][: rows * columns].view(rows, columns)
        tiles = columns // ROW_TILE
        self._by_row = self._room[1][: rows * tiles].view(tiles, rows)
        self._by_column = self._room[2][: rows // COLUMN_TILE * columns].view(-1, columns)
        multiply(src.vectors, tgt.vectors, self._scores)
        self._kernels.tile_maxima(
            self._scores, src.scales, tgt.scales, self._by_row, self._by_column
        )
        self._filled = mark(self._scores.device)

    def nominate(self, src_lists: DeviceLists, tgt_lists: DeviceLists, panel: DeviceRows) -> None:
        """Offer what reaches the thresholds of its row or column to the lists of that.

        The lists of rows are settled, since the columns will leave the device; those of columns
        may grow as long as the src rows of this panel stay.
        """
        if self._filled is not None:
            self._filled.wait()
        along_rows = _Along(
            self._scores.view(len(self._scores), -1, ROW_TILE),
            self._by_row,
            self.src,
            self.tgt,
            columnwise=False,
        )
        along_columns = _Along(
            self._scores.view(-1, COLUMN_TILE, self._scores.shape[1]),
            self._by_column,
            self.tgt,
            self.src,
            columnwise=True,
        )
        scorer = Scorer(self.src, self.tgt, self._kernels)
        along_rows.offer(src_lists, scorer, self._piece)
        src_lists.settle(scorer)
        along_columns.offer(tgt_lists, Scorer(self.tgt, panel, self._kernels), self._piece)


class BlockPair:
    """Two blocks that take turns: a GPU computes one while the other is searched."""

    def __init__(self, rows: int, columns: int, kernels: Kernels, device: torch.device) -> None:
        self._blocks = [DeviceBlock(rows, columns, kernels, device) for _ in range(2)]
        self._stream = stream_of(device, "products") if device.type == "cuda" else None

    def compute(self, src: DeviceRows, tgt: DeviceRows) -> DeviceBlock:
        """Fill the block that was searched first, once the device has done so."""
        block = self._blocks[0]
        self._blocks.reverse()
        if self._stream is None:
            block.fill(src, tgt)
        else:
            # All that was given to this thread's stream so far: rows, and the last search.
            self._stream.wait_stream(torch.cuda.current_stream(self._stream.device))
            with torch.cuda.stream(self._stream):
                block.fill(src, tgt)
        return block


def multiply(src: Tensor, tgt: Tensor, out: Tensor) -> None:
    """Write src @ tgt.T in float32: float16 factors, sums in float32.

    The mixed product exists for CUDA alone; elsewhere the factors are converted, exactly.
    """
    if src.device.type == "cuda":
        torch.mm(src, tgt.t(), out_dtype=torch.float32, out=out)
    else:
        torch.mm(src.float(), tgt.float().t(), out=out)


@dataclass(frozen=True)
class _Along:
    """A block seen along its rows or its columns: each owner has its tiles.

    scores is the block with the axis of the others cut into tiles; maxima is (tiles, owners).
    """

    scores: Tensor
    maxima: Tensor
    own: DeviceRows
    other: DeviceRows
    columnwise: bool

    @property
    def tile(self) -> int:
        return self.scores.shape[1 if self.columnwise else 2]

    def offer(self, lists: DeviceLists, scorer: Scorer, piece: int) -> None:
        """Offer what reaches the thresholds of its owner, some tiles at a time."""
        if lists.fresh and lists.k <= len(self.other):
            lists.expect(self._kth(lists.k, piece))
        # By owner, then by tile: so candidates come in the order that lists want.
        reaching = (self.maxima >= lists.thresholds).t().contiguous()
        tiles = reaching.view(-1).nonzero()[:, 0]
        for start in range(0, len(tiles), piece // self.tile):
            self._offer(lists, tiles[start : start + piece // self.tile], scorer)

    def _offer(self, lists: DeviceLists, flat: Tensor, scorer: Scorer) -> None:
        """Read some tiles again, and offer what reaches the thresholds."""
        owners, tiles = flat // len(self.maxima), flat % len(self.maxima)
        values = self._read(owners, tiles)
        found, members = (values >= lists.thresholds[owners, None]).nonzero(as_tuple=True)
        others = tiles[found] * self.tile + members + self.other.start
        lists.offer(owners[found], others, values[found, members], scorer)

    def _read(self, owners: Tensor, tiles: Tensor) -> Tensor:
        """Similarities of whole tiles, (len(owners), tile)."""
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
