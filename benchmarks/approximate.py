"""What does an index miss, and from what size on is it faster than exact search?

    python benchmarks/approximate.py --work /tmp/approximate --json out.json

Both questions are answered on use-m3 vectors of the mining tasks. Recall: neighbours and pairs
of exact search that are found, at the default settings and around them, and pairs that exact
search does not give. Crossover: all vectors pooled and, beyond their number, copies of them
moved by noise, which is written beside the figures. Contenders take turns within one run, so
that a busy machine slows all alike: read the ratios, not the seconds.
"""

import argparse
import importlib
import json
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import numpy as np
from measuring import circumstances, timed
from search import sentences

from bitextmine.arrays import Halfs
from bitextmine.config import SelectConfig
from bitextmine.encoders.registry import encoder_info
from bitextmine.encoders.use_m3.m3_encoder import UseM3
from bitextmine.files import Scratch
from bitextmine.machine import usable_threads
from bitextmine.search.approximate import lookup as approximate
from bitextmine.search.approximate.factory import HNSW, ivf_factory, lists_read, number_of_lists
from bitextmine.search.approximate.index import build_index
from bitextmine.search.approximate.lookup import exchange, search_index
from bitextmine.search.exact.two_way import two_way_neighbours
from bitextmine.search.method import SearchSize, choose_method
from bitextmine.search.neighbours import Neighbours
from bitextmine.search.rows import Rows
from bitextmine.select.choose import choose_pairs

TASKS = ("de-en", "fr-en", "ru-en", "zh-en")
K = 4
SEED = 1
NOISE = 0.25  # length of what is added to a copy of a vector; its cosine to the first is 0.97
MEMORY = 64 << 30

Lists = tuple[Neighbours, Neighbours]


class Found(NamedTuple):
    """Lists of both directions, and the seconds of each part."""

    fwd: Neighbours
    bwd: Neighbours
    seconds: dict[str, float]


def main() -> None:
    """Measure, show tables, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--work", type=Path, required=True, help="keeps vectors between runs")
    parser.add_argument("--tasks", nargs="*", default=list(TASKS))
    parser.add_argument("--sizes", type=int, nargs="*", default=[10_000, 25_000, 50_000, 100_000])
    parser.add_argument("--hnsw-to", type=int, default=50_000, help="largest size of HNSW")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    report = circumstances(usable_threads(0), ("torch", "numpy", "faiss-cpu"))
    report["k"] = K
    report["recall"] = [row for task in args.tasks for row in recall(task, args.work)]
    report["crossover"] = crossover(args.sizes, args.hnsw_to, args.work)
    if args.json:
        args.json.write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def vectors(task: str, side: str, work: Path) -> Halfs:
    """Encode one side of a task with use-m3, or take what an earlier run encoded."""
    path = work / f"{task}.{side}.npy"
    if not path.exists():
        language = task.split("-")[0 if side == "src" else 1]
        lines = sentences((f"{task}/{task}.{language}.zst",), 1 << 40)
        rows = UseM3(threads=usable_threads(0)).encode(lines).embeddings
        np.save(path, (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float16))
    loaded: Halfs = np.load(path)
    return loaded


def exact(src: Halfs, tgt: Halfs) -> Found:
    """Search exactly, as the program does."""
    numbers = np.arange(len(src)), np.arange(len(tgt))
    lists, seconds = timed(
        lambda: two_way_neighbours(src, tgt, k=K, src_numbers=numbers[0], tgt_numbers=numbers[1])
    )
    return Found(*lists, {"search": seconds})


def indexed(src: Halfs, tgt: Halfs, factory: Callable[[int, int], str]) -> Found:
    """Search with an index over each side, as the program does."""
    sides = {"src": Rows([src]), "tgt": Rows([tgt])}
    numbers = {side: np.arange(len(rows)) for side, rows in sides.items()}
    threads = usable_threads(0)
    seconds, lists = {"build": 0.0, "search": 0.0}, {}
    with tempfile.TemporaryDirectory() as folder:
        for side, asking in (("tgt", "src"), ("src", "tgt")):
            path, rows = Path(folder) / side, sides[side]
            build = partial(
                build_index,
                path,
                rows,
                numbers[side],
                factory=factory(*rows.shape),
                seed=SEED,
                threads=threads,
                memory=MEMORY,
            )
            search = partial(
                search_index,
                path,
                sides[asking],
                numbers[asking],
                rows,
                numbers[side],
                k=K,
                threads=threads,
            )
            _, built = timed(build)
            lists[asking], searched = timed(search)
            seconds["build"] += built
            seconds["search"] += searched
    (fwd, bwd), exchanged = timed(
        lambda: (
            exchange(numbers["src"], lists["src"], [(numbers["tgt"], lists["tgt"])]),
            exchange(numbers["tgt"], lists["tgt"], [(numbers["src"], lists["src"])]),
        )
    )
    return Found(fwd, bwd, seconds | {"exchange": exchanged})


def contenders(n: int) -> list[tuple[str, Callable[[int, int], str], int]]:
    """Name, factory and lists read: the defaults, and settings around them."""
    default = lists_read(number_of_lists(n))
    return [
        ("ivf (default)", ivf_factory, default),
        ("ivf, half the lists read", ivf_factory, default // 2),
        ("ivf, twice the lists read", ivf_factory, default * 2),
        ("ivf, vectors kept as float16", whole_vectors, default),
        ("hnsw (default)", lambda n, dim: HNSW, default),
    ]


def whole_vectors(n: int, dim: int) -> str:
    """The lists of the default, with vectors that are not compressed."""
    return f"IVF{number_of_lists(n)},SQfp16"


def recall(task: str, work: Path) -> list[dict[str, Any]]:
    """Compare indexes with exact search on one task."""
    src, tgt = vectors(task, "src", work), vectors(task, "tgt", work)
    truth = exact(src, tgt)
    true_pairs = pairs(truth)
    print(f"\n{task}: {len(src):,} x {len(tgt):,}, exact {truth.seconds['search']:.1f} s")
    rows = []
    for name, factory, read in contenders(len(src)):
        with patch.object(approximate, "lists_read", lambda lists, read=read: min(lists, read)):
            found = indexed(src, tgt, factory)
        mined = pairs(found)
        row = {
            "task": task, "n_src": len(src), "n_tgt": len(tgt), "index": name,
            "factory": factory(*tgt.shape), "lists_read": read,
            "neighbours_found": [round(n, 4) for n in neighbours_found(found, truth)],
            "exact_pairs": len(true_pairs),
            "pairs_found": round(len(mined & true_pairs) / len(true_pairs), 4),
            "pairs_added": round(len(mined - true_pairs) / len(true_pairs), 4),
            "seconds": found.seconds, "exact_seconds": truth.seconds["search"],
        }  # fmt: skip
        rows.append(row)
        print(
            f"{name:30} neighbours {row['neighbours_found']} pairs {row['pairs_found']:.4f}"
            f" added {row['pairs_added']:.4f} {sum(found.seconds.values()):.1f} s",
            flush=True,
        )
    return rows


def pairs(found: Found) -> set[tuple[int, int]]:
    """Select pairs at the encoder's own threshold."""
    threshold = encoder_info("use-m3").threshold
    assert threshold is not None
    with Scratch(Path(tempfile.gettempdir())) as scratch:
        chosen = choose_pairs(scratch, found.fwd, found.bwd, SelectConfig(), threshold, MEMORY)
        return set(chosen.pairs.read()[["src", "tgt"]].tolist())


