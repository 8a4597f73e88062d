"""How much of a search fits a device: resident rows, blocks of similarities, streamed chunks."""

from dataclasses import dataclass, replace

import torch

from bitextmine.search.gpu.device_rows import padded
from bitextmine.search.gpu.kernels import ROW_TILE

# A block of 16384 x 65536 similarities takes 4 GiB, which is large enough to hide its overhead.
LARGEST_ROWS = 1 << 14
LARGEST_COLUMNS = 1 << 16
_BLOCKS = 2  # One is computed while the other is searched.
# A block may take a sixth of the memory, and each of two chunks of streamed rows a sixteenth.
_BLOCKS_IN_MEMORY = 6
_CHUNKS_IN_MEMORY = 16
_LIBRARY_BYTES = 1 << 29  # Kept free for the workspaces of the GPU's libraries.
# A block comes with the maxima of its tiles, and with what a search in it takes.
_BYTES_A_BLOCK_BYTE = 1.3
_CPU_BYTES = 1 << 30  # The CPU, as a "device" to try the code on, is said to have so many.


@dataclass(frozen=True)
class Sizes:
    """Resident rows of one side stay on the device; chunks of the other side stream past them.

    Attributes
    ----------
    resident : int
        Rows that stay at a time; a multiple of `rows`.
    rows, columns : int
        A block of similarities; columns is also the size of a chunk. Whole tiles.
    """

    resident: int
    rows: int
    columns: int

    def fit(self, n: int, m: int) -> "Sizes":
        """Cut down to what n resident and m streamed rows need."""
        rows = min(self.rows, padded(n))
        resident = min(-(-n // rows), max(1, self.resident // rows)) * rows
        return Sizes(resident, rows, min(self.columns, padded(m)))

    def smaller(self) -> "Sizes | None":
        """Half of everything; None if there is no less."""
        if self.rows == self.columns == ROW_TILE:
            return None
        rows, columns = (padded(max(ROW_TILE, size // 2)) for size in (self.rows, self.columns))
        return replace(self, resident=max(rows, self.resident // 2), rows=rows, columns=columns)

    def passes(self, n: int) -> int:
        """Return how often the other side streams past, if n rows are resident in turn."""
        return -(-n // self.resident)


def fitting_sizes(free: int, d: int, k: int) -> Sizes:
    """Choose sizes for so many bytes of memory, vectors of d numbers and k neighbours."""
    free = max(0, free - _LIBRARY_BYTES)
    row_bytes = 2 * d + 8 * (2 * k + 8) + 24  # vector, list, lengths and thresholds
    rows, columns = LARGEST_ROWS, LARGEST_COLUMNS
    while columns > ROW_TILE and columns * row_bytes > free / _CHUNKS_IN_MEMORY:
        columns //= 2
    while (
        rows * columns * 4 * _BYTES_A_BLOCK_BYTE > free / _BLOCKS_IN_MEMORY
        and max(rows, columns) > ROW_TILE
    ):
        if rows >= columns:
            rows //= 2
        else:
            columns //= 2
    taken = _BLOCKS * rows * columns * 4 * _BYTES_A_BLOCK_BYTE + 2 * columns * row_bytes
    return Sizes(max(rows, int((free - taken) // row_bytes)), rows, columns)


def free_device_bytes(device: torch.device) -> int:
    """Return the memory that this process can still get on a device."""
    if device.type != "cuda":
        return _CPU_BYTES
    free, _ = torch.cuda.mem_get_info(device)
    unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return free + unused
