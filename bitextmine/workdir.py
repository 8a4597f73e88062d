"""Every file name in one place, files that appear whole or not at all, and safe resuming.

A work directory belongs to one set of settings. Each stage writes its settings
down before its first file, and a later run under other settings is refused by
name, so a file that exists is finished and is what this run would have made.

    settings.json                     version, and the settings of every stage begun so far
    shard.done.json …                 a stage is finished; seconds and warnings
    encoder.json                      which encoder was chosen, and why
    search.json                       how to search, and why
    neighbours.json                   fingerprints of the lists that the search found
    projection.npy, .json             what its vectors are multiplied with, if they are
    run.json                          the run card
    src/ and tgt/
        lines/0000.bin, .json         one input file, normalised, split into hash buckets
        shards.json                   how buckets were grouped into shards
        shards/0000/                  unique sentences of one shard
            text.bin offsets.npy ids.npy numbers.npy [keys.bin key_offsets.npy]
            duplicates.npy shard.json
            embeddings.npy encoded.json
            embeddings.A.part encoding.A.json   as far as attempt A has come
        sample/                       what a projection is fitted on; like a shard
        index.faiss                   of an approximate search; removed at its end
        places.npy                    where each sentence number is: shard << 32 | row
        neighbours/0000.npy           k nearest sentences of the other side, a panel's
    blocks/grid.json                  how the rows of both sides were cut into panels
    blocks/0000-0000.fwd.npy .bwd.npy neighbours found between two panels
    blocks/src-0000.npy tgt-0000.npy  neighbours that a panel found in an index
"""

import fcntl
import json
import os
import shutil
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Literal, NamedTuple, TypeVar

from bitextmine.errors import WorkdirError
from bitextmine.files import explained_write, is_abandoned, read_json, write_json
from bitextmine.version import __version__

LINE_BITS = 40  # an id is file << 40 | line: room for 8 million files of 10^12 lines
LAYOUT = 4  # changes whenever files of an older work directory would be misread

Side = Literal["src", "tgt"]
Direction = Literal["fwd", "bwd"]
SIDES: tuple[Side, Side] = ("src", "tgt")
OTHER: dict[Side, Side] = {"src": "tgt", "tgt": "src"}

Both = TypeVar("Both", covariant=True)


class Sides(NamedTuple, Generic[Both]):
    """Something of both sides: sentences, vectors."""

    src: Both
    tgt: Both

    def of(self, side: Side) -> Both:
        """Return that of one side."""
        return self.src if side == "src" else self.tgt


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

    def part(self, attempt: str) -> Path:
        """The rows of ``embeddings`` that one attempt has encoded so far."""
        return self.folder / f"embeddings.{attempt}.part"

    def progress(self, attempt: str) -> Path:
        """What is noted of a ``part``: rows that are surely on disk, and their counts."""
        return self.folder / f"encoding.{attempt}.json"

    def attempts(self) -> list[str]:
        """Return the attempts to encode this shard that have noted something."""
        begin, end = "encoding.", ".json"
        found = sorted(self.folder.glob(f"{begin}*{end}"))
        return [path.name.removeprefix(begin).removesuffix(end) for path in found]

    def leftovers(self) -> list[Path]:
        """Return the files of all attempts, those that noted nothing included."""
        return sorted(
            {*self.folder.glob("embeddings.*.part"), *self.folder.glob("encoding.*.json")}
        )

    @property
    def encoded(self) -> Path:
        """Counts of encoding, and the checksum of ``embeddings``; exists when it does."""
        return self.folder / "encoded.json"


