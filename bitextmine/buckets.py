"""Lines kept by hash bucket in one file, as compressed frames that can be read bucket by bucket."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import BinaryIO

import numpy as np
import zstandard
from numpy.typing import NDArray

from bitextmine.search.neighbours import Ids

FLUSH_BYTES = 64 << 20  # memory that lines may take before they are written out as frames
_LINE_BYTES = 200  # of a held line, beside its text and key

Digests = NDArray[np.uint64]


@dataclass
class _Bucket:
    ids: list[int] = field(default_factory=list)
    digests: list[bytes] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)
    keys: list[bytes] = field(default_factory=list)


class BucketWriter:
    """Collects lines, and appends a frame per bucket to a file whenever memory is full."""

    def __init__(self, file: BinaryIO, buckets: int) -> None:
        self._file = file
        self._buckets = [_Bucket() for _ in range(buckets)]
        self._index: list[list[list[int]]] = [[] for _ in range(buckets)]
        self._held = 0
        self._compressor = zstandard.ZstdCompressor(level=1)

    def add(self, bucket: int, sentence_id: int, digest: bytes, text: bytes, key: str) -> None:
        """Keep one line."""
        kept = self._buckets[bucket]
        kept.ids.append(sentence_id)
        kept.digests.append(digest)
        kept.texts.append(text)
        kept.keys.append(key.encode() if key else b"")
        self._held += _LINE_BYTES + len(text) + len(key)
        if self._held >= FLUSH_BYTES:
            self._flush()

    def close(self) -> list[list[list[int]]]:
        """Write what is left; return each bucket's frames as [offset, bytes]."""
        self._flush()
        return self._index

    def _flush(self) -> None:
        for number, bucket in enumerate(self._buckets):
            if bucket.ids:
                frame = self._compressor.compress(_packed(bucket))
                self._index[number].append([self._file.tell(), len(frame)])
                self._file.write(frame)
                self._buckets[number] = _Bucket()
        self._held = 0


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
    """One decompressed frame, whose texts are cut out only when they are wanted."""

    content: bytes
    n: int

    @property
    def ids(self) -> Ids:
        return np.frombuffer(self.content, np.int64, self.n, offset=8)

    @property
    def digests(self) -> Digests:
        flat = np.frombuffer(self.content, np.uint64, 2 * self.n, offset=8 + 8 * self.n)
        return flat.reshape(self.n, 2)

    def cut(self, rows: Ids) -> tuple[list[bytes], list[bytes]]:
        """Return the texts and keys of some rows."""
        lengths = np.frombuffer(self.content, np.int64, 2 * self.n, offset=8 + 24 * self.n)
        ends = 8 + 40 * self.n + np.cumsum(lengths)
        starts = ends - lengths
        cuts = [
            [self.content[start:end] for start, end in zip(starts[at], ends[at], strict=True)]
            for at in (rows, rows + self.n)
        ]
        return cuts[0], cuts[1]


class BucketReader:
    """Reads some buckets of several files: first what tells duplicates, then the texts to keep.

    Memory holds 24 bytes a line, and the texts that are asked for: a million copies of
    one sentence cost no more text than one.

    Parameters
    ----------
    files : sequence of (Path, index)
        Files written through ``BucketWriter``, each with the frames of the buckets wanted.
    """

    def __init__(self, files: Sequence[tuple[Path, Iterable[Sequence[Sequence[int]]]]]) -> None:
        self._frames = [
            (path, offset, size)
            for path, index in files
            for frames in index
            for offset, size in frames
        ]

    def read_ids(self) -> tuple[Ids, Digests]:
        """Return the ids (n,) and the 128-bit digests (n, 2) of all lines."""
        ids: list[Ids] = [np.empty(0, np.int64)]
        digests: list[Digests] = [np.empty((0, 2), np.uint64)]
        for frame in self._read():
            ids.append(frame.ids.copy())
            digests.append(frame.digests.copy())
        return np.concatenate(ids), np.concatenate(digests)

    def read_texts(self, rows: Ids) -> tuple[list[bytes], list[bytes]]:
        """Return the texts and the keys of some lines, in the order asked for.

        Parameters
        ----------
        rows : ndarray of int64
            Positions in what ``read_ids`` returned.
        """
        order = np.argsort(rows)
        ascending = rows[order]
        texts, keys = [b""] * len(rows), [b""] * len(rows)
        first = 0  # row of the frame in hand
        for frame in self._read():
            begin, end = np.searchsorted(ascending, [first, first + frame.n])
            cut_texts, cut_keys = frame.cut(ascending[begin:end] - first)
            for place, text, key in zip(order[begin:end], cut_texts, cut_keys, strict=True):
                texts[place], keys[place] = text, key
            first += frame.n
        return texts, keys

    def _read(self) -> Iterator[_Frame]:
        decompressor = zstandard.ZstdDecompressor()
        for path, in_file in groupby(self._frames, key=lambda frame: frame[0]):
            with path.open("rb") as file:
                for _, offset, size in in_file:
                    file.seek(offset)
                    content = decompressor.decompress(file.read(size))
                    yield _Frame(content, int(np.frombuffer(content, np.int64, 1)[0]))
