"""Lists on a device hold whatever may be among the k nearest, until exact cosines rank it."""

import numpy as np
import pytest
import torch
from brute_force import Corpora, brute_force, clustered
from hypothesis import given, settings
from hypothesis import strategies as st
from on_device import SMALLEST, assert_brute_force, brought, side_of

from bitextmine.arrays import Floats, Stored
from bitextmine.search.exact import shortlists
from bitextmine.search.exact.shortlists import EMPTY, Keys
from bitextmine.search.exact.side import SearchSide, pair_cosines
from bitextmine.search.gpu import device_lists as lists
from bitextmine.search.gpu.device_lists import DeviceLists, pack, positions, similarities
from bitextmine.search.gpu.device_rows import CosineScorer, DeviceRows
from bitextmine.search.gpu.kernels import PLAIN


@given(
    st.lists(st.tuples(st.floats(width=32, allow_nan=False), st.integers(0, 2**32 - 1)), min_size=1)
)
def test_keys_have_the_bits_of_those_on_the_cpu(pairs: list[tuple[float, int]]) -> None:
    values = np.array([value for value, _ in pairs], np.float32)
    places = np.array([place for _, place in pairs])
    expected = shortlists.pack(values, places)
    keys = pack(torch.from_numpy(values), torch.from_numpy(places))
    np.testing.assert_array_equal(keys.numpy(), expected)
    np.testing.assert_array_equal(positions(keys).numpy(), places)
    found = similarities(keys).numpy()
    np.testing.assert_array_equal(found.view(np.int32), values.view(np.int32))
    assert similarities(torch.tensor([EMPTY])).tolist() == [-np.inf]


def with_ties(n: int, m: int, seed: int) -> Corpora:
    """Vectors of which some are equal."""
    src, tgt = clustered(n, m, 12, seed)
    tgt[::3] = tgt[0]
    return src, tgt


def noisy(own: SearchSide, other: SearchSide, error: float, seed: int) -> Floats:
    """Return similarities as a product gives them: cosines, off by the error at most."""
    rows, columns = np.indices((len(own), len(other))).reshape(2, -1)
    cosines = pair_cosines(own, rows, other, columns).reshape(len(own), len(other))
    noise = np.random.default_rng(seed).uniform(-error, error, size=cosines.shape)
    return cosines + 0.99 * noise.astype(np.float32)


def offer(found: DeviceLists, similar: Floats, own: DeviceRows, other: DeviceRows) -> None:
    """Offer columns, 17 at a time, as a search does: what reaches the thresholds; then rank."""
    scorer = CosineScorer(own, other, PLAIN)
    for first in range(0, similar.shape[1], 17):
        some = torch.from_numpy(similar[:, first : first + 17])
        rows, columns = (some >= found.thresholds[: len(some), None]).nonzero(as_tuple=True)
        found.add(rows, columns + first + other.start, some[rows, columns], scorer)
    found.rank(scorer)


def best_keys(src: Stored, tgt: Stored, k: int) -> Keys:
    best = brute_force(src, tgt, np.arange(len(tgt)), k)
    return shortlists.pack(best.cosines, best.numbers)


@settings(deadline=None, max_examples=40)
@given(
    sizes=st.tuples(st.integers(1, 30), st.integers(1, 90)),
    k=st.integers(1, 12),
    error=st.sampled_from([1e-6, 0.05, 1.0]),
    pending=st.sampled_from([1, 4, 64]),
    seed=st.integers(0, 99),
)
def test_the_k_best_are_found_however_far_off_similarities_are(
    sizes: tuple[int, int], k: int, error: float, pending: int, seed: int
) -> None:
    src, tgt = with_ties(*sizes, seed)
    own, other, k = side_of(src), side_of(tgt), min(k, len(tgt))
    rows = brought(own)
    found = DeviceLists(rows.scales, k, error)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(lists, "_PENDING_A_ROW", pending)
        patch.setattr(lists, "_PENDING_IN_ALL", 1)
        offer(found, noisy(own, other, error, seed), rows, brought(other))
    np.testing.assert_array_equal(found.best(len(src)), best_keys(src, tgt, k))


@pytest.mark.parametrize("split", [2, 40, 77])
def test_lists_go_on_from_what_was_found_before(split: int) -> None:
    src, tgt = with_ties(20, 80, seed=3)
    own, other, rows = side_of(src), side_of(tgt), brought(side_of(src))
    similar, keys = noisy(own, other, 0.05, 0), None
    for start, stop in ((0, split), (split, 80)):
        found = DeviceLists(rows.scales, 4, 0.05, keys)
        offer(found, similar[:, start:stop], rows, brought(other, start, stop))
        keys = torch.from_numpy(found.best(20))
    np.testing.assert_array_equal(found.best(20), best_keys(src, tgt, 4))


def test_full_lists_have_a_threshold_from_the_start_and_others_are_fresh() -> None:
    scales = torch.ones(2)
    cosines, places = torch.tensor([[0.75, 0.5], [0.75, 0.25]]), torch.tensor([[3, 1], [0, 2]])
    keys = pack(cosines, places)
    known = DeviceLists(scales, 2, 0.125, keys)
    assert not known.fresh
    assert known.thresholds.tolist() == [0.375, 0.125]  # exact cosines: off by one error, not two
    keys[1, 1] = EMPTY
    partly = DeviceLists(scales, 2, 0.125, keys)
    assert partly.fresh
    assert partly.thresholds.tolist() == [0.375, -2]
    assert DeviceLists(scales, 2, 0.125).fresh


def test_what_must_not_be_found_gets_no_candidates() -> None:
    scales = torch.tensor([1.0, 0.0, -1.0])
    assert DeviceLists(scales, 1, 0.1).thresholds.tolist() == [-2, np.inf, np.inf]


def test_rows_may_have_more_candidates_than_are_added_at_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(lists, "_PENDING_A_ROW", 3)
    monkeypatch.setattr(lists, "_PENDING_IN_ALL", 3)
    monkeypatch.setattr("bitextmine.search.gpu.block._PIECE_SCORES", 1 << 12)
    monkeypatch.setattr("bitextmine.search.gpu.block._LEAST_PIECE_SCORES", 128)
    src, tgt = clustered(150, 300, 16)
    tgt[20:200] = tgt[3]
    assert_brute_force(src, tgt, 4, SMALLEST)
