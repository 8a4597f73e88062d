"""Selection against hand-made cases, the oracle and LASER's own output, in bounded memory."""

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import zstandard
from brute_force import nearest
from hypothesis import given, settings
from hypothesis import strategies as st
from selection_oracle import Selected, compute_margins, select_pairs

from bitextmine.config import Margin, Retrieval, SelectConfig
from bitextmine.errors import WorkdirError
from bitextmine.files import Scratch
from bitextmine.search.neighbours import NeighbourLists, Neighbours, StoredNeighbours, save_lists
from bitextmine.select import sorting
from bitextmine.select.choose import choose_pairs
from bitextmine.select.pairs import Pairs

Select = Callable[[Neighbours, Neighbours, SelectConfig, float], Selected]
MEMORIES = [0, 600, 2000, 5000, 1 << 20]
THRESHOLDS = [-np.inf, 0.0, 0.8, 1.0, 1.1, 9.0]


def chosen_pairs(
    fwd: NeighbourLists,
    bwd: NeighbourLists,
    config: SelectConfig,
    threshold: float,
    memory: int = 1 << 20,
) -> Selected:
    """What the program selects, read into memory."""
    with tempfile.TemporaryDirectory() as folder, Scratch(Path(folder)) as scratch:
        selection = choose_pairs(scratch, fwd, bwd, config, threshold, memory)
        assert len(selection.pairs) == len(selection.pairs.read())
        return Selected(selection.pairs.read(), selection.counts)


both_selections = pytest.mark.parametrize("select", [chosen_pairs, select_pairs])
every_retrieval = pytest.mark.parametrize("retrieval", get_args(Retrieval))

# cosines: rows src, columns tgt
TABLE = np.array([[0.9, 0.8, 0.1], [0.88, 0.3, 0.2], [0.1, 0.2, 0.25]], dtype=np.float32)


def chosen(
    select: Select, retrieval: Retrieval, threshold: float = -np.inf, top: int | None = None
) -> Pairs:
    config = SelectConfig(margin="absolute", retrieval=retrieval, top=top)
    return select(nearest(TABLE, 3), nearest(TABLE.T, 3), config, threshold).pairs


def as_set(pairs: Pairs) -> set[tuple[int, int]]:
    return set(zip(pairs["src"].tolist(), pairs["tgt"].tolist(), strict=True))


@both_selections
@pytest.mark.parametrize(
    ("retrieval", "wanted"),
    [
        ("fwd", {(0, 0), (1, 0), (2, 2)}),
        ("bwd", {(0, 0), (0, 1), (2, 2)}),
        ("union", {(0, 0), (1, 0), (0, 1), (2, 2)}),
        ("intersect", {(0, 0), (2, 2)}),
        ("max", {(0, 0), (2, 2)}),  # src 1 and tgt 1 both wanted a sentence that was taken
    ],
)
def test_every_retrieval_means_what_it_says(
    select: Select, retrieval: Retrieval, wanted: set[tuple[int, int]]
) -> None:
    assert as_set(chosen(select, retrieval)) == wanted


@both_selections
@every_retrieval
def test_every_retrieval_is_sorted_and_honours_the_threshold_inclusively(
    select: Select, retrieval: Retrieval
) -> None:
    exact = float(np.float32(0.88))
    pairs = chosen(select, retrieval, threshold=exact)
    assert (pairs["score"] >= exact).all()
    assert (np.diff(pairs["score"]) <= 0).all()
    assert ((1, 0) in as_set(pairs)) == (retrieval in ("fwd", "union"))


@both_selections
def test_equal_scores_are_in_order_of_src_then_tgt(select: Select) -> None:
    lists = nearest(np.full((3, 3), 0.5, dtype=np.float32), 3)
    config = SelectConfig(margin="absolute", retrieval="union")
    pairs = select(lists, lists, config, -np.inf).pairs
    assert pairs[["src", "tgt"]].tolist() == [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0)]


@both_selections
def test_top_keeps_the_best_pairs(select: Select) -> None:
    assert as_set(chosen(select, "union", top=2)) == {(0, 0), (1, 0)}


