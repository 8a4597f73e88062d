"""Sentences of finished shards, read from disk by row or by number."""

import mmap
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bitextmine.arrays import Ids
from bitextmine.counts import count_shards
from bitextmine.files import map_array, read_json
from bitextmine.workdir import LINE_BITS, SIDES, ShardFiles, Side, Sides, Workdir

ROW_BITS = 32  # A place is shard << 32 | row.


@dataclass(frozen=True, slots=True)
class Origin:
    """Where a sentence was first read.

    Attributes
    ----------
    file : str
        The input as the user named it.
    line : int
        Counted from 1.
    key : str or None
        The user's own id of the sentence, from an input of ``id<TAB>sentence`` lines.
    """

    file: str
    line: int
    key: str | None = None

    @property
    def id(self) -> str:
        """The user's own id, or else ``file:line``."""
        return self.key or f"{self.file}:{self.line}"


class TextFile:
    """Strings laid end to end in a file, with their offsets; memory-mapped."""

    def __init__(self, text: Path, offsets: Path) -> None:
        self._offsets = map_array(offsets)
        if self._offsets[-1] > 0:  # An empty file cannot be mapped.
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


class _Shard(NamedTuple):
    """What is open of a shard."""

    texts: TextFile
    keys: TextFile | None
    ids: Ids


class Sentences:
    """All unique sentences of a side, by number; they and their places stay on disk.

    Parameters
    ----------
    workdir : Workdir
        Sharded.
    side
        Whose sentences.

    Attributes
    ----------
    paths : tuple of str
        The input files of the side, as the user named them, in order.
    """

    def __init__(self, workdir: Workdir, side: Side) -> None:
        self._shards = [workdir.shard(side, shard) for shard in range(count_shards(workdir, side))]
        self.paths = tuple(str(read_json(done)["path"]) for done in workdir.all_lines_done(side))
        self._places: Ids = map_array(workdir.places(side))

    def __len__(self) -> int:
        return len(self._places)

    @property
    def text_bytes(self) -> int:
        """UTF-8 bytes of all sentences."""
        return sum(files.text.stat().st_size for files in self._shards)

    def fetch(self, numbers: Ids) -> list[tuple[str, Origin]]:
        """Return sentences and where they were first read, one shard after the other.

        A shard is opened once a call, so that a side may have more shards than a
        process may have open files.
        """
        places = np.array(self._places[numbers])
        found: list[tuple[str, Origin] | None] = [None] * len(numbers)
        opened, number = None, -1
        for position in np.argsort(places, kind="stable").tolist():
            shard, row = divmod(int(places[position]), 1 << ROW_BITS)
            if opened is None or shard != number:
                opened, number = self._open(shard), shard
            found[position] = self._read(opened, row)
        return [sentence for sentence in found if sentence is not None]

    def sample(self, count: int, seed: int) -> list[str]:
        """Return up to ``count`` sentences chosen by chance, in order of number."""
        random = np.random.default_rng(seed)
        chosen = random.choice(len(self), min(count, len(self)), replace=False, shuffle=False)
        return [text for text, _ in self.fetch(np.sort(chosen))]

    def _open(self, shard: int) -> _Shard:
        files = self._shards[shard]
        ids = map_array(files.ids)
        return _Shard(shard_texts(files), shard_keys(files), ids)

    def _read(self, shard: _Shard, row: int) -> tuple[str, Origin]:
        file, line = divmod(int(shard.ids[row]), 1 << LINE_BITS)
        key = shard.keys[row] if shard.keys is not None else ""
        return shard.texts[row], Origin(self.paths[file], line + 1, key or None)


def open_sentences(workdir: Workdir) -> Sides[Sentences]:
    """Open the sentences that a work directory holds.

    Raises
    ------
    WorkdirError
        It was never sharded to the end.
    """
    workdir.require("shard")
    return Sides(*(Sentences(workdir, side) for side in SIDES))
