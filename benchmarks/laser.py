"""LASER's mining procedure, plainly: the baseline that other benchmarks compare with.

Follows ``source/mine_bitexts.py`` of https://github.com/facebookresearch/LASER (2023-12-09) step by
step, in code of our own. Where LASER leaves something to chance, the lower line number wins.
"""

import importlib
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ids = NDArray[np.int64]
Margin = Literal["ratio", "distance", "absolute"]
Retrieval = Literal["max", "intersect"]
ScoredPair = tuple[float, int, int]  # margin, src row, tgt row


def laser_mine(
    src_vectors: NDArray[Any],
    tgt_vectors: NDArray[Any],
    *,
    k: int = 4,
    margin: Margin = "ratio",
    retrieval: Retrieval = "max",
) -> list[ScoredPair]:
    """Mine as ``mine_bitexts.py --mode mine --unify`` does, without its threshold.

    Parameters
    ----------
    src_vectors, tgt_vectors : ndarray of a float type, shapes (n_src, d) and (n_tgt, d)
        Of distinct sentences; need not have unit length.
    k : int
        Neighbours a direction.
    margin : {"ratio", "distance", "absolute"}
        How a cosine is compared with those of the neighbourhoods.
    retrieval : {"max", "intersect"}
        Greedy one-to-one by score, or the pairs on which both directions agree.

    Returns
    -------
    list of (float, int, int)
        Score, src row and tgt row, by descending score (LASER leaves ``intersect`` unsorted).
    """
    src, tgt = unit_rows(src_vectors), unit_rows(tgt_vectors)
    fwd_cosines, fwd_ids = nearest(src, tgt, k)
    bwd_cosines, bwd_ids = nearest(tgt, src, k)
    src_means, tgt_means = fwd_cosines.mean(axis=1), bwd_cosines.mean(axis=1)

    fwd_scores = margins(fwd_cosines, src_means[:, None], tgt_means[fwd_ids], margin)
    bwd_scores = margins(bwd_cosines, tgt_means[:, None], src_means[bwd_ids], margin)
    fwd = [(score, i, j) for i, (score, j) in enumerate(best_candidates(fwd_scores, fwd_ids))]
    bwd = [(score, i, j) for j, (score, i) in enumerate(best_candidates(bwd_scores, bwd_ids))]
    return greedy(fwd + bwd) if retrieval == "max" else intersection(fwd, bwd)


def unit_rows(vectors: NDArray[Any]) -> Floats:
    """Scale rows to unit length, in float32 as LASER does."""
    rows = vectors.astype(np.float32)
    lengths: Floats = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / lengths


def nearest(queries: Floats, base: Floats, k: int) -> tuple[Floats, Ids]:
    """Cosines and rows of the k rows of ``base`` nearest to each query, (n_queries, k) each."""
    faiss = importlib.import_module("faiss")  # has no type hints
    index = faiss.IndexFlatIP(base.shape[1])
    index.add(base)
    cosines, ids = index.search(queries, min(k, len(base)))
    return cosines, ids


def margins(cosines: Floats, own_means: Floats, other_means: Floats, margin: Margin) -> Floats:
    """Compare cosines with the mean of the means of both neighbourhoods."""
    means: Floats = (own_means + other_means) / np.float32(2)
    match margin:
        case "ratio":
            return cosines / means
        case "distance":
            return cosines - means
        case "absolute":
            return cosines


def best_candidates(scores: Floats, ids: Ids) -> list[tuple[float, int]]:
    """Score and id of each row's candidate of the best margin, which may not be the nearest."""
    best = scores.argmax(axis=1)
    rows = np.arange(len(ids))
    return list(zip(scores[rows, best].tolist(), ids[rows, best].tolist(), strict=True))


def greedy(candidates: list[ScoredPair]) -> list[ScoredPair]:
    """Accept candidates by descending score while neither sentence is taken."""
    pairs = []
    src_taken: set[int] = set()
    tgt_taken: set[int] = set()
    for score, i, j in descending(candidates):
        if i not in src_taken and j not in tgt_taken:
            src_taken.add(i)
            tgt_taken.add(j)
            pairs.append((score, i, j))
    return pairs


def intersection(fwd: list[ScoredPair], bwd: list[ScoredPair]) -> list[ScoredPair]:
    """Keep the forward candidates that are backward candidates too."""
    agreed = {(i, j) for _, i, j in bwd}
    return descending([pair for pair in fwd if pair[1:] in agreed])


def descending(pairs: list[ScoredPair]) -> list[ScoredPair]:
    """Sort by score, best first, then by row."""
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1], pair[2]))