def neighbours_found(found: Found, truth: Found) -> list[float]:
    """Share of the exact neighbours that are in the lists, of both directions."""
    return [
        float((mine.numbers[:, :, None] == true.numbers[:, None, :]).any(axis=1).mean())
        for mine, true in ((found.fwd, truth.fwd), (found.bwd, truth.bwd))
    ]


def crossover(sizes: list[int], hnsw_to: int, work: Path) -> dict[str, Any]:
    """Time exact search and both indexes as the sides grow, and find where they meet."""
    pools = [np.concatenate([vectors(t, side, work) for t in TASKS]) for side in ("src", "tgt")]
    rows = []
    for n in sizes:
        src, tgt = (grown(pool, n, seed) for seed, pool in enumerate(pools))
        truth, ivf = exact(src, tgt), indexed(src, tgt, ivf_factory)
        row = {
            "n": n, "copies": [max(0, n - len(pool)) for pool in pools],
            "exact": truth.seconds, "ivf": ivf.seconds, "ivf_factory": ivf_factory(*tgt.shape),
            "exact_pairs": len(pairs(truth)),
            "ivf_pairs_found": len(pairs(ivf) & pairs(truth)) / max(1, len(pairs(truth))),
            "ivf_pairs_added": len(pairs(ivf) - pairs(truth)) / max(1, len(pairs(truth))),
        }  # fmt: skip
        if n <= hnsw_to:
            row["hnsw"] = indexed(src, tgt, lambda n, dim: HNSW).seconds
        method = choose_method(
            "ivf",
            SearchSize(n, n, dim=src.shape[1], k=K),
            devices=("cpu",),
            threads=usable_threads(0),
            memory=MEMORY,
        )
        row["predicted"] = {"exact": method.exact_seconds, "ivf": method.index_seconds}
        rows.append(row)
        print(json.dumps(row), flush=True)
    noise = f"beyond the pooled vectors, copies moved by noise of length {NOISE}"
    return {
        "vectors": f"use-m3, {', '.join(TASKS)}; {noise}",
        "sizes": rows,
        "against_exact": {name: against_exact(rows, name) for name in ("ivf", "hnsw")},
    }


def grown(pool: Halfs, n: int, seed: int) -> Halfs:
    """The first n of shuffled vectors, and copies moved by noise when there are no more."""
    draw = np.random.default_rng(seed)
    order = draw.permutation(len(pool))
    rows: Halfs = pool[order[:n]]
    while len(rows) < n:
        some = pool[order[: n - len(rows)]].astype(np.float32)
        noise = draw.standard_normal(some.shape, np.float32)
        some += NOISE * noise / np.linalg.norm(noise, axis=1, keepdims=True)
        some /= np.linalg.norm(some, axis=1, keepdims=True)
        rows = np.concatenate([rows, some.astype(np.float16)])
    return rows


def against_exact(rows: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """Fit seconds / seconds of exact search = (n / crossover)^exponent to the largest three sizes.

    Both were timed one after the other, so what the machine did besides cancels out.
    """
    known = [row for row in rows if name in row]
    ratios = {row["n"]: sum(row[name].values()) / row["exact"]["search"] for row in known}
    last = np.log(list(ratios.items())[-3:])
    slope, constant = np.polyfit(last[:, 0], last[:, 1], 1) if len(last) > 1 else (np.nan, np.nan)
    return {
        "ratios": {n: round(ratio, 3) for n, ratio in ratios.items()},
        "exponent": round(float(slope), 3),
        "crossover": round(float(np.exp(-constant / slope))) if slope < 0 else None,
    }


if __name__ == "__main__":
    importlib.import_module("faiss")  # at once, not after minutes
    main()
