"""The vectors of a side, as they are on disk: what encoding hands to the search."""

import numpy as np

from bitextmine.counts import count_shards, shard_sizes
from bitextmine.errors import WorkdirError
from bitextmine.files import is_unchanged, read_json
from bitextmine.workdir import SIDES, ShardFiles, Side, Sides, Workdir


class Vectors:
    """The stored vectors of all sentences of a side; unit rows, shard by shard.

    Parameters
    ----------
    workdir : Workdir
        Encoded.
    side
        Whose vectors.
    """

    def __init__(self, workdir: Workdir, side: Side) -> None:
        self.shard_sizes = shard_sizes(workdir, side)
        self._shards = [workdir.shard(side, shard) for shard in range(len(self.shard_sizes))]

    def __len__(self) -> int:
        return sum(self.shard_sizes)

    @property
    def dim(self) -> int:
        """Numbers a vector has, as was noted when it was written."""
        return int(read_json(self._shards[0].encoded)["dim"])

    def check(self) -> None:
        """Refuse vectors that are not those which were written.

        Raises
        ------
        WorkdirError
            A file is missing or has changed.
        """
        for files, rows in zip(self._shards, self.shard_sizes, strict=True):
            check_embeddings(files, rows)


def open_vectors(workdir: Workdir) -> Sides[Vectors]:
    """Open the vectors that a work directory holds.

    Raises
    ------
    WorkdirError
        It was never encoded to the end.
    """
    workdir.require("encode")
    return Sides(*(Vectors(workdir, side) for side in SIDES))


def all_encoded(workdir: Workdir) -> bool:
    """Tell whether the vectors of both sides are on disk."""
    return all(
        workdir.shard(side, shard).encoded.exists()
        for side in SIDES
        for shard in range(count_shards(workdir, side))
    )


def check_embeddings(files: ShardFiles, rows: int) -> None:
    """Refuse the vectors of a shard that are not those which were written.

    A file of the noted size and time is the noted file; else its content decides.

    Parameters
    ----------
    files : ShardFiles
        A shard that is encoded.
    rows : int
        Sentences it has.

    Raises
    ------
    WorkdirError
        The file is missing, has another shape or number format, or other content.
    """
    noted = read_json(files.encoded)
    wanted = ((rows, noted["dim"]), noted["dtype"])
    try:
        size = files.embeddings.stat().st_size
        if size != noted["bytes"]:
            raise _changed(files, f"has {size:,} bytes, not {noted['bytes']:,}")
        found = np.lib.format.open_memmap(files.embeddings, mode="r")
    except (OSError, ValueError) as error:
        raise _changed(files, f"cannot be read: {error}") from error
    if (found.shape, found.dtype.name) != wanted:
        raise _changed(files, f"holds {found.dtype} {found.shape}, not {wanted[1]} {wanted[0]}")
    if not is_unchanged(files.embeddings, noted):
        raise _changed(files, "has changed since it was written")


def _changed(files: ShardFiles, how: str) -> WorkdirError:
    return WorkdirError(
        f"{files.embeddings} {how}",
        hint=f"delete {files.encoded}, encode again in the same --workdir, then search",
    )
