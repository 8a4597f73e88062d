"""The steps of the GPU benchmark: each runs something, and says how fast it was."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gpu_model import InMemoryEncoder, Padded, Shape, pad, run_padded, sentence_transformer
from measuring import cosines
from torch import Tensor

from bitextmine.arrays import Floats
from bitextmine.config import EncoderOptions
from bitextmine.encode.shards import encode_shard
from bitextmine.encoders.base import EncoderInfo
from bitextmine.encoders.registry import register_encoder
from bitextmine.encoders.spec import resolve_spec
from bitextmine.encoders.transformer.batches import Groups, make_batches
from bitextmine.encoders.transformer.encoder import chunk_rows
from bitextmine.encoders.transformer.network import Network
from bitextmine.encoders.transformer.runners import DeviceRunner, laid_out
from bitextmine.encoders.transformer.tokens import TokenIds, Tokeniser
from bitextmine.machine import Limits
from bitextmine.workdir import Workdir

_BATCHES = (32, 128)  # sentences a batch of sentence-transformers: its default, and a larger one
_GEMM_SECONDS = 2.0  # long enough for the GPU to reach the power it may draw
_REFERENCE_TOKENS = 4096  # a batch, in float32
_NAME = "random-mt5"

Prepared = list[tuple[Tensor, Tensor, Groups]]  # ids and rows on the device


@dataclass(frozen=True)
class Setting:
    """What all steps share."""

    shape: Shape
    device: str
    budget: int  # tokens a batch
    sentences: list[str]  # all
    some: list[str]  # the first of them
    tokens: TokenIds  # of some
    tokeniser: Tokeniser
    tokenizer: Path  # its folder

    def seconds(self, compute: Callable[[], object]) -> float:
        """Seconds until the device has finished."""
        _wait(self.device)
        start = time.perf_counter()
        compute()
        _wait(self.device)
        return time.perf_counter() - start

    def speed(self, seconds: float, tokens: TokenIds) -> dict[str, float]:
        """Rates of encoding sentences in so many seconds."""
        flops = self.shape.flops(tokens.lengths)
        total = int(tokens.starts[-1])
        return {
            "sentences": len(tokens),
            "tokens": total,
            "seconds": round(seconds, 3),
            "tokens_per_s": round(total / seconds, 1),
            "sentences_per_s": round(len(tokens) / seconds, 1),
            "tflops": round(flops / seconds / 1e12, 4),
        }


def gemm_rates(setting: Setting) -> dict[str, float]:
    """TFLOP/s of bf16 products of random matrices, sustained for a second each."""
    side = 8192 if setting.device != "cpu" else 256
    own = [(setting.budget, rows, columns) for rows, columns in setting.shape.products()]
    return {
        "own_tflops": round(_gemm(setting, own), 4),
        "square_tflops": round(_gemm(setting, [(side, side, side)]), 4),
    }


def _gemm(setting: Setting, products: list[tuple[int, int, int]]) -> float:
    def random(rows: int, columns: int) -> Tensor:
        return torch.randn(rows, columns, device=setting.device, dtype=torch.bfloat16)

    pairs = [(random(m, k), random(n, k)) for m, k, n in products]

    def run(times: int) -> None:
        for _ in range(times):
            for x, weight in pairs:
                torch.nn.functional.linear(x, weight)

    with torch.inference_mode():
        run(3)
        once = setting.seconds(partial(run, 3)) / 3
        times = max(3, int(_GEMM_SECONDS / once))
        seconds = setting.seconds(partial(run, times)) / times
    return sum(2.0 * m * k * n for m, k, n in products) / seconds / 1e12


def in_float32(model: Any, few: TokenIds, device: str) -> Floats:
    """Vectors in float32 throughout, by transformers; the model stays in float32."""
    model.float()
    return host(run_padded(model, pad(few, _REFERENCE_TOKENS, device)))


def measure_transformers(setting: Setting, model: Any) -> dict[str, Any]:
    """Transformers' forward on the batches that we make, padded where they have to be."""
    batches: list[Padded] = pad(setting.tokens, setting.budget, setting.device)
    run_padded(model, batches[:2])  # warms up
    padded = sum(ids.numel() for _, ids, _ in batches)
    return {
        **setting.speed(setting.seconds(partial(run_padded, model, batches)), setting.tokens),
        "filled": round(int(setting.tokens.starts[-1]) / padded, 4),
    }


def measure_library(setting: Setting, model: Any) -> dict[str, Any]:
    """Sentence-transformers' ``encode``: tokenising, computing, copying back."""
    library = sentence_transformer(model, setting.tokenizer, setting.device)
    library.encode(setting.some[:256], batch_size=_BATCHES[0])
    figures: dict[str, Any] = {}
    for size in _BATCHES:
        run = partial(library.encode, setting.some, batch_size=size)
        figures[f"batch {size}"] = setting.speed(setting.seconds(run), setting.tokens)
    return figures


