"""A number for every unique sentence of a side, however many there are."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from bitextmine.arrays import Ids
from bitextmine.counts import count_shards, format_rejects
from bitextmine.errors import InputError
from bitextmine.files import Scratch, atomic_write, map_array, read_json
from bitextmine.machine import Resources
from bitextmine.progress import Advance
from bitextmine.shard.sentences import ROW_BITS
from bitextmine.workdir import ShardFiles, Side, Workdir

# Numbering takes this for each sentence of the range of ids that it sorts.
NUMBERING_BYTES_A_SENTENCE = 64


def number_sentences(root: Path, side: Side, *, resources: Resources, advance: Advance) -> None:
    """Give every unique sentence of a side its rank by id.

    Writes the numbers of each shard's rows, and the place of each number. Since the
    ids of every shard are ascending, the sentences of one range of ids, however many
    ranges there are, are a run of rows in each shard.

    Parameters
    ----------
    root : Path
        The work directory.
    side : str
        "src" or "tgt", all of whose shards are built.
    resources, advance
        The numbers do not depend on the memory.

    Raises
    ------
    InputError
        The side has no sentence at all.
    OutputError
        The disk is full.
    """
    workdir = Workdir(root)
    shards = [workdir.shard(side, shard) for shard in range(count_shards(workdir, side))]
    bounds = np.cumsum([0, *(read_json(files.done)["unique"] for files in shards)])
    if bounds[-1] == 0:
        raise InputError(
            f"{side} has no usable sentence ({format_rejects(workdir, side)})",
            hint="check the input and its format; --rejects FILE tells what became of every line",
        )
    if workdir.places(side).exists():
        return
    with Scratch(workdir.root) as scratch, atomic_write(workdir.places(side)) as places:
        numbers = scratch.array(int(bounds[-1]), np.int64)  # One shard follows the other.
        shape = {"descr": "<i8", "fortran_order": False, "shape": (int(bounds[-1]),)}
        np.lib.format.write_array_header_1_0(places, shape)
        first = 0
        for ids, shard, row in _pieces(shards, resources.memory // NUMBERING_BYTES_A_SENTENCE):
            order = np.argsort(ids)
            numbers[(bounds[shard] + row)[order]] = np.arange(first, first + len(ids))
            places.write(((shard << ROW_BITS) + row)[order].data)
            first += len(ids)
        # The places get their name after all numbers have theirs, so where they are, all are.
        for files, start, stop in zip(shards, bounds[:-1], bounds[1:], strict=True):
            with atomic_write(files.numbers) as file:
                np.save(file, numbers[start:stop], allow_pickle=False)


def _pieces(shards: list[ShardFiles], rows: int) -> Iterator[tuple[Ids, Ids, Ids]]:
    """Yield ids, shards and rows of about so many sentences at a time, by ranges of ids."""
    next_rows = [0] * len(shards)
    for bound in _bounds(shards, rows):
        ids, places, of_shards = [], [], []
        for shard, files in enumerate(shards):
            rest = _ids(files)[next_rows[shard] :]
            stop = len(rest) if bound is None else int(np.searchsorted(rest, bound))
            ids.append(np.array(rest[:stop]))
            places.append(np.arange(next_rows[shard], next_rows[shard] + stop))
            of_shards.append(np.full(stop, shard))
            next_rows[shard] += stop
        yield np.concatenate(ids), np.concatenate(of_shards), np.concatenate(places)


def _bounds(shards: list[ShardFiles], rows: int) -> list[int | None]:
    """Return the ids at which ranges of at most ``rows`` sentences, or one a shard, stop.

    Every ``step``-th id of each shard is looked at: between two of those that are next to
    each other in order are less than ``step`` others of each shard.
    """
    step = max(rows // (2 * len(shards)), 1)
    looked_at = np.sort(np.concatenate([np.array(_ids(files)[::step]) for files in shards]))
    apart = max(rows // (2 * step), 1)
    return [*looked_at[apart::apart].tolist(), None]


def _ids(files: ShardFiles) -> Ids:
    ids: Ids = map_array(files.ids)
    return ids
