"""Retrieval against hand-made cases, plain loops, and LASER's own output."""

from pathlib import Path
from typing import get_args

import numpy as np
import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from bitextmine.arrays import Ids
from bitextmine.config import Margin, Retrieval, SelectConfig
from bitextmine.search.neighbours import Neighbours
from bitextmine.select.in_memory import best_one_to_one, select_pairs
from bitextmine.select.margin import compute_margins
from bitextmine.select.pairs import Pairs

# cosines: rows src, columns tgt
TABLE = np.array([[0.9, 0.8, 0.1], [0.88, 0.3, 0.2], [0.1, 0.2, 0.25]], dtype=np.float32)


def neighbours(table: np.ndarray, k: int) -> Neighbours:
    order = np.argsort(-table, axis=1, kind="stable")[:, :k]
    return Neighbours(np.take_along_axis(table, order, 1), order)


def chosen(retrieval: Retrieval, threshold: float = -np.inf, top: int | None = None) -> Pairs:
    config = SelectConfig(margin="absolute", retrieval=retrieval, top=top)
    fwd, bwd = neighbours(TABLE, 3), neighbours(TABLE.T, 3)
    return select_pairs(fwd, bwd, config, threshold).pairs


def as_set(pairs: Pairs) -> set[tuple[int, int]]:
    return set(zip(pairs.src.tolist(), pairs.tgt.tolist(), strict=True))


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
    retrieval: Retrieval, wanted: set[tuple[int, int]]
) -> None:
    assert as_set(chosen(retrieval)) == wanted


@pytest.mark.parametrize("retrieval", get_args(Retrieval))
def test_every_retrieval_is_sorted_and_honours_the_threshold_inclusively(
    retrieval: Retrieval,
) -> None:
    exact = float(np.float32(0.88))
    pairs = chosen(retrieval, threshold=exact)
    assert (pairs.scores >= exact).all()
    assert (np.diff(pairs.scores) <= 0).all()
    assert ((1, 0) in as_set(pairs)) == (retrieval in ("fwd", "union"))


def test_equal_scores_are_in_order_of_src_then_tgt() -> None:
    table = np.full((3, 3), 0.5, dtype=np.float32)
    config = SelectConfig(margin="absolute", retrieval="union")
    pairs = select_pairs(neighbours(table, 3), neighbours(table, 3), config, -np.inf).pairs
    assert list(zip(pairs.src, pairs.tgt, strict=True)) == [(0, 0), (0, 1), (0, 2), (1, 0), (2, 0)]


def test_top_keeps_the_best_pairs() -> None:
    assert as_set(chosen("union", top=2)) == {(0, 0), (1, 0)}


@pytest.mark.parametrize("retrieval", get_args(Retrieval))
@pytest.mark.parametrize("top", [None, 1])
@pytest.mark.parametrize("threshold", [-np.inf, 0.3, 2.0])
def test_the_fates_of_the_sentences_add_up(
    retrieval: Retrieval, top: int | None, threshold: float
) -> None:
    config = SelectConfig(margin="absolute", retrieval=retrieval, top=top)
    fwd, bwd = neighbours(TABLE, 3), neighbours(TABLE.T, 3)
    selection = select_pairs(fwd, bwd, config, threshold)
    for side in ("src", "tgt"):
        fates = selection.counts[side]
        assert isinstance(fates, dict)
        assert sum(fates.values()) == 3
        assert min(fates.values()) >= 0
        assert fates["paired"] == len(np.unique(getattr(selection.pairs, side)))


def greedy_by_hand(src: list[int], tgt: list[int]) -> list[bool]:
    """The definition, pair by pair: the oracle."""
    taken: list[tuple[int, int]] = []
    marks = []
    for s, t in zip(src, tgt, strict=True):
        free = all(s != other_s and t != other_t for other_s, other_t in taken)
        taken += [(s, t)] if free else []
        marks.append(free)
    return marks


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=60))
def test_one_to_one_is_the_greedy_matching(pairs: list[tuple[int, int]]) -> None:
    src: Ids = np.array([s for s, _ in pairs], dtype=np.int64)
    tgt: Ids = np.array([t for _, t in pairs], dtype=np.int64)
    assert best_one_to_one(src, tgt).tolist() == greedy_by_hand(src.tolist(), tgt.tolist())


GOLDEN = Path(__file__).parents[1] / "data"


def laser_output(margin: str, retrieval: str, k: int) -> list[tuple[float, str, str]]:
    path = GOLDEN / f"laser.{margin}.{retrieval}.k{k}.tsv.zst"
    text = zstandard.ZstdDecompressor().decompress(path.read_bytes(), 1 << 20).decode()
    rows = [line.split("\t") for line in text.split("\n")[:-1]]
    return [(float(score), src, tgt.rstrip("\n")) for score, src, tgt in rows]


@pytest.mark.parametrize("k", [4, 16])
@pytest.mark.parametrize("retrieval", ["max", "intersect"])
@pytest.mark.parametrize("margin", get_args(Margin))
def test_pairs_and_scores_are_those_of_laser(margin: Margin, retrieval: Retrieval, k: int) -> None:
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
    pairs = select_pairs(fwd, bwd, config, threshold).pairs
    ours = {
        (texts[0][kept[0][s]], texts[1][kept[1][t]]): score
        for s, t, score in zip(pairs.src, pairs.tgt, pairs.scores, strict=True)
    }
    theirs = {(src, tgt): score for score, src, tgt in laser_output(margin, retrieval, k)}
    assert ours.keys() == theirs.keys()
    assert max(abs(ours[pair] - theirs[pair]) for pair in ours) < 1e-5
    assert compute_margins(fwd, bwd, margin).undefined == 0
