"""Lines kept by hash bucket in one file, as compressed frames that can be read bucket by bucket."""

import os
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import BinaryIO

import numpy as np
import zstandard
from numpy.typing import NDArray

from bitextmine.arrays import Ids

BUCKET_BITS = 12
# A shard has one bucket at least: 4096 shards of 250,000 sentences are 10^9.
BUCKETS = 1 << BUCKET_BITS

# Lines are held up to here and then written. More would make the frames no cheaper to read.
FLUSH_BYTES = 256 << 20

# What Python's objects of a held line take beside its text and key.
_HELD_BYTES_A_LINE = 200

Digests = NDArray[np.uint64]


@dataclass
class _Bucket:
    ids: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)


class BucketWriter:
    """Collects lines, and appends a frame per bucket to a file whenever memory is full.

    Before the frames of each time stands where they start: buckets + 1 offsets from
    the first of them, so that a run of buckets is found without any other index.

    Parameters
    ----------
    file : binary file
        Open for writing, and empty.
    buckets : int
        How many there are.
    memory : int
        Bytes that held lines may take.
    """

    def __init__(self, file: BinaryIO, buckets: int, memory: int) -> None:
        self._file = file
        self._n_buckets = buckets
        self._buckets: defaultdict[int, _Bucket] = defaultdict(_Bucket)
        self._held_bytes, self._most_bytes = 0, min(FLUSH_BYTES, memory)
        self._compressor = zstandard.ZstdCompressor(level=1)

    def add(self, bucket: int, sentence_id: int, digest: bytes, text: bytes, key: str) -> None:
        """Hold one line."""
        kept = self._buckets[bucket]
        kept.ids.append(sentence_id)
        kept.digests.append(digest)
        kept.texts.append(text)
        kept.keys.append(key.encode() if key else b"")
        self._held_bytes += _HELD_BYTES_A_LINE + len(text) + len(key)
        if self._held_bytes >= self._most_bytes:
            self.flush()

    def flush(self) -> None:
        """Write what is held; to be called after the last line too."""
        if not self._held_bytes:
            return
        start = self._file.tell() + 8 * (self._n_buckets + 1)
        offsets = np.zeros(self._n_buckets + 1, np.int64)
        self._file.seek(start)
        for number in sorted(self._buckets):
            frame = self._compressor.compress(_packed(self._buckets.pop(number)))
            self._file.write(frame)
            offsets[number + 1] = len(frame)
        np.cumsum(offsets, out=offsets)
        self._file.seek(start - offsets.nbytes)
        self._file.write(offsets.data)
        self._file.seek(start + int(offsets[-1]))
        self._held_bytes = 0


def _packed(bucket: _Bucket) -> bytes:
    """Lay a bucket out as: n, ids, digests, text lengths, key lengths, texts, keys."""
    lengths = [list(map(len, bucket.texts)), list(map(len, bucket.keys))]
    return b"".join(
        [
            np.int64(len(bucket.ids)).tobytes(),
            np.array(bucket.ids, dtype=np.int64).tobytes(),
            *bucket.digests,
            np.array(lengths, dtype=np.int64).tobytes(),
            *bucket.texts,
            *bucket.keys,
        ]
    )


@dataclass(frozen=True)
class _Frame:
    """One decompressed frame, whose strings are cut out only when they are wanted."""

    content: bytes
    n: int

    @property
    def ids(self) -> Ids:
        return np.frombuffer(self.content, np.int64, self.n, offset=8)

    @property
    def digests(self) -> Digests:
        flat = np.frombuffer(self.content, np.uint64, 2 * self.n, offset=8 + 8 * self.n)
        return flat.reshape(self.n, 2)

    @property
    def lengths(self) -> Ids:
        """Bytes of the texts, and then of the keys; int64, shape (2, n)."""
        flat = np.frombuffer(self.content, np.int64, 2 * self.n, offset=8 + 24 * self.n)
        return flat.reshape(2, self.n)

    def copy(self, kind: int, rows: Ids, strings: bytearray, starts: Ids) -> None:
        """Copy the texts (0) or the keys (1) of some rows to where they are wanted."""
        lengths = self.lengths.reshape(-1)
        ends = 8 + 40 * self.n + np.cumsum(lengths)
        at = rows + kind * self.n
        cuts = zip((ends - lengths)[at].tolist(), ends[at].tolist(), starts.tolist(), strict=True)
        for start, end, to in cuts:
            strings[to : to + end - start] = self.content[start:end]


