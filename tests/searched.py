"""A work directory that is encoded, searched, and what was found there."""

from typing import Any

import numpy as np

from bitextmine.config import SearchConfig
from bitextmine.counts import shard_sizes
from bitextmine.encode.vectors import open_vectors
from bitextmine.pipeline import search_workdir
from bitextmine.search.neighbours import Neighbours
from bitextmine.search.panels import stored_neighbours
from bitextmine.workdir import Side, Workdir


def search(workdir: Workdir, **flags: Any) -> None:
    search_workdir(workdir.root, SearchConfig(search="exact", **flags))


def load_neighbours(workdir: Workdir, side: Side) -> Neighbours:
    """All neighbours of a side, row i those of sentence number i."""
    stored = stored_neighbours(workdir, side)
    cosines = np.empty((len(stored), stored.k), np.float32)
    ids = np.empty((len(stored), stored.k), np.int64)
    for numbers, part in stored.blocks(11):
        cosines[numbers], ids[numbers] = part.cosines, part.numbers
    return Neighbours(cosines, ids)


def side_vectors(workdir: Workdir, side: Side) -> Any:
    """All vectors of a side, row i that of sentence number i."""
    vectors = np.empty((sum(shard_sizes(workdir, side)), open_vectors(workdir).src.dim), np.float16)
    for shard in range(len(shard_sizes(workdir, side))):
        files = workdir.shard(side, shard)
        vectors[np.load(files.numbers)] = np.load(files.embeddings)
    return vectors
