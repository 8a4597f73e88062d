"""Files of weights: which tensor goes into which, and each written tensor by tensor.

The safetensors library writes a file from tensors that are all in memory, twice. A model of 11 GB
must be written where there are only some GiB, so one tensor at a time is in memory here.
"""

import json
import math
import struct
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from bitextmine.checkpoints.tensors import SAFETENSORS_DTYPES
from bitextmine.models.model_folder import ModelFolder
from bitextmine.progress import bar

FILE_BYTES = 2**30  # at most, in a file of weights, unless a single tensor is larger

_INDEX = "model.safetensors.index.json"
_ALIGNMENT_BYTES = 8  # of the first tensor
_BLOCK_BYTES = 64 * 2**20  # handed on at once
_NAMES = {dtype: name for name, dtype in SAFETENSORS_DTYPES.items()}
_RANKS = {dtype: rank for rank, dtype in enumerate(_NAMES)}


@dataclass(frozen=True)
class TensorForm:
    """What is known of a tensor before it is read."""

    dtype: torch.dtype
    shape: tuple[int, ...]

    @property
    def n_bytes(self) -> int:
        """Its size in a file."""
        return self.dtype.itemsize * math.prod(self.shape)


def plan_files(sizes: Mapping[str, int], limit: int) -> dict[str, list[str]]:
    """Distribute tensors over files of at most ``limit`` bytes; a larger one has a file to itself.

    Returns
    -------
    dict
        File name to tensor names, in the order given.
    """
    groups: list[list[str]] = []
    room = 0
    for name, size in sizes.items():
        if size > room or not groups:
            groups.append([])
            room = limit
        groups[-1].append(name)
        room -= size
    return {
        f"model-{number:05d}-of-{len(groups):05d}.safetensors": names
        for number, names in enumerate(groups, 1)
    }


def in_library_order(forms: Mapping[str, TensorForm]) -> list[str]:
    """Order tensors as the safetensors library does: the widest types first, then by name."""
    return sorted(forms, key=lambda name: (-_RANKS[forms[name].dtype], name))


def write_weights(
    destination: ModelFolder,
    files: Mapping[str, Iterable[str]],
    forms: Mapping[str, TensorForm],
    get: Callable[[str], Tensor],
    *,
    prefix: str = "",
) -> None:
    """Write the files that are not there yet, then their index, if they need one.

    Parameters
    ----------
    destination : ModelFolder
        Where to.
    files : mapping
        Names of tensors by name of file, in the order wanted.
    forms : mapping
        Of every tensor.
    get : callable
        Gives a tensor of that form when its turn comes.
    prefix : str
        Of the files' names: "" or a folder and "/".

    Raises
    ------
    OutputError
        The disk is full, or will be.
    """
    sizes = {file: sum(forms[name].n_bytes for name in names) for file, names in files.items()}
    destination.check_space({prefix + file: size for file, size in sizes.items()})
    with bar("merging", total=sum(sizes.values()), unit="B") as progress:
        for file, names in files.items():
            if destination.has(prefix + file):
                progress.update(sizes[file])
            else:
                blocks = safetensors_blocks({name: forms[name] for name in names}, get)
                destination.write(prefix + file, blocks, progress.update)
    if list(files) != ["model.safetensors"]:
        file_of = {name: file for file, names in files.items() for name in names}
        index = {
            "metadata": {"total_size": sum(sizes.values())},
            "weight_map": {name: file_of[name] for name in forms},
        }
        destination.write_json(prefix + _INDEX, index)


def safetensors_blocks(
    forms: Mapping[str, TensorForm], get: Callable[[str], Tensor]
) -> Iterator[bytes | memoryview]:
    """Yield the content of a safetensors file.

    Its format: the header's length in 8 bytes, the header in JSON, the tensors end to end
    (https://github.com/huggingface/safetensors#format).

    Parameters
    ----------
    forms : mapping
        Tensors in the order wanted.
    get : callable
        Gives a tensor of that form when its turn comes.
    """
    yield _header(forms)
    for name, form in forms.items():
        tensor = get(name)
        assert TensorForm(tensor.dtype, tuple(tensor.shape)) == form
        raw = tensor.contiguous().flatten().view(torch.uint8).numpy().data
        del tensor
        for start in range(0, len(raw), _BLOCK_BYTES):
            yield raw[start : start + _BLOCK_BYTES]
        del raw


def _header(forms: Mapping[str, TensorForm]) -> bytes:
    entries: dict[str, object] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, form in forms.items():
        start, end = end, end + form.n_bytes
        entries[name] = {
            "dtype": _NAMES[form.dtype],
            "shape": form.shape,
            "data_offsets": [start, end],
        }
    header = json.dumps(entries, separators=(",", ":"), ensure_ascii=False).encode()
    header += b" " * (-len(header) % _ALIGNMENT_BYTES)
    return struct.pack("<Q", len(header)) + header