@both_selections
@every_retrieval
def test_a_mutual_vote_has_the_score_of_the_src_sentence_unless_only_tgt_sentences_count(
    select: Select, retrieval: Retrieval
) -> None:
    """The lists of a search agree on a cosine; these do not, so they tell whose it is."""
    fwd = Neighbours(np.array([[0.9]], np.float32), np.array([[0]]))
    bwd = Neighbours(np.array([[0.8]], np.float32), np.array([[0]]))
    config = SelectConfig(margin="absolute", retrieval=retrieval)
    wanted = float(np.float32(0.8 if retrieval == "bwd" else 0.9))
    assert select(fwd, bwd, config, -np.inf).pairs.tolist() == [(wanted, 0, 0, wanted)]
    turned = float(np.float32(0.9 if retrieval == "bwd" else 0.8))
    assert select(bwd, fwd, config, -np.inf).pairs.tolist() == [(turned, 0, 0, turned)]
    # It is that score, too, that must reach the threshold.
    assert len(select(fwd, bwd, config, 0.85).pairs) == (retrieval != "bwd")
    assert len(select(bwd, fwd, config, 0.85).pairs) == (retrieval == "bwd")


@both_selections
@every_retrieval
@pytest.mark.parametrize("top", [None, 1])
@pytest.mark.parametrize("threshold", [-np.inf, 0.3, 2.0])
def test_the_outcomes_of_the_sentences_add_up(
    select: Select, retrieval: Retrieval, top: int | None, threshold: float
) -> None:
    config = SelectConfig(margin="absolute", retrieval=retrieval, top=top)
    selected = select(nearest(TABLE, 3), nearest(TABLE.T, 3), config, threshold)
    assert_adds_up(selected, (3, 3))


def assert_adds_up(selected: Selected, sizes: tuple[int, int]) -> None:
    """Every sentence of a side has one outcome, and is paired if it is in a pair."""
    for side, size in zip(("src", "tgt"), sizes, strict=True):
        outcomes = selected.counts[side]
        assert isinstance(outcomes, dict)
        assert sum(outcomes.values()) == size
        assert min(outcomes.values()) >= 0
        assert outcomes["paired"] == len(np.unique(selected.pairs[side]))


def bits(pairs: Pairs) -> list[bytes]:
    """The bytes of every field, without those that pad a pair."""
    return [pairs[field].tobytes() for field in ("score", "src", "tgt", "cosine")]


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


def chosen_from_files(
    fwd: Neighbours,
    bwd: Neighbours,
    config: SelectConfig,
    threshold: float,
    *,
    memory: int,
    n_files: int,
    rows: int,
    seed: int,
) -> Selected:
    """What the program selects from several files, sorting and reading so many rows at a time."""
    random = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory(prefix="les 'paires' é ") as name, Scratch(Path(name)) as room:
        lists = [
            stored(random, Path(name), direction, each, n_files)
            for direction, each in (("fwd", fwd), ("bwd", bwd))
        ]
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(sorting, "BLOCK_PAIRS", rows)
            found = choose_pairs(room, lists[0], lists[1], config, threshold, memory)
        blocks = list(found.pairs.blocks(rows))
        assert len(found.pairs) == sum(map(len, blocks))
        return Selected(np.concatenate([found.pairs.read(0, 0), *blocks]), found.counts)


SIZES = st.tuples(st.integers(1, 30), st.integers(1, 30))
ROWS = st.sampled_from([1, 3, 1 << 20])


