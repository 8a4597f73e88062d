"""One input file -> its lines, normalised, in hash buckets; what is no sentence, in the rejects.

Every accepted line goes into one of 4096 buckets by the hash of its text, so all copies of a
sentence meet in one bucket whichever file they come from.
"""

import hashlib
import json
import logging
from collections import Counter
from pathlib import Path
from typing import Any, BinaryIO

import zstandard

from bitextmine.compression import open_input
from bitextmine.config import STDIN, ShardConfig
from bitextmine.errors import WorkdirError
from bitextmine.files import atomic_write, checksum, read_json, write_json
from bitextmine.machine import Resources
from bitextmine.progress import Advance
from bitextmine.shard.buckets import BUCKET_BITS, BUCKETS, BucketWriter
from bitextmine.shard.corpus import Line, read_lines
from bitextmine.workdir import LINE_BITS, Side, Workdir

LOG = logging.getLogger(__name__)

# A warning names so many line numbers; all are in the file of rejects.
NAMED_LINES = 5


def split_file(
    root: Path,
    side: Side,
    file: int,
    config: ShardConfig,
    *,
    resources: Resources,
    advance: Advance,
) -> None:
    """Read one input file, normalise its lines, and drop each into its hash bucket.

    Writes the buckets, the rejected lines with their reasons, and the counts.

    Parameters
    ----------
    root, side, file
        The work directory, and which of the input files.
    config : ShardConfig
        What to read, and how.
    resources, advance
        What to use, and what is told how many more bytes are read.

    Raises
    ------
    InputError
        The file cannot be read to its end, or has changed since it was first read.
    """
    workdir = Workdir(root)
    path = config.paths(side)[file]
    done = workdir.lines_done(side, file)
    if done.exists():
        _refuse_changed_input(path, read_json(done))
        advance(input_bytes(path))
        return
    lines = _LineSplitter(path, side, file, config)
    with (
        atomic_write(workdir.lines(side, file)) as buckets,
        atomic_write(workdir.rejects(side, file)) as rejects,
        zstandard.ZstdCompressor().stream_writer(rejects, closefd=False) as reject_stream,
    ):
        # Held lines are packed and compressed beside themselves, and a long line comes on top.
        held = BucketWriter(buckets, BUCKETS, resources.memory // 2)
        lines.split(held, reject_stream, advance)
    # Parquet is read by columns and out of order, so its bytes are summed apart.
    parquet = config.input_format == "parquet"
    content = _checksum(path) if parquet else lines.checksum.hexdigest()
    write_json(done, {**lines.counts(), **_identity(path, content)})
    lines.warn()


def input_bytes(path: str) -> int:
    """Return how large an input file is; 0 if it is a stream, or has gone since it was read."""
    return Path(path).stat().st_size if path != STDIN and Path(path).exists() else 0


class _LineSplitter:
    """Sends the lines of one file to buckets or to the rejects, and counts them."""

    def __init__(self, path: str, side: Side, file: int, config: ShardConfig) -> None:
        self.path, self.side, self.file, self.config = path, side, file, config
        self.checksum = hashlib.blake2b(digest_size=16)
        self.read = 0
        self.rejected: Counter[str] = Counter()
        self.mended: Counter[str] = Counter()
        self.named: dict[str, list[int]] = {}

    def split(self, buckets: BucketWriter, rejects: BinaryIO, advance: Advance) -> None:
        """Read the file through."""
        base = self.file << LINE_BITS

        def on_bytes(chunk: bytes) -> None:
            self.checksum.update(chunk)
            advance(len(chunk))

        for line in read_lines(self.path, self.side, self.config, on_bytes):
            self.read += 1
            if line.mended:
                self._count(self.mended, line.mended, line.number)
            if line.reject:
                self._reject(line, rejects)
                continue
            text = line.text.encode()
            digest = hashlib.blake2b(text, digest_size=16).digest()
            bucket = int.from_bytes(digest[:2], "big") >> 16 - BUCKET_BITS
            buckets.add(bucket, base + line.number, digest, text, line.key)
        buckets.flush()

    def _count(self, counter: Counter[str], reason: str, line: int) -> None:
        counter[reason] += 1
        if counter[reason] <= NAMED_LINES:
            self.named.setdefault(reason, []).append(line + 1)

    def _reject(self, line: Line, rejects: BinaryIO) -> None:
        self._count(self.rejected, line.reject, line.number)
        record = {
            "reason": line.reject,
            "file": self.path,
            "line": line.number + 1,
            "text": line.text[:200],
        }
        rejects.write(json.dumps(record).encode() + b"\n")

    def counts(self) -> dict[str, Any]:
        """Return what was read, rejected and mended."""
        return {
            "read": self.read,
            "rejected": dict(sorted(self.rejected.items())),
            "mended": dict(sorted(self.mended.items())),
        }

    def warn(self) -> None:
        """Warn of lines that were damaged; blank ones are ordinary."""
        counts = {**self.rejected, **self.mended}
        for reason, lines in self.named.items():
            if reason != "blank":
                more = " …" if counts[reason] > len(lines) else ""
                action = "rejected" if reason in self.rejected else "mended"
                LOG.warning(
                    "%s: %s %s line(s) as %s (line %s%s)",
                    self.path,
                    action,
                    f"{counts[reason]:,}",
                    reason,
                    ", ".join(map(str, lines)),
                    more,
                )


def _identity(path: str, content: str) -> dict[str, Any]:
    """Return what shows later whether an input file is still the same."""
    identity: dict[str, Any] = {"path": path, "checksum": content}
    if path != STDIN:
        stat = Path(path).stat()
        identity |= {"bytes": stat.st_size, "mtime_ns": stat.st_mtime_ns}
    return identity


def _checksum(path: str) -> str:
    with open_input(path) as file:
        return checksum(file)


def _refuse_changed_input(path: str, done: dict[str, Any]) -> None:
    """Same size and time is the same file; else its content decides."""
    if path != STDIN and Path(path).exists():
        stat = Path(path).stat()
        if (stat.st_size, stat.st_mtime_ns) == (done["bytes"], done["mtime_ns"]):
            return
    if _checksum(path) != done["checksum"]:  # which explains a file that cannot be read
        raise WorkdirError(
            f"{path} has changed since this work directory read it",
            hint="use another --workdir for the new content",
        )
