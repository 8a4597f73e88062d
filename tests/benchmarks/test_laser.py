"""The baseline of the benchmarks gives what LASER's own script printed."""

from pathlib import Path
from typing import get_args

import laser
import numpy as np
import pytest
import zstandard

pytest.importorskip("faiss")

DATA = Path(__file__).parents[1] / "data"


def unified(side: str) -> tuple[list[str], laser.Floats]:
    """Distinct sentences and their vectors; like LASER, of repeated ones the last vector."""
    sentences = (DATA / f"{side}.txt").read_text(encoding="utf-8").splitlines()
    rows = {sentence: row for row, sentence in enumerate(sentences)}
    return list(rows), np.load(DATA / f"{side}.npy")[list(rows.values())]


def printed_by_laser(margin: laser.Margin, retrieval: laser.Retrieval, k: int) -> list[list[str]]:
    """Score, src and tgt, line by line."""
    packed = (DATA / f"laser.{margin}.{retrieval}.k{k}.tsv.zst").read_bytes()
    text = zstandard.ZstdDecompressor().decompress(packed).decode()
    return [line.split("\t") for line in text.splitlines()]


@pytest.mark.parametrize("k", [4, 16])
@pytest.mark.parametrize("retrieval", get_args(laser.Retrieval))
@pytest.mark.parametrize("margin", get_args(laser.Margin))
def test_pairs_and_scores_are_those_of_laser(
    margin: laser.Margin, retrieval: laser.Retrieval, k: int
) -> None:
    src, src_vectors = unified("src")
    tgt, tgt_vectors = unified("tgt")
    pairs = laser.laser_mine(src_vectors, tgt_vectors, k=k, margin=margin, retrieval=retrieval)
    if retrieval == "max":
        pairs = [pair for pair in pairs if pair[0] > 0]  # all that LASER prints
    ours = {(src[i], tgt[j]): score for score, i, j in pairs}
    golden = {(s, t): float(score) for score, s, t in printed_by_laser(margin, retrieval, k)}
    assert ours == pytest.approx(golden, abs=1e-5)


def test_pairs_are_sorted_and_equal_scores_by_row() -> None:
    vectors = np.eye(3, dtype=np.float32)
    assert laser.laser_mine(vectors, vectors, margin="absolute") == [
        (1.0, 0, 0), (1.0, 1, 1), (1.0, 2, 2),
    ]  # fmt: skip
