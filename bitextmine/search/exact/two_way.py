"""Both directions of an exact search: each block of similarities is computed once, for both.

The matrix product only nominates. It runs in the fastest format the processor has, keeps a few
candidates more than asked, and everything it says is within a proven error of the truth. The
candidates are then ranked by exact cosines: a product of two float16 numbers is a multiple of
2^-48, so float64 adds products of unit vectors without rounding, in whatever order, and the dot
product has the same bits on every machine. A row whose k-th exact cosine is not above all that
could have been dropped is searched again in float64. So the answer is that of brute force, bit
for bit, whatever the blocks, threads, shards, device or format of the product.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch

from bitextmine.arrays import Ids, Stored
from bitextmine.progress import Advance
from bitextmine.search.exact.precision import GemmName, Precision, choose_dtype, measure_precision
from bitextmine.search.exact.proof import Ranking, unpack_neighbours
from bitextmine.search.exact.score_block import TILE_LENGTH, ScoreBlock
from bitextmine.search.exact.shortlists import Keys, Shortlists
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.exact.workers import share_out
from bitextmine.search.gpu.device_search import search_on_device
from bitextmine.search.neighbours import Neighbours
from bitextmine.search.rows import Rows

SRC_BLOCK = 1024  # with TGT_BLOCK, a block of similarities that stays in cache
TGT_BLOCK = 2048
# So much memory keeps src rows converted, so that each tgt row is converted rarely.
RESIDENT_BYTES = 64 << 20
# The error of bfloat16 hides the ranks among more candidates than that of float32.
SPARE_CANDIDATES = {torch.float32: 6, torch.bfloat16: 20}
_LARGEST_BLOCK = 1 << 16  # rows or columns: these are sorted as 16-bit numbers


@dataclass(frozen=True)
class CpuTuning:
    """What decides how fast a CPU searches, and never what it finds.

    Attributes
    ----------
    gemm : "auto", "float32" or "bfloat16"
        Format of the matrix products; "auto" takes the faster one of the processor.
    src_block, tgt_block : int
        Rows and columns of a block of similarities.
    """

    gemm: GemmName = "auto"
    src_block: int = SRC_BLOCK
    tgt_block: int = TGT_BLOCK


DEFAULT_TUNING = CpuTuning()


@dataclass(frozen=True)
class _Plan:
    """What stays the same from block to block; blocks are measured in rows and columns."""

    precision: Precision
    n_workers: int
    src_block: int
    tgt_block: int

    def lists(self, start: int, stop: int, block: int, k: int) -> list[Shortlists]:
        """Empty lists for a range of positions, block by block."""
        keep = k + SPARE_CANDIDATES[self.precision.dtype]
        return [
            Shortlists(min(block, stop - at), k=k, keep=keep, precision=self.precision, start=at)
            for at in range(start, stop, block)
        ]

    def factor(self, side: SearchSide, lists: Shortlists) -> torch.Tensor:
        """Unit rows of a block, in the format of the product."""
        return side.unit_rows(lists.start, lists.stop).to(self.precision.dtype)

    def scores(self) -> ScoreBlock:
        """A buffer for one worker."""
        return ScoreBlock(self.src_block, self.tgt_block, self.precision.dtype)


@dataclass(frozen=True)
class _Comparison:
    """One block: the factors of its similarities, and the lists of its rows and columns."""

    src_factor: torch.Tensor
    tgt_factor: torch.Tensor
    src_lists: Shortlists
    tgt_lists: Shortlists


def two_way_neighbours(
    src: Rows | Stored,
    tgt: Rows | Stored,
    *,
    k: int,
    src_numbers: Ids,
    tgt_numbers: Ids,
    device: str = "cpu",
    threads: int | None = None,
    tuning: CpuTuning = DEFAULT_TUNING,
    progress: Advance | None = None,
) -> tuple[Neighbours, Neighbours]:
    """Find the k nearest tgt sentences of every src sentence, and the reverse.

    Sentences are ranked by cosine rounded to float32, equal cosines by ascending number. The
    cosine with a zero vector is 0.

    Parameters
    ----------
    src, tgt : Rows, or ndarray of float16 or int8, shapes (n, d) and (m, d)
        Perhaps memory-mapped; read by blocks. float16 rows have length 1 up to rounding (at
        most 2), int8 rows any length.
    k : int
        Neighbours a sentence gets; fewer if the other side has fewer.
    src_numbers, tgt_numbers : ndarray of int64, shapes (n,) and (m,)
        The sentence number of each row; unique, in any order.
    device : str
        "cpu", or a GPU such as "cuda:0", which the folder `gpu` serves.
    threads : int, optional
        CPU threads; by default as many as torch is set to use.
    tuning : CpuTuning
        What decides the speed of a CPU.
    progress : callable, optional
        Called with a number of pairs, from any thread but one at a time, as they are shared
        out; with a negative one when a GPU ran out of memory and some start over.

    Returns
    -------
    fwd, bwd : Neighbours
        src to tgt (n, min(k, m)) and tgt to src (m, min(k, n)), in the order of the rows.

    Raises
    ------
    ValueError
        If shapes or dtypes disagree, k < 1, or numbers repeat.
    EncoderError
        If a vector is not finite or longer than 2.
    UsageError
        If a GPU has too little free memory for any search.
    """
    if k < 1 or src.shape[1:] != tgt.shape[1:]:
        raise ValueError(f"k is {k}, src {src.shape}, tgt {tgt.shape}")
    progress = progress or (lambda n_pairs: None)
    with _torch_set(threads) as n_threads:
        on_device = device != "cpu" and len(src) > 0 < len(tgt)
        # A GPU measures the vectors itself, as they arrive.
        prepare = (
            SearchSide.arrange if on_device else partial(SearchSide.prepare, n_workers=n_threads)
        )
        src_side, tgt_side = (
            prepare(src, src_numbers, name="src"),
            prepare(tgt, tgt_numbers, name="tgt"),
        )
        if not len(src_side) or not len(tgt_side):
            fwd, bwd = _no_keys(src_side, tgt_side, k), _no_keys(tgt_side, src_side, k)
        elif not on_device:
            plan = _Plan(
                measure_precision(
                    choose_dtype(tuning.gemm), src_side, tgt_side, n_workers=n_threads
                ),
                n_workers=n_threads,
                src_block=_fit(tuning.src_block, len(src_side)),
                tgt_block=_fit(tuning.tgt_block, len(tgt_side)),
            )
            fwd, bwd = _search(plan, src_side, tgt_side, k, progress)
        else:
            fwd, bwd = search_on_device(
                src_side, tgt_side, k, device, threads=n_threads, progress=progress
            )
        return unpack_neighbours(fwd, src_side, tgt_side), unpack_neighbours(
            bwd, tgt_side, src_side
        )


def _no_keys(own: SearchSide, other: SearchSide, k: int) -> Keys:
    """Return what a search finds when there is nothing on one side."""
    return np.empty((len(own), min(k, len(other))), np.int64)


def _search(
    plan: _Plan, src: SearchSide, tgt: SearchSide, k: int, progress: Advance
) -> tuple[Keys, Keys]:
    """Compare everything with everything, block by block, and rank what was nominated."""
    fwd, bwd = Ranking(src, tgt, k), Ranking(tgt, src, k)
    row_bytes = src.vectors.shape[1] * plan.precision.dtype.itemsize
    resident = max(1, RESIDENT_BYTES // (row_bytes * plan.src_block)) * plan.src_block
    tgt_lists = plan.lists(0, len(tgt), plan.tgt_block, bwd.k)
    for start, stop in src.blocks(resident):
        src_lists = plan.lists(start, stop, plan.src_block, fwd.k)
        comparisons = _comparisons(plan, src, tgt, src_lists, tgt_lists, progress)
        compare = partial(_compare, plan=plan, n_src=stop, n_tgt=len(tgt))
        share_out(comparisons, compare, plan.n_workers)
        share_out(src_lists, partial(_rank, ranking=fwd, plan=plan), plan.n_workers)
    share_out(tgt_lists, partial(_rank, ranking=bwd, plan=plan), plan.n_workers)
    return fwd.complete(), bwd.complete()


def _comparisons(
    plan: _Plan,
    src: SearchSide,
    tgt: SearchSide,
    src_lists: list[Shortlists],
    tgt_lists: list[Shortlists],
    progress: Advance,
) -> Iterator[_Comparison]:
    """Yield all blocks of resident src rows: a tgt block is converted once and meets them all."""
    src_factors = [plan.factor(src, lists) for lists in src_lists]
    for columns in tgt_lists:
        tgt_factor = plan.factor(tgt, columns)
        for rows, src_factor in zip(src_lists, src_factors, strict=True):
            yield _Comparison(src_factor, tgt_factor, rows, columns)
            progress(len(rows) * len(columns))


def _compare(comparisons: Iterator[_Comparison], *, plan: _Plan, n_src: int, n_tgt: int) -> None:
    """Compute blocks and nominate candidates; lists are complete after n_tgt or n_src others."""
    scores = plan.scores()
    for block in comparisons:
        scores.multiply(block.src_factor, block.tgt_factor)
        scores.nominate(block.src_lists, block.tgt_lists)
        block.src_lists.count_compared(len(block.tgt_lists), until=n_tgt)
        block.tgt_lists.count_compared(len(block.src_lists), until=n_src)


def _rank(blocks: Iterator[Shortlists], *, ranking: Ranking, plan: _Plan) -> None:
    """Rank the candidates of blocks of rows."""
    for lists in blocks:
        ranking.rank(lists, plan.precision)


def _fit(block: int, n: int) -> int:
    """Round a block up to whole tiles, and no larger than n needs."""
    return min(-(-max(1, min(block, n)) // TILE_LENGTH) * TILE_LENGTH, _LARGEST_BLOCK)


@contextmanager
def _torch_set(threads: int | None) -> Iterator[int]:
    """Use this many threads and true float32 products, and put back what was set before."""
    n_threads, precision = torch.get_num_threads(), torch.get_float32_matmul_precision()
    torch.set_num_threads(threads or n_threads)
    torch.set_float32_matmul_precision("highest")  # "medium" may multiply in bfloat16
    try:
        yield threads or n_threads
    finally:
        torch.set_num_threads(n_threads)
        torch.set_float32_matmul_precision(precision)
