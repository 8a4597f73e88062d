"""A safetensors file written tensor by tensor, so that one tensor at a time is in memory."""

import json
import math
import struct
from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor

_ALIGNMENT = 8  # bytes, of the first tensor
_BLOCK = 64 * 2**20  # bytes handed on at once
_BYTES = torch.bfloat16.itemsize


def tensor_bytes(shape: tuple[int, ...]) -> int:
    """Return the size of a bfloat16 tensor."""
    return _BYTES * math.prod(shape)


def shard_blocks(
    shapes: Mapping[str, tuple[int, ...]], get: Callable[[str], Tensor]
) -> Iterator[bytes | memoryview]:
    """Yield the content of a safetensors file of bfloat16 tensors.

    Its format: the header's length in 8 bytes, the header in JSON, the tensors end to end
    (https://github.com/huggingface/safetensors#format). The library's own writer would have
    all tensors of the file in memory, twice.

    Parameters
    ----------
    shapes : mapping
        Tensors in the order wanted.
    get : callable
        Gives a tensor, bfloat16, when its turn comes.
    """
    yield _header(shapes)
    for name, shape in shapes.items():
        tensor = get(name)
        assert tensor.dtype == torch.bfloat16
        assert tuple(tensor.shape) == shape
        raw = tensor.contiguous().flatten().view(torch.uint8).numpy().data
        del tensor
        for start in range(0, len(raw), _BLOCK):
            yield raw[start : start + _BLOCK]
        del raw


def _header(shapes: Mapping[str, tuple[int, ...]]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in shapes.items():
        start, end = end, end + tensor_bytes(shape)
        entries[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [start, end]}
    header = json.dumps(entries, separators=(",", ":")).encode()
    header += b" " * (-len(header) % _ALIGNMENT)
    return struct.pack("<Q", len(header)) + header
