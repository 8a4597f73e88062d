"""Clusters are found, and are the same whatever the number of threads."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from bitextmine.arrays import Floats
from bitextmine.search.approximate.clustering import cluster


def unit(rows: Floats) -> Floats:
    made: Floats = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    return made


def test_separate_topics_get_a_centre_each() -> None:
    draw = np.random.default_rng(0)
    topics = np.eye(5, 16, dtype=np.float32)
    members = np.repeat(topics, 400, axis=0)
    rows = unit(members + 0.05 * draw.standard_normal(members.shape, np.float32))
    centres = cluster(rows[draw.permutation(2000)], 20, seed=1, n_workers=1)
    assert ((centres @ topics.T).max(axis=0) > 0.99).all()


@settings(deadline=None, max_examples=10)
@given(st.integers(1, 60), st.integers(0, 100))
def test_centres_are_unit_vectors_and_threads_change_no_bit(n_clusters: int, seed: int) -> None:
    rows = unit(np.random.default_rng(seed).standard_normal((3000, 12), np.float32))
    one, three = (cluster(rows, n_clusters, seed=seed, n_workers=w) for w in (1, 3))
    assert one.tobytes() == three.tobytes()
    np.testing.assert_allclose(np.linalg.norm(one, axis=1), 1, atol=1e-5)


def test_fewer_distinct_vectors_than_clusters_are_no_trouble() -> None:
    rows = np.repeat(np.eye(2, 4, dtype=np.float32), 20, axis=0)
    centres = cluster(rows, 10, seed=1, n_workers=1)
    assert np.isfinite(centres).all()