@dataclass(frozen=True)
class Workdir:
    """A work directory: knows every path, and which settings it belongs to."""

    root: Path

    @property
    def settings(self) -> Path:
        """The settings of every stage begun so far."""
        return self.root / "settings.json"

    @property
    def run_card(self) -> Path:
        """What was done, in full."""
        return self.root / "run.json"

    def lines(self, side: Side, file: int) -> Path:
        """The normalised lines of one input file, in hash buckets."""
        return self.root / side / "lines" / f"{file:04d}.bin"

    def lines_done(self, side: Side, file: int) -> Path:
        """Counts and bucket index of ``lines``; exists when it does."""
        return self.lines(side, file).with_suffix(".json")

    def rejects(self, side: Side, file: int) -> Path:
        """The lines of one input file that were not accepted, and why (JSONL, zstd)."""
        return self.lines(side, file).with_suffix(".rejects.zst")

    def all_lines_done(self, side: Side) -> list[Path]:
        """Every finished ``lines_done`` of a side, in order of files."""
        found = (self.root / side / "lines").glob("*.json")
        return sorted(found, key=lambda path: int(path.stem))

    def all_rejects(self, side: Side) -> list[Path]:
        """Every finished ``rejects`` of a side, in order of files."""
        found = (self.root / side / "lines").glob("*.rejects.zst")
        return sorted(found, key=lambda path: int(path.name.partition(".")[0]))

    def shard_plan(self, side: Side) -> Path:
        """How the buckets of a side are grouped into shards."""
        return self.root / side / "shards.json"

    def shard(self, side: Side, shard: int) -> ShardFiles:
        """The files of one shard."""
        return ShardFiles(self.root / side / "shards" / f"{shard:04d}")

    def sample(self, side: Side) -> ShardFiles:
        """The sentences that a projection is fitted on, like the files of a shard."""
        return ShardFiles(self.root / side / "sample")

    def places(self, side: Side) -> Path:
        """Where each sentence number of a side is: shard << 32 | row; int64."""
        return self.root / side / "places.npy"

    @property
    def grid(self) -> Path:
        """How the rows of both sides were cut into panels for the search."""
        return self.root / "blocks" / "grid.json"

    def block(self, src_panel: int, tgt_panel: int, direction: Direction) -> Path:
        """Neighbours between two panels, in one direction."""
        return self.root / "blocks" / f"{src_panel:04d}-{tgt_panel:04d}.{direction}.npy"

    @property
    def method(self) -> Path:
        """How to search, and why."""
        return self.root / "search.json"

    @property
    def noted_neighbours(self) -> Path:
        """What tells whether the lists that the search found are still the same."""
        return self.root / "neighbours.json"

    def index(self, side: Side) -> Path:
        """The FAISS index over all vectors of a side, where the search is approximate."""
        return self.root / side / "index.faiss"

    def found(self, side: Side, panel: int) -> Path:
        """What a panel of a side found in the index over the other side."""
        return self.root / "blocks" / f"{side}-{panel:04d}.npy"

    def neighbours(self, side: Side, panel: int) -> Path:
        """The k nearest sentences of the whole other side, for the rows of a panel."""
        return self.root / side / "neighbours" / f"{panel:04d}.npy"

    def all_blocks(self) -> list[Path]:
        """Every list between two panels, or from an index, in either direction."""
        return sorted((self.root / "blocks").glob("*.npy"))

    def all_neighbours(self, side: Side) -> list[Path]:
        """Every finished list of a side, of whatever grid."""
        return sorted((self.root / side / "neighbours").glob("*.npy"))

    def done(self, stage: str) -> Path:
        """What was noted about a stage; exists when the stage is finished."""
        return self.root / f"{stage}.done.json"

    @property
    def encoder(self) -> Path:
        """Which encoder was chosen, for which languages, and why."""
        return self.root / "encoder.json"

    @property
    def projection(self) -> Path:
        """The matrix that makes vectors shorter or turns them; (encoder's dim, dim) float16."""
        return self.root / "projection.npy"

    @property
    def projection_notes(self) -> Path:
        """What is known of ``projection``: its sample, and how much it keeps."""
        return self.root / "projection.json"

    def create(self) -> None:
        """Make the folders; private, since they hold the user's text.

        Raises
        ------
        WorkdirError
            The folder has other people's files in it.
        """
        with explained_write(self.root):
            if self.root.exists() and not self.settings.exists():
                self._refuse_foreign_folder()
            self.root.mkdir(mode=0o700, parents=True, exist_ok=True)
            for side in SIDES:
                (self.root / side / "lines").mkdir(parents=True, exist_ok=True)
                (self.root / side / "shards").mkdir(exist_ok=True)
                (self.root / side / "neighbours").mkdir(exist_ok=True)
            (self.root / "blocks").mkdir(exist_ok=True)

    def stage_settings(self, stage: str) -> dict[str, Any]:
        """Return what a finished stage was asked for.

        Raises
        ------
        WorkdirError
            The stage was never finished here.
        """
        self.require(stage)
        settings: dict[str, Any] = self._known_settings()[stage]
        return settings

    def require(self, stage: str) -> None:
        """Refuse a work directory in which a stage was never finished.

        Raises
        ------
        WorkdirError
            Names the command that does the stage.
        """
        if stage not in self._known_settings() or not self.done(stage).exists():
            raise WorkdirError(
                f"{self.root} has no finished results of the stage '{stage}'",
                hint=f"run `bitextmine {stage} --workdir {self.root}` first",
            )

    def claim(self, stage: str, settings: Mapping[str, Any]) -> None:
        """Bind the stage to these settings, or refuse if it is bound to others.

        Raises
        ------
        WorkdirError
            Made under other settings or by another version; names the difference.
        """
        known = self._known_settings()
        wanted = json.loads(json.dumps(settings))  # as it will be read back: lists, not tuples
        if stage in known:
            self._refuse_difference(stage, known[stage], wanted)
            return
        known[stage] = wanted
        write_json(self.settings, known)

    def release(self, stage: str) -> None:
        """Forget the settings of a stage that has made nothing yet."""
        known = self._known_settings()
        known.pop(stage, None)
        write_json(self.settings, known)

    def finish(self, stage: str, notes: Mapping[str, Any]) -> None:
        """Mark a stage as finished; the notes of the run that finished it stay."""
        if not self.done(stage).exists():
            write_json(self.done(stage), notes)

    def _known_settings(self) -> dict[str, Any]:
        if not self.settings.exists():
            return {"layout": LAYOUT, "version": __version__}
        known = read_json(self.settings)
        version = known.get("version", "of unknown version")
        if known.get("layout") != LAYOUT or version != __version__:
            older = "an earlier build of " if version == __version__ else ""
            raise WorkdirError(
                f"{self.root} was made by {older}bitextmine {version}, this is {__version__}",
                hint="finish it with that version, or choose an empty --workdir",
            )
        return known

    def _refuse_foreign_folder(self) -> None:
        """A folder with other people's files in it is not ours to fill."""
        ours = {"src", "tgt", "blocks", "lock"}  # what a run that died at once leaves
        foreign = sorted(p.name for p in self.root.iterdir() if p.name not in ours)
        foreign = [name for name in foreign if not name.startswith(".settings.json.")]
        if foreign:
            raise WorkdirError(
                f"{self.root} is not a work directory: it has {foreign[0]!r} in it",
                hint="choose an empty or a new folder for --workdir",
            )

    def _refuse_difference(
        self, stage: str, old: Mapping[str, Any], new: Mapping[str, Any]
    ) -> None:
        changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
        if changed:
            told = ", ".join(f"{k}: {old.get(k)!r} there, {new.get(k)!r} now" for k in changed)
            raise WorkdirError(
                f"{self.root} holds results of the stage '{stage}' under other settings ({told})",
                hint="use the same settings, or another --workdir",
            )

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep other runs out of this work directory while the block runs.

        Raises
        ------
        WorkdirError
            Another process is at work here.
        """
        with explained_write(self.root):
            lock = (self.root / "lock").open("a+")
        with lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                lock.seek(0)
                owner = lock.read().strip() or "another process"
                raise WorkdirError(
                    f"{self.root} is in use by {owner}",
                    hint="wait until it has finished, or choose another --workdir",
                ) from error
            with explained_write(self.root):
                lock.truncate(0)
                lock.write(f"process {os.getpid()} on {os.uname().nodename}")
                lock.flush()
            yield

    def remove_leftovers(self) -> None:
        """Remove temporary files whose owners have gone; those of living processes stay.

        Attempts at a shard that is not encoded yet stay too, since others begin with their rows.
        """
        leftovers = [*self.root.rglob(".*.tmp")]
        for folder in self.root.glob("*/shards/*"):
            files = ShardFiles(folder)
            if files.encoded.exists():
                leftovers += files.leftovers()
        for leftover in leftovers:
            if is_abandoned(leftover):
                leftover.unlink(missing_ok=True)


@contextmanager
def opened_workdir(root: Path | None, *, make: bool) -> Iterator[Workdir]:
    """Yield a locked work directory: the user's, or a private one that is removed at the end.

    Parameters
    ----------
    root : Path or None
        None for a private one.
    make : bool
        Whether the user's may be made if there is none.

    Raises
    ------
    WorkdirError
        It does not exist, is something else, or is in use.
    """
    if root is not None:
        workdir = Workdir(root)
        if not make and not workdir.settings.exists():
            raise WorkdirError(
                f"{root} is no work directory",
                hint=f"run `bitextmine shard --workdir {root}` first, or check the path",
            )
        workdir.create()
        with workdir.locked():
            workdir.remove_leftovers()
            yield workdir
        return
    with explained_write(Path(tempfile.gettempdir())):
        temporary = Path(tempfile.mkdtemp(prefix="bitextmine-"))
    try:
        workdir = Workdir(temporary)
        workdir.create()
        yield workdir
    finally:
        shutil.rmtree(temporary, ignore_errors=True)
