"""One search of fixed sizes: all pairs once, and it can go on from what an earlier one found."""

import numpy as np
import pytest
from brute_force import Corpora, assert_same, brute_force, clustered
from on_device import CPU, MANY, search, side_of

from bitextmine.progress import Advance
from bitextmine.search.exact.proof import unpack_neighbours
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.gpu.found import Found
from bitextmine.search.gpu.kernels import PLAIN
from bitextmine.search.gpu.resident import DeviceSetup, ResidentSearch
from bitextmine.search.gpu.sizes import Sizes

K = 4


@pytest.fixture
def corpora() -> Corpora:
    return clustered(700, 300, 12)


def search_rest(
    sides: tuple[SearchSide, SearchSide], found: Found, sizes: Sizes, progress: Advance = id
) -> None:
    sizes = sizes.fit(*map(len, sides))
    ResidentSearch(*sides, found, sizes, DeviceSetup(CPU, PLAIN, threads=1), progress).run()


def assert_found(found: Found, corpora: Corpora) -> None:
    """Compare both ways with brute force."""
    (src, tgt), sides = corpora, tuple(map(side_of, corpora))
    fwd = unpack_neighbours(found.of_resident, sides[0], sides[1])
    bwd = unpack_neighbours(found.of_streamed, sides[1], sides[0])
    assert_same(fwd, brute_force(src, tgt, np.arange(len(tgt)), K))
    assert_same(bwd, brute_force(tgt, src, np.arange(len(src)), K))


def unmeasured(corpora: Corpora) -> tuple[SearchSide, SearchSide]:
    src, tgt = (SearchSide.arrange(rows, np.arange(len(rows)), name="") for rows in corpora)
    return src, tgt


@pytest.mark.parametrize(
    "sizes", [Sizes(128, 128, 128), Sizes(512, 256, 128), Sizes(1024, 1024, 1024)]
)
def test_all_resident_rows_meet_all_that_stream_past(sizes: Sizes, corpora: Corpora) -> None:
    sides = unmeasured(corpora)
    found = Found.empty(*sides, K)
    search_rest(sides, found, sizes)
    assert found.n_done == 700
    assert_found(found, corpora)


def test_a_search_goes_on_from_the_rows_that_have_met_everything(corpora: Corpora) -> None:
    sides, n_pairs = unmeasured(corpora), [0]
    found = Found.empty(*sides, K)

    def die_in_the_second_run(pairs: int) -> None:
        n_pairs.append(pairs)
        if sum(n_pairs) > 256 * 300:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search_rest(sides, found, Sizes(256, 128, 128), die_in_the_second_run)
    assert found.n_done == 256
    found.forget_unfinished()
    rest: list[int] = []
    search_rest(sides, found, Sizes(384, 128, 256), rest.append)
    assert sum(rest) == (700 - 256) * 300
    assert_found(found, corpora)


def test_progress_counts_every_pair() -> None:
    n_pairs: list[int] = []
    search(*clustered(300, 500, 8), 2, MANY, n_pairs.append)
    assert sum(n_pairs) == 300 * 500
    assert len(n_pairs) == 3 * 2
