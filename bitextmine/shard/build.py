"""Hash buckets -> shards of unique sentences, in bounded memory.

All copies of a sentence are in one bucket, so dropping duplicates there is exact without any
global state. Two sentences count as copies when the 128-bit BLAKE2b digests of their normalised
text agree.

A sentence's id is where it was first read, ``file << 40 | line``: it is the same however many
shards there are, and sorting by it is sorting by place.

Memory holds one shard, whatever the corpus.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitextmine.arrays import Ids
from bitextmine.errors import UsageError
from bitextmine.files import atomic_write, read_json, write_json
from bitextmine.machine import Resources, format_bytes
from bitextmine.progress import Advance
from bitextmine.shard.buckets import BUCKETS, BucketReader, Strings
from bitextmine.workdir import Side, Workdir

# Finding the duplicates of a shard takes this for each of its lines: ids, digests, their order.
DEDUP_BYTES_A_LINE = 128

# Gathering the texts takes this for each sentence after that, beside its text and key.
GATHER_BYTES_A_SENTENCE = 64


def plan_shards(
    root: Path, side: Side, shard_size: int, *, resources: Resources, advance: Advance
) -> None:
    """Group the buckets of a side into shards of about ``shard_size`` sentences."""
    workdir = Workdir(root)
    if workdir.shard_plan(side).exists():
        return
    accepted = 0
    for path in workdir.all_lines_done(side):
        done = read_json(path)
        accepted += done["read"] - sum(done["rejected"].values())
    shards = min(BUCKETS, max(1, -(-accepted // shard_size)))
    bounds = [BUCKETS * shard // shards for shard in range(shards + 1)]
    write_json(workdir.shard_plan(side), {"shards": shards, "bucket_bounds": bounds})


def build_shard(
    root: Path, side: Side, shard: int, *, resources: Resources, advance: Advance
) -> None:
    """Gather the buckets of one shard from all files, and drop exact duplicates.

    The first occurrence of a sentence stays; the others are kept as a list of
    (id, id of the first). Rows are in the order of ids.

    Raises
    ------
    UsageError
        The shard does not fit into the memory.
    OutputError
        The disk is full.
    """
    workdir = Workdir(root)
    files = workdir.shard(side, shard)
    if files.done.exists():
        return
    files.folder.mkdir(exist_ok=True)
    memory = resources.memory
    lines = _shard_lines(workdir, side, shard)
    table = lines.read_table(most=memory // DEDUP_BYTES_A_LINE)
    if table is None:
        raise _too_large(f"{side} shard {shard} has more lines than", memory)
    first, repeated = first_occurrences(table.digests, table.ids)
    _save(files.duplicates, np.stack([table.ids[repeated.rows], repeated.first_ids], axis=1))
    _save(files.ids, table.ids[first])
    lengths = table.lengths[:, first]
    counts = {"accepted": len(table.ids), "duplicates": len(repeated.rows), "unique": len(first)}
    del table, repeated  # The texts need their room.
    if int(lengths.sum(dtype=np.int64)) + GATHER_BYTES_A_SENTENCE * len(first) > memory:
        raise _too_large(f"{side} shard {shard} has more text than", memory)
    texts, keys = lines.read_strings(first, lengths)
    _save_strings(files.text, files.offsets, texts)
    if keys.content:
        _save_strings(files.keys, files.key_offsets, keys)
    write_json(files.done, counts)


def _shard_lines(workdir: Workdir, side: Side, shard: int) -> BucketReader:
    bounds = read_json(workdir.shard_plan(side))["bucket_bounds"]
    files = [workdir.lines(side, file) for file in range(len(workdir.all_lines_done(side)))]
    return BucketReader(files, BUCKETS, slice(bounds[shard], bounds[shard + 1]))


def _too_large(problem: str, memory: int) -> UsageError:
    return UsageError(
        f"{problem} fits the {format_bytes(memory)} of memory left for it",
        hint="give more --memory, or a smaller --shard-size with another --workdir",
    )


def _save(path: Path, array: NDArray[Any]) -> None:
    with atomic_write(path) as file:
        np.save(file, array, allow_pickle=False)


def _save_strings(path: Path, offsets_path: Path, strings: Strings) -> None:
    with atomic_write(path) as file:
        file.write(strings.content)
    _save(offsets_path, strings.offsets)


@dataclass(frozen=True)
class Repeated:
    """Lines that repeat an earlier one.

    Attributes
    ----------
    rows : ndarray of int64
        The repeating lines.
    first_ids : ndarray of int64
        For each, the id of the line it repeats.
    """

    rows: NDArray[np.int64]
    first_ids: Ids


def first_occurrences(digests: NDArray[np.uint64], ids: Ids) -> tuple[NDArray[np.int64], Repeated]:
    """Find the first line of every distinct digest.

    Parameters
    ----------
    digests : ndarray of uint64, shape (n, 2)
        128-bit content hashes.
    ids : ndarray of int64, shape (n,)
        Distinct; the smallest of a group is the first.

    Returns
    -------
    first : ndarray of int64
        Rows of the first occurrences, by ascending id.
    repeated : Repeated
        All other rows, by ascending id.
    """
    order = np.lexsort((ids, digests[:, 1], digests[:, 0]))
    ordered = digests[order]
    starts = np.ones(len(order), dtype=bool)
    starts[1:] = (ordered[1:] != ordered[:-1]).any(axis=1)
    group = np.cumsum(starts) - 1
    first = order[starts]
    rows, first_ids = order[~starts], ids[first][group[~starts]]
    by_id = np.argsort(ids[rows])
    return first[np.argsort(ids[first])], Repeated(rows[by_id], first_ids[by_id])
