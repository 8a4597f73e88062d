"""The search stage: blocks of two shards, then one list of neighbours a sentence.

Tasks: ``search_block`` (a src shard against a tgt shard, both directions at
once) and ``merge_shard`` (all blocks of one shard). Lists are merged before any
margin is computed, so the pairs do not depend on the number of shards.
"""

from pathlib import Path

import numpy as np

from bitextmine.accounts import count_shards
from bitextmine.config import SearchConfig
from bitextmine.machine import usable_threads
from bitextmine.progress import bar
from bitextmine.search.merge import merge_neighbours
from bitextmine.search.neighbours import Neighbours
from bitextmine.workdir import Side, Workdir
from bitextmine.writing import atomic_write


def search_block(root: Path, src_shard: int, tgt_shard: int, config: SearchConfig) -> None:
    """Find the k nearest neighbours between two shards, in both directions."""
    from bitextmine.search.exact import two_way_neighbours  # imports torch

    workdir = Workdir(root)
    path = workdir.block(src_shard, tgt_shard)
    if path.exists():
        return
    src, tgt = workdir.shard("src", src_shard), workdir.shard("tgt", tgt_shard)
    embeddings = [np.load(f.embeddings, mmap_mode="r", allow_pickle=False) for f in (src, tgt)]
    numbers = [np.load(f.numbers, allow_pickle=False) for f in (src, tgt)]
    with bar("search", total=len(numbers[0]) * len(numbers[1]), unit="cosines") as progress:
        fwd, bwd = two_way_neighbours(
            embeddings[0],
            embeddings[1],
            k=config.k,
            src_ids=numbers[0],
            tgt_ids=numbers[1],
            threads=usable_threads(config.threads),
            progress=progress.update,
        )
    _save(path, fwd=fwd, bwd=bwd)


def merge_shard(root: Path, side: Side, shard: int, config: SearchConfig) -> None:
    """Merge what the blocks of one shard found into the k nearest of the whole other side."""
    workdir = Workdir(root)
    path = workdir.shard(side, shard).neighbours
    if path.exists():
        return
    if side == "src":
        blocks = [workdir.block(shard, tgt) for tgt in range(count_shards(workdir, "tgt"))]
        merged = merge_neighbours([_load(block, "fwd") for block in blocks], config.k)
        _save(path, fwd=merged)
    else:
        blocks = [workdir.block(src, shard) for src in range(count_shards(workdir, "src"))]
        merged = merge_neighbours([_load(block, "bwd") for block in blocks], config.k)
        _save(path, bwd=merged)


def load_neighbours(workdir: Workdir, side: Side) -> Neighbours:
    """Return the neighbours of a whole side; row i is sentence number i.

    Returns
    -------
    Neighbours
        (n, k); ids are sentence numbers of the other side.
    """
    direction = "fwd" if side == "src" else "bwd"
    shards = [workdir.shard(side, shard) for shard in range(count_shards(workdir, side))]
    numbers = [np.load(files.numbers, allow_pickle=False) for files in shards]
    lists = [_load(files.neighbours, direction) for files in shards]
    n, k = sum(map(len, numbers)), lists[0].k
    cosines, ids = np.empty((n, k), np.float32), np.empty((n, k), np.int64)
    for rows, part in zip(numbers, lists, strict=True):
        cosines[rows], ids[rows] = part.cosines, part.ids
    return Neighbours(cosines, ids)


def _save(path: Path, **lists: Neighbours) -> None:
    arrays = {}
    for direction, found in lists.items():
        arrays[f"{direction}_cosines"] = found.cosines
        arrays[f"{direction}_ids"] = found.ids.astype(np.uint32)  # 8 bytes an entry in all
    with atomic_write(path) as file:
        np.savez(file, allow_pickle=False, **arrays)


def _load(path: Path, direction: str) -> Neighbours:
    with np.load(path, allow_pickle=False) as arrays:
        ids = arrays[f"{direction}_ids"].astype(np.int64)
        return Neighbours(arrays[f"{direction}_cosines"], ids)
