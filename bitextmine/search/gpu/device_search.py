"""Exact two-way nearest neighbours on a GPU: the answer of `exact`, to the bit.

As many rows of one side as fit stay on the device, and the other side streams past them. A
block of similarities is one product of the stored float16 vectors, summed in float32. One pass
over it multiplies by the reciprocal lengths and keeps nothing but the maxima of its tiles: the
k largest similarities of a row lie in the k tiles with the largest maxima, and once k are known,
only a tile whose maximum comes within the proven error of the k-th is read again. What is found
there is ranked by exact cosines while its vectors are still on the device, so no similarity is
ever more than a nomination, and nothing has to be looked at twice.
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
from bitextmine.search.gpu.resident import PanelSearch
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
        That read vectors.
    sizes : Sizes, optional
        What the device holds at a time: by default, what fits its free memory. Halved as often
        as that turns out to be too much.
    kernels : Kernels, optional
        The inner loops; by default the fastest for the device.
    progress : callable
        Told of pairs that were compared, and of a negative number when some start over.

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
        kernels = kernels or choose_kernels(where)
        sizes = sizes or fitting_sizes(free_device_bytes(where), src.vectors.shape[1], k)
        swapped = _traffic(tgt, src, sizes) < _traffic(src, tgt, sizes)
        sides = (tgt, src) if swapped else (src, tgt)
        found = Found.nothing(*sides, k)
        while not _go_on(*sides, found, sizes, kernels, where, threads, progress):
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


def _go_on(
    resident: SearchSide,
    streamed: SearchSide,
    found: Found,
    sizes: Sizes,
    kernels: Kernels,
    device: torch.device,
    threads: int,
    progress: Advance,
) -> bool:
    """Search with these sizes from where an earlier search ended; tell whether memory sufficed."""
    compared = found.n_done * len(streamed)

    def count(n_pairs: int) -> None:
        nonlocal compared
        compared += n_pairs
        progress(n_pairs)

    sizes = sizes.fit(len(resident), len(streamed))
    try:
        PanelSearch(resident, streamed, found, sizes, kernels, device, count).run(threads)
    except RuntimeError as error:
        if not _out_of_memory(error):
            raise
    else:
        _give_back(device)
        return True
    gc.collect()  # the error and the frames it has passed hold each other, and all memory
    _give_back(device)
    found.forget_unfinished()
    progress(found.n_done * len(streamed) - compared)
    return False


def _out_of_memory(error: RuntimeError) -> bool:
    """Tell whether torch, the driver or a library of the GPU could get no memory."""
    told = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or any(
        cause in told for cause in ("out of memory", "alloc_failed")
    )


def _traffic(resident: SearchSide, streamed: SearchSide, sizes: Sizes) -> int:
    """Rows brought to the device."""
    return len(resident) + sizes.fit(len(resident), 1).passes(len(resident)) * len(streamed)


def _give_back(device: torch.device) -> None:
    """Let others have the memory that a search has taken: also the next one's other streams."""
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
