"""Exact two-way search on a GPU: the answer of the folder `exact`, to the bit.

In the order in which a search meets them:

- `device_search`: the door. `search_on_device` starts a search, and goes on in smaller
  blocks where the memory of the device runs out.
- `kernel_choice`: takes `triton_kernels` where Triton works, else the plain ones of `kernels`.
  Both compute the two inner loops: the maxima of tiles, and exact dot products of pairs.
- `sizes`: how many rows, and how large a block of similarities, fit the memory.
- `found`: what a search has found so far, for both sides; what it goes on from.
- `resident`: one search. As many rows of one side as fit are *resident*, and the other side
  streams past them in *chunks*.
- `feed`: brings rows from disk to buffers of the device while it computes.
- `device_rows`: vectors on a device, their lengths, and the exact cosines between them.
- `block`: the products of a block, and the candidates that the maxima of its tiles give away.
- `device_lists`: the candidates of a block of rows; ranks them by exact cosines, like `proof`,
  but while the vectors are still on the device.

A row is a place in an array on the device; a sentence has a position, as in `exact`. Any device
of torch serves, so the tests run everything but the copies, streams and Triton on a CPU.
"""
