"""Lines come back from their buckets, however often memory was full."""

import tempfile
from itertools import pairwise
from pathlib import Path

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bitextmine.shard.buckets import BucketReader, BucketWriter, Strings

N_BUCKETS = 16
LINES = st.lists(
    st.tuples(st.integers(0, N_BUCKETS - 1), st.binary(max_size=9), st.text(max_size=3)),
    max_size=40,
)


def strings(packed: Strings) -> list[bytes]:
    bounds = pairwise(packed.offsets.tolist())
    return [bytes(packed.content[start:stop]) for start, stop in bounds]


@given(LINES, st.integers(0, 1000), st.integers(0, N_BUCKETS - 1), st.integers(1, N_BUCKETS))
@settings(deadline=None)
def test_lines_of_a_run_of_buckets_are_those_that_went_in(
    lines: list[tuple[int, bytes, str]], memory: int, start: int, n_wanted: int
) -> None:
    stop = min(start + n_wanted, N_BUCKETS)
    with tempfile.TemporaryDirectory(prefix="d'été ") as folder:
        paths = [Path(folder) / "a", Path(folder) / "b"]
        for path, some in zip(paths, (lines[::2], lines[1::2]), strict=True):
            with path.open("wb") as file:
                writer = BucketWriter(file, N_BUCKETS, memory)
                for number, (bucket, text, key) in enumerate(some):
                    writer.add(bucket, number, bytes([bucket]) * 16, text, key)
                writer.flush()
        reader = BucketReader(paths, N_BUCKETS, slice(start, stop))
        table = reader.read_table(most=len(lines))
        assert table is not None
        rows = np.random.default_rng(0).permutation(len(table.ids))
        texts, keys = reader.read_strings(rows, table.lengths[:, rows])
        wanted = [line for line in lines if start <= line[0] < stop]
        found = zip(table.digests[rows, 0] % 256, strings(texts), strings(keys), strict=True)
        assert sorted(found) == sorted((b, text, key.encode()) for b, text, key in wanted)
        assert (reader.read_table(most=len(wanted) - 1) is None) == bool(wanted)
