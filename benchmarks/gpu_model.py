"""An mT5 encoder of random weights, made on the device where it runs, in three kinds of use.

Speed depends on shapes, not on what the weights are; but weights and texts must be like real ones
in spread, because a GPU draws more power, and so runs slower, on random numbers than on zeros.
"""

import importlib
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bitextmine.arrays import Ids
from bitextmine.checkpoints.description import Description
from bitextmine.encoders.base import EncoderInfo
from bitextmine.encoders.transformer.batches import make_batches
from bitextmine.encoders.transformer.encoder import TransformerEncoder
from bitextmine.encoders.transformer.runners import DeviceRunner
from bitextmine.encoders.transformer.tokens import TokenIds, Tokeniser
from bitextmine.models.t5_tokenizer import write_t5_tokenizer

# d_model, d_kv, num_heads, d_ff, num_layers: google/mt5-* on the Hugging Face hub
SHAPES: dict[str, tuple[int, int, int, int, int]] = {
    "tiny": (64, 16, 4, 160, 2),  # ours, to try the code
    "small": (512, 64, 6, 1024, 8),
    "base": (768, 64, 12, 2048, 12),
    "large": (1024, 64, 16, 2816, 24),
    "xl": (2048, 64, 32, 5120, 24),
    "xxl": (4096, 64, 64, 10240, 24),
}
MAX_LENGTH = 256  # tokens
_VOCABULARY = 250_112  # rows of mT5's embedding
_TRAINED_PIECES = 16_000
_TRAINING_SENTENCES = 20_000
_SEED = 5

Padded = tuple[Tensor, Tensor, Tensor]  # rows, ids and mask of a batch, on the device


@dataclass(frozen=True)
class Shape:
    """What decides how much an encoder computes."""

    d: int
    d_kv: int
    heads: int
    d_ff: int
    layers: int

    @staticmethod
    def of(size: str, layers: int | None) -> "Shape":
        """Look up a size of mT5, perhaps with another number of layers."""
        d, d_kv, heads, d_ff, usual = SHAPES[size]
        return Shape(d, d_kv, heads, d_ff, layers or usual)

    @property
    def inner(self) -> int:
        """Width of all heads together."""
        return self.d_kv * self.heads

    def products(self) -> list[tuple[int, int]]:
        """Matrix products of a layer, fused as ours are: (in, out)."""
        d, inner, d_ff = self.d, self.inner, self.d_ff
        return [(d, 3 * inner), (inner, d), (d, 2 * d_ff), (d_ff, d)]

    def flops(self, lengths: Ids) -> float:
        """Of all sentences of these lengths: products with weights, and attention's two."""
        multiplied = sum(rows * columns for rows, columns in self.products())
        squares = float((lengths.astype(np.float64) ** 2).sum())
        return self.layers * (2 * multiplied * float(lengths.sum()) + 4 * self.inner * squares)


def random_model(shape: Shape, device: str, dtype: torch.dtype) -> Any:
    """Return a ``MT5EncoderModel`` made on the device, with transformers' own initialisation."""
    transformers: Any = importlib.import_module("transformers")
    config = _config(shape, _VOCABULARY)
    torch.manual_seed(_SEED)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(dtype)
    try:
        with torch.device(device):
            model = transformers.MT5EncoderModel(config)
    finally:
        torch.set_default_dtype(usual)
    return model.eval().requires_grad_(False)


def _config(shape: Shape, vocabulary: int) -> Any:
    transformers: Any = importlib.import_module("transformers")
    return transformers.MT5Config(
        vocab_size=vocabulary,
        d_model=shape.d,
        d_kv=shape.d_kv,
        num_heads=shape.heads,
        d_ff=shape.d_ff,
        num_layers=shape.layers,
        feed_forward_proj="gated-gelu",
    )


def description(folder: Path, dim: int) -> Description:
    """Say that sentences become the mean of their tokens, as in m-ST5."""
    return Description(
        folder=folder,
        model_type="mt5",
        hidden_dim=dim,
        lowercase=False,
        prompt="",
        prompts=(),
        pool_prompt=True,
        max_length=MAX_LENGTH,
        poolings=("mean",),
        head=(),
        dim=dim,
        remote_code=False,
    )


