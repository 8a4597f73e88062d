"""How fast similarities are computed, and how far they can be from the exact cosine."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch

from bitextmine.arrays import Floats
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.exact.workers import share_out

GemmName = Literal["auto", "float32", "bfloat16"]

_UNIT = 2.0**-24  # the unit roundoff of float32
_SAFETY = 1e-6  # a cosine: more than the rounding of thresholds and cosines to float32


@dataclass(frozen=True)
class Precision:
    """A number format for the big matrix products, with a proven bound of their error.

    Attributes
    ----------
    dtype : torch.dtype
        The format of both factors and of the product.
    error : float
        Bound of |similarity - cosine| before the product is rounded to `dtype`.
    lowest : float
        Lower thresholds are not supported: bfloat16 is compared as integers, which
        are in the order of the numbers only above zero.
    """

    dtype: torch.dtype
    error: float
    lowest: float

    def errors(self, values: Floats) -> Floats:
        """Bound |similarity - cosine| for similarities up to these."""
        if self.dtype != torch.bfloat16:
            return np.full_like(values, self.error)
        # Half the gap between neighbouring 8-bit significands: 2^-9 in [0.5, 1).
        half_ulps: Floats = np.ldexp(np.float32(1), np.frexp(values)[1] - 9)
        return half_ulps + np.float32(self.error)

    def slack(self, values: Floats) -> Floats:
        """How far below these a similarity must be for its cosine to be surely lower."""
        return 2 * self.errors(values) + np.float32(_SAFETY)


EXACT = Precision(torch.float64, error=0.0, lowest=-np.inf)


def choose_dtype(gemm: GemmName) -> torch.dtype:
    """Take bfloat16 where the processor multiplies it natively; elsewhere it is emulated."""
    if gemm != "auto":
        return torch.bfloat16 if gemm == "bfloat16" else torch.float32
    native = any(
        getattr(torch.cpu, name, lambda: False)()
        for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported")
    )
    return torch.bfloat16 if native else torch.float32


def measure_precision(
    dtype: torch.dtype, src: SearchSide, tgt: SearchSide, *, n_workers: int = 1
) -> Precision:
    """Bound the error of a matrix product of unit rows in this format.

    A float32 sum of d products, in any order and with or without FMA, is off by at most
    gamma_d = d u / (1 - d u) times the sum of their sizes, which is at most 1 for unit rows
    (Higham, Accuracy and Stability of Numerical Algorithms, section 3.1). bfloat16 factors
    add |x - bf16(x)| |y| + |bf16(x)| |y - bf16(y)| (Cauchy-Schwarz), with these lengths
    measured on the vectors at hand: they are a third of what the format guarantees.
    """
    d = src.vectors.shape[1]
    gamma = d * _UNIT / (1 - d * _UNIT)
    scaling = 8 * _UNIT  # both rows are multiplied by rounded reciprocals of their norms
    if dtype != torch.bfloat16:
        return Precision(dtype, error=gamma + scaling, lowest=-np.inf)
    src_loss, tgt_loss = _largest_loss(src, n_workers), _largest_loss(tgt, n_workers)
    loss = (src_loss + tgt_loss + src_loss * tgt_loss) * (1 + 1e-4)
    return Precision(dtype, error=loss + 2 * gamma + scaling, lowest=0.0)


def device_error(d: int) -> float:
    """Bound |similarity - cosine| on a GPU, where float16 products are summed in float32.

    Tensor cores align the products and the sum so far to the largest of them, cut off what
    lies below 2^-23 of it, and cut the sum again; later ones keep more bits (Fasi et al. 2021,
    doi:10.7717/peerj-cs.330; Khattak and Mikaitis 2025, arXiv:2512.07004). So each of d products
    costs two cuts at most, of a number no larger than the sum of the sizes of all products,
    which is at most the product of the lengths. Rounded sums, in whatever order, lose less.
    """
    cuts = 2 * d * 2 * _UNIT
    scaling = 8 * _UNIT  # as in measure_precision
    return cuts / (1 - cuts) + scaling + _SAFETY


def _largest_loss(side: SearchSide, n_workers: int) -> float:
    """The largest |x - bf16(x)| among the unit rows of one side."""
    largest: list[float] = []

    def measure(blocks: Iterator[tuple[int, int]]) -> None:
        for start, stop in blocks:
            rows = side.unit_rows(start, stop)
            losses = (rows - rows.bfloat16().float()).square_().sum(1)
            largest.append(float(losses.max().sqrt()))

    share_out(side.blocks(1024), measure, n_workers)
    return max(largest)
