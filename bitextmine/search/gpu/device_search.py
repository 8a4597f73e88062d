"""Exact two-way nearest neighbours on a GPU: the answer of `exact`, to the bit.

As many rows of one side as fit are resident on the device, and the other side streams past. A
block of similarities is one product of the stored float16 vectors, summed in float32. One pass
over it multiplies by the reciprocal lengths and keeps nothing but the maxima of its tiles: the
k largest similarities of a row lie in the k tiles with the largest maxima, and once k are known,
only a tile whose maximum comes within the proven error of the k-th is read again. What is found
there is ranked by exact cosines while its vectors are still on the device, so no similarity is
ever more than a nomination, and no row has to be searched again.

`search_on_device` chooses kernels and sizes; `resident` has the search itself. Where memory runs
out, it goes on in smaller blocks from the resident rows that had met everything.
"""

import gc
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import torch

from bitextmine.errors import UsageError
from bitextmine.progress import Advance
from bitextmine.search.exact.shortlists import Keys
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.gpu.feed import stream_of
from bitextmine.search.gpu.found import Found
from bitextmine.search.gpu.kernel_choice import choose_kernels
from bitextmine.search.gpu.kernels import Kernels
from bitextmine.search.gpu.resident import DeviceSetup, ResidentSearch
from bitextmine.search.gpu.sizes import Sizes, fitting_sizes, free_device_bytes

LOG = logging.getLogger(__name__)


def search_on_device(
    src: SearchSide,
    tgt: SearchSide,
    k: int,
    device: str,
    *,
    threads: int = 1,
    sizes: Sizes | None = None,
    kernels: Kernels | None = None,
    progress: Advance = lambda n_pairs: None,
) -> tuple[Keys, Keys]:
    """Find the k nearest of both sides; neither is empty.

    Parameters
    ----------
    src, tgt : SearchSide
        Need not be measured: that is done on the device.
    device : str
        Such as "cuda:0". "cpu" serves to try the code.
    threads : int
        CPU threads that read vectors.
    sizes : Sizes, optional
        What the device holds at a time: by default, what fits its free memory. Halved as often
        as that turns out to be too much.
    kernels : Kernels, optional
        The inner loops; by default the fastest for the device.
    progress : callable
        Called with a number of pairs that were compared, a negative one when some start over.

    Returns
    -------
    fwd, bwd : ndarray of int64, shapes (len(src), min(k, len(tgt))) and the reverse
        Exact cosines and positions, packed, best first; by position.

    Raises
    ------
    EncoderError
        A vector is not finite or longer than 2.
    UsageError
        The device has not enough free memory for the smallest blocks.
    """
    where = torch.device(device)
    with _device_set(where):
        setup = DeviceSetup(where, kernels or choose_kernels(where), threads)
        sizes = sizes or fitting_sizes(free_device_bytes(where), src.vectors.shape[1], k)
        swapped = _traffic(tgt, src, sizes) < _traffic(src, tgt, sizes)
        sides = (tgt, src) if swapped else (src, tgt)
        found = Found.empty(*sides, k)
        while not _search_rest(*sides, found, sizes, setup, progress):
            sizes = sizes.smaller()
            if not sizes:
                raise UsageError(
                    f"{device} has not enough free memory to search vectors of"
                    f" {src.vectors.shape[1]} numbers",
                    hint="end other programs that use it, or search with --devices cpu",
                )
            LOG.warning("%s ran out of memory: searching in smaller blocks", device)
    found.complete(*sides)
    lists = found.of_resident, found.of_streamed
    return lists[::-1] if swapped else lists


def _search_rest(
    resident: SearchSide,
    streamed: SearchSide,
    found: Found,
    sizes: Sizes,
    setup: DeviceSetup,
    progress: Advance,
) -> bool:
    """Search with these sizes what is left to search; tell whether the memory sufficed."""
    compared = found.n_done * len(streamed)

    def count(n_pairs: int) -> None:
        nonlocal compared
        compared += n_pairs
        progress(n_pairs)

    sizes = sizes.fit(len(resident), len(streamed))
    try:
        ResidentSearch(resident, streamed, found, sizes, setup, count).run()
    except RuntimeError as error:
        if not _out_of_memory(error):
            raise
    else:
        _free_memory(setup.device)
        return True
    gc.collect()  # the error and the frames it has passed hold each other, and all memory
    _free_memory(setup.device)
    found.forget_unfinished()
    progress(found.n_done * len(streamed) - compared)
    return False


def _out_of_memory(error: RuntimeError) -> bool:
    """Tell whether torch, the driver or a library of the GPU could get no memory."""
    message = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(
        cause in message for cause in ("out of memory", "alloc_failed")
    )


def _traffic(resident: SearchSide, streamed: SearchSide, sizes: Sizes) -> int:
    """Count the rows that are brought to the device."""
    return len(resident) + sizes.fit(len(resident), 1).passes(len(resident)) * len(streamed)


def _free_memory(device: torch.device) -> None:
    """Give memory that torch keeps back to the device, for others and for the next search."""
    if device.type == "cuda":
        torch.cuda.empty_cache()


@contextmanager
def _device_set(device: torch.device) -> Iterator[None]:
    """Use the device, and sum the products of float16 factors in float32."""
    if device.type != "cuda":
        yield
        return
    settings = torch.backends.cuda.matmul
    before = settings.allow_fp16_accumulation
    settings.allow_fp16_accumulation = False
    try:
        with torch.cuda.device(device), torch.cuda.stream(stream_of(device, "search")):
            yield
    finally:
        settings.allow_fp16_accumulation = before