class InMemoryEncoder(TransformerEncoder):
    """Our encoder around a model that is in memory already."""

    def __init__(self, info: EncoderInfo, tokeniser: Tokeniser, runner: DeviceRunner) -> None:
        self.info = info
        self._tokeniser = tokeniser
        self._runner = runner


def tokenizer_folder(given: Path | None, sentences: Sequence[str], place: Path) -> str:
    """Fill a folder with a tokenizer, and say which: the one given, or one trained on the text.

    A real one has more pieces and so gives fewer tokens a sentence; speed in tokens a second
    hardly depends on that, speed in sentences a second does.
    """
    if given is not None:
        names = ("tokenizer*.json", "special_tokens_map.json", "spiece.model")
        for file in (file for name in names for file in given.glob(name)):
            shutil.copy(file, place)
        return f"of the folder {given.name}"
    library: Any = importlib.import_module("sentencepiece")
    with tempfile.TemporaryDirectory() as temporary:
        spiece = Path(temporary) / "spiece.model"
        library.SentencePieceTrainer.train(
            sentence_iterator=iter(list(dict.fromkeys(sentences))[:_TRAINING_SENTENCES]),
            model_prefix=str(spiece.with_suffix("")),
            vocab_size=_TRAINED_PIECES,
            hard_vocab_limit=False,
            byte_fallback=True,
            pad_id=0,
            eos_id=1,
            unk_id=2,
            bos_id=-1,
            minloglevel=2,
        )
        write_t5_tokenizer(spiece, place)
    return f"SentencePiece, {_TRAINED_PIECES:,} pieces at most, trained on the sentences"


def pad(tokens: TokenIds, budget: int, device: str) -> list[Padded]:
    """Make our batches, each padded to its longest sentence, as transformers wants them.

    The sentences of a batch are of nearly one length, so the padding is little.
    """
    spans = list(pairwise(tokens.starts.tolist()))
    padded: list[Padded] = []
    for batch in make_batches(tokens, budget):
        sentences = [tokens.ids[slice(*spans[row])] for row in batch.rows.tolist()]
        ids, mask = _padded(sentences)
        padded.append((torch.from_numpy(batch.rows).to(device), ids.to(device), mask.to(device)))
    return padded


@torch.inference_mode()
def run_padded(model: Any, batches: Sequence[Padded]) -> Tensor:
    """Mean of the last hidden states by transformers' own forward.

    Returns
    -------
    Tensor of float32, shape (n, d)
        A row a sentence; where not all batches are given, most rows are undefined.
    """
    total = 1 + max(int(rows.max()) for rows, _, _ in batches)
    vectors = torch.empty(total, model.config.d_model, device=batches[0][1].device)
    for rows, ids, mask in batches:
        hidden = model(input_ids=ids, attention_mask=mask).last_hidden_state.float()
        weights = mask.unsqueeze(-1).float()
        vectors.index_copy_(0, rows, (hidden * weights).sum(1) / weights.sum(1))
    return vectors


def _padded(sentences: Sequence["np.ndarray[Any, Any]"]) -> tuple[Tensor, Tensor]:
    longest = max(map(len, sentences))
    ids = np.zeros((len(sentences), longest), dtype=np.int64)
    mask = np.zeros_like(ids)
    for row, sentence in enumerate(sentences):
        ids[row, : len(sentence)] = sentence
        mask[row, : len(sentence)] = 1
    return torch.from_numpy(ids), torch.from_numpy(mask)


def sentence_transformer(model: Any, tokenizer: Path, device: str) -> Any:
    """Wrap the model, the very same weights, in sentence-transformers with mean pooling.

    The library wants a folder, so it gets a small model, which is then replaced.
    """
    transformers: Any = importlib.import_module("transformers")
    library: Any = importlib.import_module("sentence_transformers")
    modules: Any = importlib.import_module("sentence_transformers.sentence_transformer.modules")
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "model"
        shutil.copytree(tokenizer, folder)
        small = Shape(8, 4, 2, 16, 1)
        transformers.MT5EncoderModel(_config(small, 1000)).save_pretrained(folder)
        transformer = modules.Transformer(str(folder), max_seq_length=MAX_LENGTH)
    transformer.model = model
    pooling = modules.Pooling(model.config.d_model, "mean")
    return library.SentenceTransformer(modules=[transformer, pooling], device=device)
