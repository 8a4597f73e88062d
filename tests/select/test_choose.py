"""Selection from disk gives what selection in memory gives, in memory that is bounded."""

import subprocess
import sys
import tempfile
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitextmine.config import Margin, Retrieval, SelectConfig
from bitextmine.errors import WorkdirError
from bitextmine.files import Scratch
from bitextmine.search.neighbours import Neighbours, StoredNeighbours, save_lists
from bitextmine.select import sorting as sorted_runs
from bitextmine.select.choose import select_from_disk
from bitextmine.select.in_memory import select_pairs
from bitextmine.select.pairs import Pairs

FIELDS = ("src", "tgt", "scores", "cosines")


def random_lists(random: np.random.Generator, n: int, n_other: int, k: int) -> Neighbours:
    """Lists with many equal cosines, some of them 0 or negative, which make margins undefined."""
    ids = np.argsort(random.random((n, n_other)), axis=1)[:, :k]
    cosines = random.choice([0.9, 0.8, 0.75, 0.5, 0.0, -0.3], ids.shape).astype(np.float32)
    order = np.lexsort((ids, -cosines))
    return Neighbours(np.take_along_axis(cosines, order, 1), np.take_along_axis(ids, order, 1))


def stored(
    random: np.random.Generator, folder: Path, name: str, lists: Neighbours, n_files: int
) -> StoredNeighbours:
    """Save lists in several files, whose rows are in any order."""
    numbers = np.array_split(random.permutation(len(lists)), n_files)
    paths = [folder / f"{name} {file}.npy" for file in range(n_files)]
    for rows, path in zip(numbers, paths, strict=True):
        save_lists(path, Neighbours(lists.cosines[rows], lists.numbers[rows]))
    return StoredNeighbours(numbers, paths)


def joined(blocks: list[Pairs]) -> list[list[float]]:
    return [[x for some in blocks for x in getattr(some, field).tolist()] for field in FIELDS]


@given(
    seed=st.integers(0, 2**32),
    sizes=st.tuples(st.integers(1, 30), st.integers(1, 30)),
    k=st.integers(1, 5),
    margin=st.sampled_from(get_args(Margin)),
    retrieval=st.sampled_from(get_args(Retrieval)),
    threshold=st.sampled_from([-np.inf, 0.0, 0.8, 1.0, 1.1, 9.0]),
    top=st.sampled_from([None, 1, 7]),
    memory=st.sampled_from([0, 600, 2000, 5000, 1 << 20]),
    n_files=st.integers(1, 3),
    rows=st.sampled_from([1, 3, 1 << 20]),
)
@settings(max_examples=150, deadline=None)
def test_pairs_and_counts_are_those_of_selection_in_memory(
    seed: int,
    sizes: tuple[int, int],
    k: int,
    margin: Margin,
    retrieval: Retrieval,
    threshold: float,
    top: int | None,
    memory: int,
    n_files: int,
    rows: int,
) -> None:
    random = np.random.default_rng(seed)
    fwd, bwd = random_lists(random, *sizes, k), random_lists(random, *sizes[::-1], k)
    config = SelectConfig(margin=margin, retrieval=retrieval, top=top)
    wanted = select_pairs(fwd, bwd, config, threshold)
    with tempfile.TemporaryDirectory(prefix="les 'paires' é ") as name, Scratch(Path(name)) as room:
        lists = [
            stored(random, Path(name), direction, each, n_files)
            for direction, each in (("fwd", fwd), ("bwd", bwd))
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sorted_runs, "BLOCK_ROWS", rows)
            found = select_from_disk(room, lists[0], lists[1], config, threshold, memory)
        assert joined(list(found.pairs.blocks(rows))) == joined([wanted.pairs])
        assert found.counts == wanted.counts
        assert len(found.pairs) == len(wanted.pairs)


def test_a_scratch_leaves_nothing_behind(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lists = [stored(random, tmp_path, d, random_lists(random, 9, 9, 2), 1) for d in ("fwd", "bwd")]
    before = set(tmp_path.iterdir())
    with Scratch(tmp_path) as scratch:
        select_from_disk(scratch, lists[0], lists[1], SelectConfig(), -np.inf, 0)
        assert set(tmp_path.iterdir()) == before
    assert set(tmp_path.iterdir()) == before


def test_lists_that_are_not_there_are_told(tmp_path: Path) -> None:
    lists = StoredNeighbours([np.arange(3)], [tmp_path / "gone.npy"])
    with Scratch(tmp_path) as scratch, pytest.raises(WorkdirError, match="cannot read the neigh"):
        select_from_disk(scratch, lists, lists, SelectConfig(), 0.0, 1 << 20)


N, K = 400_000, 16
UNDER_A_LIMIT = """
import resource, sys
from pathlib import Path
import numpy as np
from bitextmine.config import SelectConfig
from bitextmine.scratch import Scratch
from bitextmine.search.lists import StoredNeighbours
from bitextmine.select import select_pairs
from bitextmine.selection import select_from_disk

how, folder = sys.argv[1], Path(sys.argv[2])
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (224 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
numbers = [np.arange(400_000)]
lists = [StoredNeighbours(numbers, [folder / name]) for name in ("fwd.npy", "bwd.npy")]
try:
    if how == "disk":
        with Scratch(folder) as scratch:
            print(len(select_from_disk(scratch, *lists, SelectConfig(), 1.0, 64 << 20).pairs))
    else:
        fwd, bwd = (next(iter(each.blocks(len(each))))[1] for each in lists)
        print(len(select_pairs(fwd, bwd, SelectConfig(), 1.0).pairs))
except MemoryError:
    print("no memory")
"""


def test_memory_is_bounded_where_selection_in_memory_has_too_little(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("fwd.npy", "bwd.npy"):
        cosines = -np.sort(-random.random((N, K), dtype=np.float32), axis=1)
        save_lists(tmp_path / name, Neighbours(cosines, random.integers(0, N, (N, K))))

    def told(how: str) -> str:
        command = [sys.executable, "-c", UNDER_A_LIMIT, how, str(tmp_path)]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert int(told("disk")) > 100_000
    assert told("memory") == "no memory"