def prepare(network: Network, tokens: TokenIds, budget: int) -> Prepared:
    """Make the batches of `DeviceRunner`, and bring them to the device."""
    return [
        (
            laid_out(batch, network, budget).to(network.device),
            torch.from_numpy(batch.rows).to(network.device),
            batch.groups,
        )
        for batch in make_batches(tokens, budget)
    ]


def run_network(network: Network, batches: Prepared) -> Tensor:
    """Our forward, batch after batch."""
    total = sum(len(rows) for _, rows, _ in batches)
    vectors = torch.empty(total, network.dim, device=network.device)
    for ids, rows, groups in batches:
        vectors.index_copy_(0, rows, network(ids, groups))
    return vectors


def measure_network(setting: Setting, network: Network) -> dict[str, Any]:
    """Our forward on ready tokens."""
    batches = prepare(network, setting.tokens, setting.budget)
    for ids, _, groups in batches[:2]:
        network(ids, groups)  # warms up
    seconds = setting.seconds(partial(run_network, network, batches))
    return {
        **setting.speed(seconds, setting.tokens),
        "ms_per_batch": round(1000 * seconds / len(batches), 2),
        "filled": round(int(setting.tokens.starts[-1]) / sum(len(ids) for ids, _, _ in batches), 4),
    }


def measure_pipeline(setting: Setting, network: Network) -> dict[str, Any]:
    """Encode a shard as `bitextmine encode` does: from text on disk to float16 vectors there."""
    info = _info(setting.shape)
    runner = DeviceRunner(network, setting.budget, compiled=False)  # it is compiled already
    register_encoder(info, lambda threads, where: InMemoryEncoder(info, setting.tokeniser, runner))
    spec = resolve_spec(_NAME, EncoderOptions(), Limits((setting.device,)))
    with tempfile.TemporaryDirectory() as temporary:
        root = Path(temporary)
        shard = Workdir(root).shard("src", 0)
        write_shard(shard.folder, setting.sentences)
        encode = partial(
            encode_shard,
            root,
            "src",
            0,
            spec,
            resources=Limits().resources(setting.device),
            advance=id,
        )
        seconds = setting.seconds(encode)
        written = np.load(shard.embeddings, mmap_mode="r")
        assert written.shape == (len(setting.sentences), setting.shape.d)
    start = time.perf_counter()
    tokens = setting.tokeniser.encode(setting.sentences)
    tokenising = time.perf_counter() - start
    return {
        **setting.speed(seconds, tokens),
        "chunk_rows": info.chunk_rows,
        "tokenising_alone_s": round(tokenising, 3),
        "batch_tokens_at_the_end": runner.budget,
    }


def _info(shape: Shape) -> EncoderInfo:
    multiplied = sum(rows * columns for rows, columns in shape.products()) * shape.layers
    return EncoderInfo(
        name=_NAME,
        summary="random weights",
        dim=shape.d,
        languages=frozenset(),
        package="none",
        size_mib=0,
        licence="none",
        threshold=None,
        threshold_source="",
        chunk_rows=chunk_rows(multiplied, on_cpu=False),
    )


def write_shard(folder: Path, sentences: list[str]) -> None:
    """Write the text of a shard as `bitextmine shard` does, duplicates left in."""
    folder.mkdir(parents=True)
    encoded = [sentence.encode() for sentence in sentences]
    (folder / "text.bin").write_bytes(b"".join(encoded))
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded))
    np.save(folder / "offsets.npy", np.concatenate([np.zeros(1, np.int64), lengths.cumsum()]))


def spread(vectors: Floats) -> dict[str, float]:
    """How alike the vectors of different sentences are, which random weights may make them."""
    return {"cosine_of_neighbours_mean": float(cosines(vectors[1:], vectors[:-1]).mean())}


def compared(vectors: Floats, reference: Floats | None) -> dict[str, float]:
    """Cosines with the reference; and without what all vectors have in common, which is harder."""
    if reference is None:
        return {}
    same = cosines(vectors, reference)
    common = reference.mean(axis=0)
    rest = cosines(vectors - common, reference - common)
    return {
        "cosine_min": float(same.min()),
        "cosine_mean": float(same.mean()),
        "centred_cosine_min": float(rest.min()),
    }


def host(vectors: Tensor) -> Floats:
    """Bring vectors to the host."""
    brought: Floats = vectors.cpu().numpy()
    return brought


def _wait(device: str) -> None:
    if device != "cpu":
        torch.cuda.synchronize(device)
