"""The file of rejects: every line that is not a sentence of its own, and why."""

from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from bitextmine.counts import count_shards, reject_records
from bitextmine.files import map_array
from bitextmine.shard.sentences import Sentences, shard_texts
from bitextmine.workdir import LINE_BITS, SIDES, Side, Sides, Workdir
from bitextmine.write.destination import open_output
from bitextmine.write.records import one_line

REPEATS = 1 << 16  # duplicates looked up at a time
HEADER = "reason\tside\tfile\tline\ttext\n"


def write_rejects(workdir: Workdir, sentences: Sides[Sentences], path: Path) -> None:
    """Write the rejected and the duplicate lines of both sides as a TSV with a header.

    Columns: reason, side, file, line (from 1) and text, of which a rejected line
    keeps 200 characters.
    """
    with open_output(path) as sink:
        sink.write(HEADER.encode())
        for side in SIDES:
            fates = _rejected(workdir, side), _duplicates(workdir, side, sentences.of(side).paths)
            for reason, file, line, text in chain(*fates):
                row = f"{reason}\t{side}\t{one_line(file)}\t{line}\t{one_line(text)}\n"
                sink.write(row.encode("utf-8", "backslashreplace"))


_Fate = tuple[str, str, int, str]  # reason, file, line from 1, text


def _rejected(workdir: Workdir, side: Side) -> Iterator[_Fate]:
    for record in reject_records(workdir, side):
        yield record["reason"], record["file"], record["line"], record["text"]


def _duplicates(workdir: Workdir, side: Side, paths: tuple[str, ...]) -> Iterator[_Fate]:
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
                yield "duplicate", paths[file], line + 1, texts[row]
