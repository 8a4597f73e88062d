"""A task of BUCC: two files of sentences with ids, and the gold pairs of ids."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bitextmine.arrays import Ids
from bitextmine.config import MineConfig
from bitextmine.errors import InputError, UsageError
from bitextmine.evaluation.gold_files import read_text_lines
from bitextmine.shard.corpus import read_lines

_FORMAT = "give lines of id<TAB>sentence, as in BUCC"
_GOLD = "give lines of src id<TAB>tgt id, in the order of --src and --tgt"


@dataclass(frozen=True)
class BuccTask:
    """Two corpora and the pairs in them.

    Attributes
    ----------
    src, tgt, gold : Path
        The files.
    src_lines, tgt_lines : dict of str to int
        Line of each id, from 0.
    gold_pairs : frozenset of (int, int)
        Lines of src and tgt that are translations.
    """

    src: Path
    tgt: Path
    gold: Path
    src_lines: Mapping[str, int]
    tgt_lines: Mapping[str, int]
    gold_pairs: frozenset[tuple[int, int]]

    def are_gold(self, src: Ids, tgt: Ids) -> "np.ndarray[tuple[int], np.dtype[np.bool_]]":
        """Return which pairs of lines are gold."""
        pairs = zip(src.tolist(), tgt.tolist(), strict=True)
        return np.fromiter((pair in self.gold_pairs for pair in pairs), bool, len(src))


def read_task(src: Path, tgt: Path, gold: Path) -> BuccTask:
    """Read ids and gold, and check that they belong together.

    Raises
    ------
    InputError
        A file is empty or damaged, an id is given twice, or a gold id is in no file.
    """
    src_lines, tgt_lines = _read_ids(src, tgt, src), _read_ids(src, tgt, tgt)
    pairs = set()
    for number, line in enumerate(read_text_lines(gold), start=1):
        ids = [part.strip() for part in line.split("\t")]
        if len(ids) < 2:
            raise InputError(f"{gold}, line {number} has no tab between two ids", hint=_GOLD)
        for side, path, known in ((0, src, src_lines), (1, tgt, tgt_lines)):
            if ids[side] not in known:
                raise InputError(
                    f"{gold}, line {number}: there is no id {ids[side]!r} in {path}", hint=_GOLD
                )
        pairs.add((src_lines[ids[0]], tgt_lines[ids[1]]))
    return BuccTask(src, tgt, gold, src_lines, tgt_lines, frozenset(pairs))


def read_tuning_task(src: Path | None, tgt: Path | None, gold: Path | None) -> BuccTask | None:
    """Read the task that the threshold is tuned on; None if none of its files is given.

    Raises
    ------
    InputError
        As for `read_task`.
    UsageError
        Only some of its files are given.
    """
    if src is None and tgt is None and gold is None:
        return None
    if src is None or tgt is None or gold is None:
        raise UsageError(
            "a task to tune on needs three files",
            hint="give --tune-src, --tune-tgt and --tune-gold, or none of them",
        )
    return read_task(src, tgt, gold)


def mining_config(src: Path, tgt: Path) -> MineConfig:
    """Return how the files of a task are read."""
    return MineConfig(src=(str(src),), tgt=(str(tgt),), input_format="ids", on_invalid="fail")


def _read_ids(src: Path, tgt: Path, path: Path) -> dict[str, int]:
    config = mining_config(src, tgt)
    ids: dict[str, int] = {}
    for line in read_lines(str(path), "src", config):
        if line.reject == "missing_field" or (not line.key and line.reject != "blank"):
            raise InputError(f"{path}, line {line.number + 1} has no id", hint=_FORMAT)
        if line.key in ids:
            raise InputError(
                f"{path}, line {line.number + 1}: the id {line.key} is also in line"
                f" {ids[line.key] + 1}",
                hint="every sentence needs an id of its own",
            )
        if line.key:
            ids[line.key] = line.number
    if not ids:
        raise InputError(f"{path} is empty", hint=_FORMAT)
    return ids
