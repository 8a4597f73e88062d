"""Sentences of finished shards, read from disk by row or by number."""

import mmap
from itertools import pairwise
from pathlib import Path

import numpy as np

from bitextmine.accounts import count_shards
from bitextmine.output.records import Origin
from bitextmine.workdir import LINE_BITS, ShardFiles, Side, Workdir

_ROW_BITS = 32


class TextFile:
    """Strings laid end to end in a file, with their offsets; memory-mapped."""

    def __init__(self, text: Path, offsets: Path) -> None:
        self._offsets = np.load(offsets, mmap_mode="r", allow_pickle=False)
        if self._offsets[-1] > 0:  # an empty file cannot be mapped
            with text.open("rb") as file:
                self._map = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)

    def __len__(self) -> int:
        return len(self._offsets) - 1

    def __getitem__(self, row: int) -> str:
        start, stop = self._offsets[row : row + 2]
        return str(self._map[start:stop], "utf-8") if stop > start else ""

    def run(self, start: int, stop: int) -> list[str]:
        """Return the strings of rows start to stop."""
        bounds = self._offsets[start : stop + 1].tolist()
        if not bounds or bounds[-1] == bounds[0]:
            return [""] * (len(bounds) - 1)
        held = self._map[bounds[0] : bounds[-1]]
        first = bounds[0]
        return [str(held[begin - first : end - first], "utf-8") for begin, end in pairwise(bounds)]


def shard_texts(files: ShardFiles) -> TextFile:
    """Open the sentences of a shard."""
    return TextFile(files.text, files.offsets)


def shard_keys(files: ShardFiles) -> TextFile | None:
    """Open the user's own ids of a shard's sentences, if the input had any."""
    return TextFile(files.keys, files.key_offsets) if files.keys.exists() else None


class Sentences:
    """All unique sentences of a side, by number; holds 8 bytes a sentence in memory."""

    def __init__(self, workdir: Workdir, side: Side, paths: tuple[str, ...]) -> None:
        shards = [workdir.shard(side, shard) for shard in range(count_shards(workdir, side))]
        self._texts = [shard_texts(files) for files in shards]
        self._keys = [shard_keys(files) for files in shards]
        self._ids = [np.load(files.ids, mmap_mode="r", allow_pickle=False) for files in shards]
        self._paths = paths
        self._places = np.empty(sum(map(len, self._texts)), dtype=np.int64)
        for shard, files in enumerate(shards):
            numbers = np.load(files.numbers, allow_pickle=False)
            self._places[numbers] = (shard << _ROW_BITS) + np.arange(len(numbers))

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, number: int) -> str:
        shard, row = self._place(number)
        return self._texts[shard][row]

    def origin(self, number: int) -> Origin:
        """Return where a sentence was first read."""
        shard, row = self._place(number)
        file, line = divmod(int(self._ids[shard][row]), 1 << LINE_BITS)
        keys = self._keys[shard]
        return Origin(self._paths[file], line + 1, keys[row] if keys is not None else None)

    def sample(self, count: int, seed: int) -> list[str]:
        """Return up to ``count`` sentences chosen by chance, in order of number."""
        chosen = np.random.default_rng(seed).permutation(len(self))[:count]
        return [self[number] for number in np.sort(chosen).tolist()]

    def _place(self, number: int) -> tuple[int, int]:
        return divmod(int(self._places[number]), 1 << _ROW_BITS)
