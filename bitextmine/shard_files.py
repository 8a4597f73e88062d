"""The names of the files of a shard."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class ShardFiles:
    """The files of one shard."""

    folder: Path

    @property
    def text(self) -> Path:
        """UTF-8 sentences, end to end."""
        return self.folder / "text.bin"

    @property
    def offsets(self) -> Path:
        """Where each sentence starts in ``text``; int64, n + 1."""
        return self.folder / "offsets.npy"

    @property
    def keys(self) -> Path:
        """The user's own sentence ids, end to end; only where the input has them."""
        return self.folder / "keys.bin"

    @property
    def key_offsets(self) -> Path:
        """Where each id starts in ``keys``; int64, n + 1."""
        return self.folder / "key_offsets.npy"

    @property
    def ids(self) -> Path:
        """Where each sentence was first read: file << 40 | line; int64, ascending."""
        return self.folder / "ids.npy"

    @property
    def numbers(self) -> Path:
        """Rank of each sentence among all of its side, by id; int64."""
        return self.folder / "numbers.npy"

    @property
    def duplicates(self) -> Path:
        """(n, 2) int64: the id of each dropped duplicate, and of the sentence it repeats."""
        return self.folder / "duplicates.npy"

    @property
    def done(self) -> Path:
        """Counts of the shard; exists when all of the above do."""
        return self.folder / "shard.json"

    @property
    def embeddings(self) -> Path:
        """(n, d) float16 unit vectors, or int8 ones whose largest number is 127."""
        return self.folder / "embeddings.npy"

    @property
    def encoded(self) -> Path:
        """Counts of encoding, and the checksum of ``embeddings``; exists when it does."""
        return self.folder / "encoded.json"
