"""What became of every line and sentence, and the rejected lines themselves."""

import io
import json
from collections import Counter
from collections.abc import Iterator
from typing import Any

import zstandard

from bitextmine.files import (
    read_json,
)
from bitextmine.workdir import SIDES, Side, Workdir


def count_shards(workdir: Workdir, side: Side) -> int:
    """Return how many shards a side has."""
    return int(read_json(workdir.shard_plan(side))["shards"])


def format_rejects(workdir: Workdir, side: Side) -> str:
    """Say in a few words how many lines were read, and why some were rejected."""
    counts = side_counts(workdir, side)
    reasons = ", ".join(f"{n:,} {reason}" for reason, n in counts["rejected"].items())
    return f"{counts['read']:,} lines read" + (f": {reasons}" if reasons else "")


def side_counts(workdir: Workdir, side: Side) -> dict[str, Any]:
    """Add up what became of the lines of a side: read = rejected + duplicates + unique."""
    total: dict[str, Any] = {"read": 0, "rejected": Counter(), "mended": Counter()}
    for done in workdir.all_lines_done(side):
        counts = read_json(done)
        total["read"] += counts["read"]
        total["rejected"].update(counts["rejected"])
        total["mended"].update(counts["mended"])
    for kind in ("duplicates", "unique"):
        shards = (workdir.shard(side, s).done for s in range(count_shards(workdir, side)))
        total[kind] = sum(read_json(done)[kind] for done in shards)
    return {**total, "rejected": dict(total["rejected"]), "mended": dict(total["mended"])}


def reject_records(workdir: Workdir, side: Side) -> Iterator[dict[str, Any]]:
    """Yield the rejected lines of a side: reason, file, line and text of each."""
    for path in workdir.all_rejects(side):
        with path.open("rb") as file, zstandard.ZstdDecompressor().stream_reader(file) as stream:
            for line in io.TextIOWrapper(stream, encoding="utf-8", newline="\n"):
                yield json.loads(line)


def encoded_counts(workdir: Workdir, side: Side) -> dict[str, int]:
    """Add up the counts of encoding over the shards of a side."""
    total = {"truncated": 0, "unusable": 0}
    for shard in range(count_shards(workdir, side)):
        counts = read_json(workdir.shard(side, shard).encoded)
        total = {key: total[key] + counts[key] for key in total}
    return total


def shard_sizes(workdir: Workdir, side: Side) -> list[int]:
    """Return how many sentences each shard has."""
    shards = range(count_shards(workdir, side))
    return [int(read_json(workdir.shard(side, shard).done)["unique"]) for shard in shards]


def run_counts(workdir: Workdir, selected: dict[str, Any]) -> dict[str, Any]:
    """Add up every stage: read = rejected + duplicates + unique; unique = paired + unpaired."""
    sides: dict[str, Any] = {
        side: side_counts(workdir, side) | encoded_counts(workdir, side) | selected[side]
        for side in SIDES
    }
    return selected | sides
