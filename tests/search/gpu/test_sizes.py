"""What a device holds at a time must fit its memory, whatever that is."""

from hypothesis import given
from hypothesis import strategies as st

from bitextmine.search.gpu.device_rows import padded
from bitextmine.search.gpu.kernels import ROW_TILE
from bitextmine.search.gpu.sizes import Sizes, fitting_sizes

GIB = 1 << 30


def held_bytes(sizes: Sizes, d: int) -> int:
    """Vectors that stay, two chunks of vectors that pass, and two blocks."""
    return (sizes.resident + 2 * sizes.columns) * 2 * d + 2 * sizes.rows * sizes.columns * 4


@given(free=st.integers(2 * GIB, 200 * GIB), d=st.integers(8, 8192), k=st.integers(1, 64))
def test_what_is_held_fits_and_is_cut_into_whole_tiles(free: int, d: int, k: int) -> None:
    sizes = fitting_sizes(free, d, k)
    assert held_bytes(sizes, d) < free
    assert sizes.rows % ROW_TILE == sizes.columns % ROW_TILE == 0
    assert sizes.resident >= sizes.rows


def test_a_large_gpu_computes_large_blocks_and_keeps_millions_of_rows() -> None:
    sizes = fitting_sizes(78 * GIB, 4096, 16)
    assert (sizes.rows, sizes.columns) == (16384, 65536)
    assert sizes.resident > 6_000_000


@given(
    st.integers(1, 10**7),
    st.integers(1, 10**7),
    st.integers(2 * GIB, 80 * GIB),
    st.sampled_from([64, 512, 4096]),
)
def test_no_more_is_held_than_there_is(n: int, m: int, free: int, d: int) -> None:
    sizes = fitting_sizes(free, d, 4)
    fitted = sizes.fit(n, m)
    assert fitted.rows <= padded(n)
    assert fitted.columns <= padded(m)
    assert fitted.rows <= fitted.resident <= max(sizes.resident, fitted.rows)
    assert fitted.resident - n < fitted.rows  # no block of it stays empty
    assert fitted.resident % fitted.rows == 0


def test_sizes_shrink_to_one_tile_and_then_end() -> None:
    sizes: Sizes | None = fitting_sizes(80 * GIB, 512, 4)
    seen = []
    while sizes:
        seen.append(sizes)
        sizes = sizes.smaller()
    assert len(seen) < 20
    assert (seen[-1].rows, seen[-1].columns) == (ROW_TILE, ROW_TILE)