@dataclass(frozen=True)
class LineTable:
    """All by which lines are known to be equal or not, without their texts.

    Attributes
    ----------
    ids : ndarray of int64, shape (n,)
        Where each line was read.
    digests : ndarray of uint64, shape (n, 2)
        Of its text.
    lengths : ndarray of uint32, shape (2, n)
        Bytes of its text and of its key.
    """

    ids: Ids
    digests: Digests
    lengths: NDArray[np.uint32]


@dataclass(frozen=True)
class Strings:
    """Byte strings end to end.

    Attributes
    ----------
    content : bytearray
        All of them.
    offsets : ndarray of int64, shape (n + 1,)
        Where each starts.
    """

    content: bytearray
    offsets: Ids


class BucketReader:
    """Reads some buckets of several files: digests, which show duplicates, then texts to keep.

    Memory holds 32 bytes a line, and the texts that are asked for: a million copies of
    one sentence cost no more text than one.

    Parameters
    ----------
    files : sequence of Path
        Written through ``BucketWriter``.
    buckets : int
        How many buckets each has.
    wanted : slice
        The run of buckets to read.
    """

    def __init__(self, files: Sequence[Path], buckets: int, wanted: slice) -> None:
        self._files = files
        self._n_buckets = buckets
        self._wanted = wanted

    def read_table(self, most: int) -> LineTable | None:
        """Return ids, digests and lengths of all lines; None if there are more than ``most``."""
        ids: list[Ids] = [np.empty(0, np.int64)]
        digests: list[Digests] = [np.empty((0, 2), np.uint64)]
        lengths: list[NDArray[np.uint32]] = [np.empty((2, 0), np.uint32)]
        for frame in self._read():
            most -= frame.n
            if most < 0:
                return None
            ids.append(frame.ids.copy())
            digests.append(frame.digests.copy())
            lengths.append(frame.lengths.astype(np.uint32))
        return LineTable(
            np.concatenate(ids), np.concatenate(digests), np.concatenate(lengths, axis=1)
        )

    def read_strings(self, rows: Ids, lengths: NDArray[np.uint32]) -> tuple[Strings, Strings]:
        """Return the texts and the keys of some lines, in the order asked for.

        Parameters
        ----------
        rows : ndarray of int64
            Positions in the table.
        lengths : ndarray of uint32, shape (2, len(rows))
            As the table has them.
        """
        order = np.argsort(rows)
        ascending = rows[order]
        texts, keys = (_room(each) for each in lengths)
        first = 0  # The first row of the frame in hand.
        for frame in self._read():
            begin, end = np.searchsorted(ascending, [first, first + frame.n])
            cut, places = ascending[begin:end] - first, order[begin:end]
            frame.copy(0, cut, texts.content, texts.offsets[places])
            if keys.content:
                frame.copy(1, cut, keys.content, keys.offsets[places])
            first += frame.n
        return texts, keys

    def _read(self) -> Iterator[_Frame]:
        decompressor = zstandard.ZstdDecompressor()
        for path in self._files:
            with path.open("rb") as file:
                for offset, size in self._frames(file):
                    file.seek(offset)
                    content = decompressor.decompress(file.read(size))
                    yield _Frame(content, int(np.frombuffer(content, np.int64, 1)[0]))

    def _frames(self, file: BinaryIO) -> Iterator[tuple[int, int]]:
        """Yield where the frames of the wanted buckets are, and how large."""
        header = 8 * (self._n_buckets + 1)
        end = os.fstat(file.fileno()).st_size
        start = header
        while start < end:
            file.seek(start - header + 8 * self._wanted.start)
            n_wanted = self._wanted.stop - self._wanted.start
            offsets = np.frombuffer(file.read(8 * (n_wanted + 1)), np.int64)
            file.seek(start - 8)
            n_bytes = int(np.frombuffer(file.read(8), np.int64)[0])
            for first, last in pairwise(offsets.tolist()):
                if last > first:
                    yield start + first, last - first
            start += n_bytes + header


def _room(lengths: NDArray[np.uint32]) -> Strings:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, dtype=np.int64, out=offsets[1:])
    return Strings(bytearray(int(offsets[-1])), offsets)
