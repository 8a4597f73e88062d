"""How much of a search a device holds at a time."""

from dataclasses import dataclass, replace

import torch

from bitextmine.search.gpu.device_rows import padded
from bitextmine.search.gpu.kernels import ROW_TILE

LARGEST_ROWS = 1 << 14  # a block of 16384 x 65536 takes 4 GiB: large enough to hide its overhead
LARGEST_COLUMNS = 1 << 16
_BLOCKS = 2  # one is computed while the other is searched
_BLOCK_SHARE = 6  # the part of the memory that each block may take
_CHUNK_SHARE = 16  # and each of two chunks of streamed rows
_KEPT_BACK = 1 << 29  # bytes: workspaces of the GPU's libraries
_OTHER = 1.3  # bytes for each byte of a block: maxima, and what a search in it takes
_CPU_BYTES = 1 << 30  # when the "device" is the CPU


@dataclass(frozen=True)
class Sizes:
    """Rows of one side stay on the device, by panels; chunks of the other stream past them.

    Attributes
    ----------
    panel : int
        Rows that stay; a multiple of `rows`.
    rows, columns : int
        A block of similarities; columns is also the size of a chunk. Whole tiles.
    """

    panel: int
    rows: int
    columns: int

    def fit(self, n: int, m: int) -> "Sizes":
        """Be no larger than n resident and m streamed rows need."""
        rows = min(self.rows, padded(n))
        panel = min(-(-n // rows), max(1, self.panel // rows)) * rows
        return Sizes(panel, rows, min(self.columns, padded(m)))

    def smaller(self) -> "Sizes | None":
        """Half of everything; None if there is no less."""
        if self.rows == self.columns == ROW_TILE:
            return None
        rows, columns = (padded(max(ROW_TILE, size // 2)) for size in (self.rows, self.columns))
        return replace(self, panel=max(rows, self.panel // 2), rows=rows, columns=columns)

    def passes(self, n: int) -> int:
        """Panels that n resident rows make."""
        return -(-n // self.panel)


def fitting_sizes(free: int, d: int, k: int) -> Sizes:
    """Choose sizes for so many bytes of memory, vectors of d numbers and k neighbours."""
    free = max(0, free - _KEPT_BACK)
    row_bytes = 2 * d + 8 * (2 * k + 8) + 24  # vector, list, lengths and thresholds
    rows, columns = LARGEST_ROWS, LARGEST_COLUMNS
    while columns > ROW_TILE and columns * row_bytes > free / _CHUNK_SHARE:
        columns //= 2
    while rows * columns * 4 * _OTHER > free / _BLOCK_SHARE and max(rows, columns) > ROW_TILE:
        if rows >= columns:
            rows //= 2
        else:
            columns //= 2
    taken = _BLOCKS * rows * columns * 4 * _OTHER + 2 * columns * row_bytes
    return Sizes(max(rows, int((free - taken) // row_bytes)), rows, columns)


def free_device_bytes(device: torch.device) -> int:
    """Return the memory that this process can still get on a device."""
    if device.type != "cuda":
        return _CPU_BYTES
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free + unused
