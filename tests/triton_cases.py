"""What test_triton_kernels runs in a process of its own: Triton is told how when imported.

TRITON_INTERPRET=1 python tests/triton_cases.py interpret
python tests/triton_cases.py compile
"""

import sys
from importlib import import_module
from itertools import product
from typing import Any

import numpy as np
import torch
from brute_force import brute_force, clustered

from bitextmine.search.exact.proof import unpack_neighbours
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.gpu import triton_kernels
from bitextmine.search.gpu.device_search import search_on_device
from bitextmine.search.gpu.kernels import COLUMN_TILE, PLAIN, ROW_TILE
from bitextmine.search.gpu.sizes import Sizes


def check_tile_maxima() -> None:
    """The maxima of torch, to the bit, for blocks of several shapes with excluded rows."""
    generator = torch.Generator().manual_seed(0)
    for down, across in product((1, 3), (1, 4)):
        height, width = down * COLUMN_TILE, across * ROW_TILE
        scores = torch.randn(height, width, generator=generator)
        of_rows = torch.rand(height, generator=generator)
        of_columns = torch.rand(width, generator=generator)
        for some in (of_rows, of_columns):
            some[::7], some[3], some[-5:] = 0, -1, -1
        scores[3] = scores[:, -1] = torch.nan  # what lies beyond the edge
        maxima = [
            (torch.empty(across, height), torch.empty(down, width))
            for _ in (PLAIN, triton_kernels.COMPILED)
        ]
        PLAIN.tile_maxima(scores, of_rows, of_columns, *maxima[0])
        triton_kernels.COMPILED.tile_maxima(scores, of_rows, of_columns, *maxima[1])
        for one, other in zip(*maxima, strict=True):
            assert torch.equal(one, other), (height, width)


def check_pair_dots() -> None:
    """Exact sums, for vectors shorter and longer than what is read at a time."""
    generator = torch.Generator().manual_seed(0)
    for d, n_pairs in product((8, 48, 1024, 2056), (0, 1, 9)):
        left, right = (torch.randn(size, d, generator=generator) / d for size in (50, 60))
        rows = torch.randint(50, (n_pairs,), generator=generator)
        others = torch.randint(60, (n_pairs,), generator=generator)
        pairs = left.half(), rows, right.half(), others
        assert torch.equal(PLAIN.pair_dots(*pairs), triton_kernels.COMPILED.pair_dots(*pairs))


def check_search() -> None:
    """A whole search, against brute force."""
    src, tgt = clustered(90, 150, 20)
    sides = (
        SearchSide.prepare(src, np.arange(90), name=""),
        SearchSide.prepare(tgt, np.arange(150), name=""),
    )
    fwd, _ = search_on_device(
        *sides, 2, "cpu", sizes=Sizes(128, 128, 128), kernels=triton_kernels.COMPILED
    )
    found, expected = unpack_neighbours(fwd, *sides), brute_force(src, tgt, np.arange(150), 2)
    np.testing.assert_array_equal(found.numbers, expected.numbers)
    np.testing.assert_array_equal(found.cosines, expected.cosines)


def check_compiling() -> None:
    """Compile for a GPU that is not here, as the interpreter takes more than the compiler."""
    triton: Any = import_module("triton")
    target: Any = import_module("triton.backends.compiler").GPUTarget
    tiles = dict.fromkeys(("scores", "row_scales", "column_scales", "by_row", "by_column"), "*fp32")
    tiles |= {"height": "i32", "width": "i32"}
    pairs = {"left": "*fp16", "left_rows": "*i64", "right": "*fp16", "right_rows": "*i64"}
    pairs |= {"dots": "*fp64", "d": "i32"}
    tile = {"tile_height": COLUMN_TILE, "tile_width": ROW_TILE}
    cases = (
        (triton_kernels.tile_maxima_kernel, tiles, tile),
        (triton_kernels.pair_dots_kernel, pairs, {"chunk": 1024}),
    )
    for kernel, types, constants in cases:
        signature = types | dict.fromkeys(constants, "constexpr")
        even = {(i,): [["tt.divisibility", 16]] for i in range(len(types))}
        source = triton.compiler.ASTSource(kernel, signature, constants, even)
        compiled = triton.compile(source, target=target("cuda", 90, 32))
        assert "ld.global.v4" in compiled.asm["ptx"], "numbers are to be read four at a time"


if __name__ == "__main__":
    if sys.argv[1] == "interpret":
        check_tile_maxima()
        check_pair_dots()
        check_search()
    else:
        check_compiling()
