"""The file of rejects: every line that is not a sentence of its own, and why."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bitextmine.counts import count_shards, reject_records
from bitextmine.files import map_array
from bitextmine.shard.sentences import Sentences, shard_texts
from bitextmine.workdir import LINE_BITS, SIDES, Side, Sides, Workdir
from bitextmine.write.destination import open_output
from bitextmine.write.records import one_line

REPEATS = 1 << 16  # duplicates looked up at a time


class LineOutcome(NamedTuple):
    """Why a line of an input file became no sentence of its own; a column for each field."""

    reason: str
    side: Side
    file: str
    line: int  # from 1
    text: str


HEADER = "\t".join(LineOutcome._fields) + "\n"


def write_rejects(workdir: Workdir, sentences: Sides[Sentences], path: Path) -> None:
    """Write the rejected and the duplicate lines of both sides as a TSV with a header.

    Columns: reason, side, file, line (from 1) and text, of which a rejected line
    keeps 200 characters.
    """
    with open_output(path) as sink:
        sink.write(HEADER.encode())
        for side in SIDES:
            duplicates = _duplicates(workdir, side, sentences.of(side).paths)
            for outcome in chain(_rejected(workdir, side), duplicates):
                sink.write(_row(outcome).encode("utf-8", "backslashreplace"))


def _row(outcome: LineOutcome) -> str:
    reason, side, file, line, text = outcome
    return f"{reason}\t{side}\t{one_line(file)}\t{line}\t{one_line(text)}\n"


def _rejected(workdir: Workdir, side: Side) -> Iterator[LineOutcome]:
    for record in reject_records(workdir, side):
        yield LineOutcome(record["reason"], side, record["file"], record["line"], record["text"])


def _duplicates(workdir: Workdir, side: Side, paths: tuple[str, ...]) -> Iterator[LineOutcome]:
    for shard in range(count_shards(workdir, side)):
        files = workdir.shard(side, shard)
        texts = shard_texts(files)
        ids = map_array(files.ids)
        repeats = map_array(files.duplicates)
        for start in range(0, len(repeats), REPEATS):
            some = np.array(repeats[start : start + REPEATS])
            rows = np.searchsorted(ids, some[:, 1])
            for sentence_id, row in zip(some[:, 0].tolist(), rows.tolist(), strict=True):
                file, line = divmod(sentence_id, 1 << LINE_BITS)
                yield LineOutcome("duplicate", side, paths[file], line + 1, texts[row])
