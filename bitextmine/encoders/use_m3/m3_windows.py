"""The second window layer of use-m3, with half the multiplications.

Winograd (1980) and Toom and Cook before him: the outputs of `TILE` neighbouring windows of n
tokens are a product of polynomials, so TILE + n - 1 matrix products give them instead of TILE * n.
"""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from bitextmine.encoders.use_m3.m3_weights import BRANCH, Weights

TILE = 4  # windows computed together
_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)  # where the polynomials are evaluated


@dataclass(frozen=True)
class FastWindows:
    """One window layer: for every row, ReLU(bias + sum of the n rows from it on, each weighted)."""

    evaluate: Tensor  # (p, p): rows of a tile to their values at p points
    weights: Tensor  # (p, 256, 256): the weights at these points
    interpolate: Tensor  # (TILE, p): products at the points to the outputs of a tile
    bias: Tensor  # (256,)

    @staticmethod
    def of(weights: Weights, n: int) -> "FastWindows":
        """Transform the weights of the branch with windows of n tokens."""
        points = TILE + n - 1
        inverse = np.linalg.inv(_powers(points, points)).T
        layer = weights.arrays[f"w2_{n}"].double().view(n, BRANCH * BRANCH)
        at_points = torch.from_numpy(_powers(points, n)) @ layer
        return FastWindows(
            torch.from_numpy(inverse).float(),
            at_points.float().view(points, BRANCH, BRANCH),
            torch.from_numpy(_powers(points, TILE).T.copy()).float(),
            weights.arrays[f"b2_{n}"],
        )

    def __call__(self, rows: Tensor, tiles: Tensor) -> Tensor:
        """Outputs of tiles of windows.

        Parameters
        ----------
        rows : Tensor, shape (m, 256)
            Inputs.
        tiles : Tensor of int64, shape (t, p or more)
            Which rows each tile reads, in order. All of them can change the last bits of every
            output of the tile, so they must belong to one sentence or be zero.

        Returns
        -------
        Tensor, shape (t, TILE, 256)
        """
        points = len(self.weights)
        inputs = rows.index_select(0, tiles[:, :points].t().reshape(-1))
        values = torch.mm(self.evaluate, inputs.view(points, -1)).view(points, -1, BRANCH)
        products = torch.bmm(values, self.weights).view(points, -1)
        outputs = torch.mm(self.interpolate, products).view(TILE, -1, BRANCH)
        return outputs.add_(self.bias).relu_().transpose(0, 1).contiguous()


def _powers(points: int, count: int) -> NDArray[np.float64]:
    """Powers 0 to count - 1 of the points, the last point being infinity."""
    powers = np.vander(_POINTS[: points - 1], count, increasing=True)
    at_infinity = np.eye(count)[-1:]
    return np.concatenate([powers, at_infinity])
