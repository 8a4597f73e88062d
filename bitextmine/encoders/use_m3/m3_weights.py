"""The weights of use-m3, and what they make of single tokens."""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bitextmine.arrays import Ids

DIM = 512  # of a token embedding and of a sentence vector
BRANCH = 256  # width of each n-gram branch
ORDERS = ((2, 0), (3, 1), (5, 2))  # a branch each: tokens in a window, of these left of its centre

TOKEN_ROWS = 256  # tokens whose products are computed at once
KEPT_TOKENS = 6144  # tokens whose products are kept: 15 KiB each, 90 MiB in all; more gain nothing


@dataclass(frozen=True)
class Weights:
    """The arrays of weights.npz, as the forward pass wants them."""

    embeddings: Tensor  # uint8 (128010, 512), quantised in 17 interleaved parts
    scale: Tensor  # (17, 1), to dequantise: embedding * scale + low
    low: Tensor  # (17, 1)
    arrays: dict[str, Tensor]
    epsilon: float

    @staticmethod
    def load(path: Path) -> "Weights":
        """Read the file once, writing the table of 63 MiB in place, two parts at a time."""
        with np.load(path, allow_pickle=False) as archive:
            small = [name for name in archive.files if not name.startswith("q")]
            arrays = {name: torch.from_numpy(archive[name]) for name in small}
            parts = len(arrays["scale"])
            embeddings = np.empty((parts * len(archive["q1"]), DIM), dtype=np.uint8)

        def read(part: int) -> None:
            with np.load(path, allow_pickle=False) as archive:
                embeddings[part::parts] = archive[f"q{part + 1}"]

        with ThreadPoolExecutor(2) as readers:
            list(readers.map(read, range(parts)))
        return Weights(
            torch.from_numpy(embeddings),
            arrays["scale"][:, None],
            arrays["lo"][:, None],
            arrays,
            float(arrays["eps"]),
        )

    def joined(self, name: str) -> Tensor:
        """Arrays of the three branches, side by side."""
        return torch.cat([self.arrays[f"{name}{n}"] for n, _ in ORDERS], dim=-1)

    def by_place(self, name: str) -> list[tuple[Tensor, ...]]:
        """Window weights of each branch: one (256, 256) matrix for every place in the window."""
        return [torch.chunk(self.arrays[f"{name}_{n}"], n) for n, _ in ORDERS]

    def embed(self, tokens: Tensor) -> Tensor:
        """Embeddings of some tokens, (n, 512)."""
        part = tokens % len(self.scale)
        return self.embeddings[tokens] * self.scale[part] + self.low[part]


class TokenProducts:
    """What the network computes from a token alone, kept for the tokens used last.

    A token in use has a slot. Slot 0 is no token: its rows are zero, so that a window may reach
    beyond its sentence.

    Attributes
    ----------
    slot_of : ndarray of int64, shape (vocabulary,)
        Each token's slot, 0 for none.
    embedded : Tensor, shape (slots, 512)
        Token embeddings.
    projected : Tensor, shape (slots, 768)
        Inputs of the three branches.
    products : list of Tensor, shape (slots * n, 256)
        For each branch, row ``slot * n + place`` is the token's share in a window of n tokens
        where it has that place.
    """

    def __init__(self, weights: Weights) -> None:
        slots = KEPT_TOKENS + 1
        self.slot_of: Ids = np.zeros(len(weights.embeddings), dtype=np.int64)
        self.embedded = torch.zeros(slots, DIM)
        self.projected = torch.zeros(slots, len(ORDERS) * BRANCH)
        self.products = [torch.zeros(slots * n, BRANCH) for n, _ in ORDERS]
        self._token_in: Ids = np.full(slots, -1, dtype=np.int64)
        self._last_used: Ids = np.zeros(slots, dtype=np.int64)
        self._clock = 0
        self._weights = weights
        self._projection = weights.joined("proj")
        self._projection_bias = weights.joined("proj_b")
        self._norm = weights.joined("ln_g"), weights.joined("ln_b")
        # (256, n * 256): all places of a window in one product
        self._layer = [torch.cat(places, dim=1) for places in weights.by_place("w1")]

    def admit(self, tokens: Ids) -> Ids:
        """Give each of at most `KEPT_TOKENS` distinct tokens a slot; return those to compute."""
        self._clock += 1
        slots = self.slot_of[tokens]
        new: Ids = tokens[slots == 0]
        self._last_used[slots] = self._clock
        if len(new) == 0:
            return new
        freed = 1 + np.argpartition(self._last_used[1:], len(new) - 1)[: len(new)]
        evicted = self._token_in[freed]
        self.slot_of[evicted[evicted >= 0]] = 0
        self.slot_of[new] = freed
        self._token_in[freed] = new
        self._last_used[freed] = self._clock
        return new

    @torch.inference_mode()
    def compute(self, tokens: Ids) -> None:
        """Fill the slots of at most `TOKEN_ROWS` tokens."""
        count = len(tokens)
        slots = torch.from_numpy(self.slot_of[tokens])
        embedded = torch.zeros(TOKEN_ROWS, DIM)
        embedded[:count] = self._weights.embed(torch.from_numpy(tokens))
        projected = functional.layer_norm(
            torch.addmm(self._projection_bias, embedded, self._projection),
            (len(ORDERS) * BRANCH,),
            *self._norm,
            eps=self._weights.epsilon,
        )
        self.embedded[slots] = embedded[:count]
        self.projected[slots] = projected[:count]
        branches = torch.chunk(projected, len(ORDERS), dim=1)
        for (n, left), branch, layer, products in zip(
            ORDERS, branches, self._layer, self.products, strict=True
        ):
            shares = torch.mm(branch, layer).view(TOKEN_ROWS, n, BRANCH)
            shares[:, left] += self._weights.arrays[f"b1_{n}"]  # once a window: at its centre
            products.view(-1, n, BRANCH)[slots] = shares[:count]
