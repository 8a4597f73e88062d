"""Lines kept by hash bucket in one file, as compressed frames that can be read bucket by bucket."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO

import numpy as np
import zstandard
from numpy.typing import NDArray

from bitextmine.search.neighbours import Ids

FLUSH_BYTES = 64 << 20  # text held in memory before it is written out as frames


@dataclass(frozen=True)
class Bucketed:
    """Lines of some buckets: parallel sequences of n."""

    ids: Ids
    digests: NDArray[np.uint64]  # (n, 2)
    texts: list[bytes]
    keys: list[bytes]
    keyed: bool  # whether any line has a key

    @staticmethod
    def joined(parts: Sequence["Bucketed"]) -> "Bucketed":
        """Put the lines of several files together."""
        return Bucketed(
            np.concatenate([part.ids for part in parts]),
            np.concatenate([part.digests for part in parts]),
            [text for part in parts for text in part.texts],
            [key for part in parts for key in part.keys],
            any(part.keyed for part in parts),
        )


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
        self._held += len(text)
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


def _unpacked(frame: bytes) -> Bucketed:
    n = int(np.frombuffer(frame, np.int64, 1)[0])
    ids = np.frombuffer(frame, np.int64, n, offset=8)
    digests = np.frombuffer(frame, np.uint64, 2 * n, offset=8 + 8 * n).reshape(n, 2)
    lengths = np.frombuffer(frame, np.int64, 2 * n, offset=8 + 24 * n)
    ends = (8 + 40 * n + np.cumsum(lengths)).tolist()
    pieces = [frame[start:end] for start, end in zip([8 + 40 * n, *ends[:-1]], ends, strict=True)]
    keys = pieces[n:]
    return Bucketed(ids, digests, pieces[:n], keys, any(keys))


def read_buckets(file: BinaryIO, index: Iterable[Sequence[Sequence[int]]]) -> Bucketed:
    """Read the frames of some buckets.

    Parameters
    ----------
    file : binary file
        As written through ``BucketWriter``.
    index : iterable of sequences of (offset, bytes)
        The frames of each bucket wanted.
    """
    empty = Bucketed(np.empty(0, np.int64), np.empty((0, 2), np.uint64), [], [], False)
    parts = [empty]
    decompressor = zstandard.ZstdDecompressor()
    for frames in index:
        for offset, size in frames:
            file.seek(offset)
            parts.append(_unpacked(decompressor.decompress(file.read(size))))
    return Bucketed.joined(parts)