@every_retrieval
@pytest.mark.parametrize("margin", get_args(Margin))
@given(
    seed=st.integers(0, 2**32),
    sizes=SIZES,
    k=st.integers(1, 5),
    threshold=st.sampled_from(THRESHOLDS),
    top=st.sampled_from([None, 1, 7]),
    memory=st.sampled_from(MEMORIES),
    n_files=st.integers(1, 3),
    rows=ROWS,
)
@settings(max_examples=20, deadline=None)
def test_pairs_and_counts_are_those_of_the_oracle(
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
    found = chosen_from_files(
        fwd, bwd, config, threshold, memory=memory, n_files=n_files, rows=rows, seed=seed
    )
    assert bits(found.pairs) == bits(wanted.pairs)
    assert json.dumps(found.counts) == json.dumps(wanted.counts)  # The run card keeps their order.


@given(
    seed=st.integers(0, 2**32),
    sizes=SIZES,
    retrieval=st.sampled_from(get_args(Retrieval)),
    top=st.sampled_from([None, 7]),
    memories=st.tuples(st.sampled_from(MEMORIES), st.sampled_from(MEMORIES)),
    n_files=st.integers(1, 3),
    rows=ROWS,
)
@settings(max_examples=60, deadline=None)
def test_memory_blocks_and_the_order_of_lists_change_nothing(
    seed: int,
    sizes: tuple[int, int],
    retrieval: Retrieval,
    top: int | None,
    memories: tuple[int, int],
    n_files: int,
    rows: int,
) -> None:
    random = np.random.default_rng(seed)
    fwd, bwd = random_lists(random, *sizes, 3), random_lists(random, *sizes[::-1], 3)
    config = SelectConfig(retrieval=retrieval, top=top)
    at_once = chosen_pairs(fwd, bwd, config, 0.8, memories[0])
    in_parts = chosen_from_files(
        fwd, bwd, config, 0.8, memory=memories[1], n_files=n_files, rows=rows, seed=seed
    )
    assert bits(at_once.pairs) == bits(in_parts.pairs)
    assert at_once.counts == in_parts.counts


@given(
    seed=st.integers(0, 2**32),
    sizes=SIZES,
    retrieval=st.sampled_from(get_args(Retrieval)),
    threshold=st.sampled_from(THRESHOLDS),
    top=st.sampled_from([None, 1, 7]),
)
@settings(max_examples=60, deadline=None)
def test_every_sentence_has_one_outcome(
    seed: int, sizes: tuple[int, int], retrieval: Retrieval, threshold: float, top: int | None
) -> None:
    random = np.random.default_rng(seed)
    fwd, bwd = random_lists(random, *sizes, 3), random_lists(random, *sizes[::-1], 3)
    config = SelectConfig(retrieval=retrieval, top=top)
    selected = chosen_pairs(fwd, bwd, config, threshold)
    assert_adds_up(selected, sizes)
    assert len(selected.pairs) <= (top or sum(sizes))
    assert selected.counts["candidates"] == fwd.numbers.size + bwd.numbers.size


@given(
    seed=st.integers(0, 2**32),
    sizes=SIZES,
    k=st.integers(1, 5),
    margin=st.sampled_from(get_args(Margin)),
    threshold=st.sampled_from(THRESHOLDS),
)
@settings(max_examples=40, deadline=None)
def test_the_retrievals_of_lists_that_agree_are_sets_of_the_same_votes(
    seed: int, sizes: tuple[int, int], k: int, margin: Margin, threshold: float
) -> None:
    random = np.random.default_rng(seed)
    cosines = random.choice([0.9, 0.8, 0.75, 0.5, 0.0, -0.3], sizes).astype(np.float32)
    fwd, bwd = nearest(cosines, k), nearest(cosines.T, k)
    retrieved = {
        retrieval: chosen_pairs(
            fwd, bwd, SelectConfig(margin=margin, retrieval=retrieval), threshold
        ).pairs
        for retrieval in get_args(Retrieval)
    }
    pairs = {retrieval: as_set(some) for retrieval, some in retrieved.items()}
    assert all(len(pairs[retrieval]) == len(some) for retrieval, some in retrieved.items())
    assert pairs["union"] == pairs["fwd"] | pairs["bwd"]
    assert pairs["intersect"] == pairs["fwd"] & pairs["bwd"]
    assert pairs["max"] <= pairs["union"]
    for side in ("src", "tgt"):
        assert len(np.unique(retrieved["max"][side])) == len(retrieved["max"])


GOLDEN = Path(__file__).parents[1] / "data"


def laser_output(margin: str, retrieval: str, k: int) -> list[tuple[float, str, str]]:
    path = GOLDEN / f"laser.{margin}.{retrieval}.k{k}.tsv.zst"
    text = zstandard.ZstdDecompressor().decompress(path.read_bytes(), 1 << 20).decode()
    rows = [line.split("\t") for line in text.split("\n")[:-1]]
    return [(float(score), src, tgt.rstrip("\n")) for score, src, tgt in rows]


@both_selections
@pytest.mark.parametrize("k", [4, 16])
@pytest.mark.parametrize("retrieval", ["max", "intersect"])
@pytest.mark.parametrize("margin", get_args(Margin))
def test_pairs_and_scores_are_those_of_laser(
    select: Select, margin: Margin, retrieval: Retrieval, k: int
) -> None:
    from bitextmine.search.exact.two_way import two_way_neighbours

    texts = [(GOLDEN / f"{side}.txt").read_text("utf-8").split("\n") for side in ("src", "tgt")]
    vectors = [np.load(GOLDEN / f"{side}.npy", allow_pickle=False) for side in ("src", "tgt")]
    # LASER's --unify: a sentence that occurs twice counts once
    kept = [sorted({text: row for row, text in enumerate(side) if text}.values()) for side in texts]
    ids = [np.arange(len(rows)) for rows in kept]
    fwd, bwd = two_way_neighbours(
        vectors[0][kept[0]], vectors[1][kept[1]], k=k, src_numbers=ids[0], tgt_numbers=ids[1]
    )
    config = SelectConfig(margin=margin, retrieval=retrieval)
    # LASER's max prints only what is above its threshold of 0; intersect ignores it
    threshold = np.nextafter(0, 1) if retrieval == "max" else -np.inf
    selected = select(fwd, bwd, config, threshold)
    ours = {
        (texts[0][kept[0][s]], texts[1][kept[1][t]]): score
        for score, s, t, _ in selected.pairs.tolist()
    }
    theirs = {(src, tgt): score for score, src, tgt in laser_output(margin, retrieval, k)}
    assert ours.keys() == theirs.keys()
    assert max(abs(ours[pair] - theirs[pair]) for pair in ours) < 1e-5
    assert compute_margins(fwd, bwd, margin).undefined == 0
    assert selected.counts["undefined_margins"] == 0


def test_a_scratch_leaves_nothing_behind(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    lists = [stored(random, tmp_path, d, random_lists(random, 9, 9, 2), 1) for d in ("fwd", "bwd")]
    before = set(tmp_path.iterdir())
    with Scratch(tmp_path) as scratch:
        choose_pairs(scratch, lists[0], lists[1], SelectConfig(), -np.inf, 0)
        assert set(tmp_path.iterdir()) == before
    assert set(tmp_path.iterdir()) == before


def test_lists_that_are_not_there_are_told(tmp_path: Path) -> None:
    lists = StoredNeighbours([np.arange(3)], [tmp_path / "gone.npy"])
    with Scratch(tmp_path) as scratch, pytest.raises(WorkdirError, match="cannot read the neigh"):
        choose_pairs(scratch, lists, lists, SelectConfig(), 0.0, 1 << 20)


N, K = 400_000, 16
UNDER_A_LIMIT = """
import resource, sys
from pathlib import Path
import numpy as np
from bitextmine.config import SelectConfig
from bitextmine.files import Scratch
from bitextmine.search.neighbours import StoredNeighbours
from bitextmine.select.choose import choose_pairs

how, folder, tests = sys.argv[1], Path(sys.argv[2]), sys.argv[3]
sys.path.append(tests)
from selection_oracle import select_pairs

pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + (224 << 20)
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
numbers = [np.arange(400_000)]
lists = [StoredNeighbours(numbers, [folder / name]) for name in ("fwd.npy", "bwd.npy")]
try:
    if how == "disk":
        with Scratch(folder) as scratch:
            print(len(choose_pairs(scratch, *lists, SelectConfig(), 1.0, 64 << 20).pairs))
    else:
        fwd, bwd = (next(iter(each.blocks(len(each))))[1] for each in lists)
        print(len(select_pairs(fwd, bwd, SelectConfig(), 1.0).pairs))
except MemoryError:
    print("no memory")
"""


@pytest.mark.alone
def test_memory_is_bounded_where_selection_in_memory_has_too_little(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    for name in ("fwd.npy", "bwd.npy"):
        cosines = -np.sort(-random.random((N, K), dtype=np.float32), axis=1)
        save_lists(tmp_path / name, Neighbours(cosines, random.integers(0, N, (N, K))))

    def told(how: str) -> str:
        tests = str(Path(__file__).parents[1])
        command = [sys.executable, "-c", UNDER_A_LIMIT, how, str(tmp_path), tests]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    assert int(told("disk")) > 100_000
    assert told("memory") == "no memory"
