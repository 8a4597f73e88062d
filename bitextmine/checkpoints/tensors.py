"""Tensors of a checkpoint, read one at a time from safetensors or torch, one file or several.

Only the bytes of the tensor in hand are read, into memory of its own. The files are
not mapped: torch and safetensors map them privately and writable, which Linux refuses
for a file larger than memory and swap together, and mt5-xxl is a file of 50 GB.
"""

import json
import os
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, BinaryIO

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode

from bitextmine.checkpoints.layout import (
    ADAPTER_CONFIG,
    ADAPTER_WEIGHTS,
    CONFIG,
    MODEL_WEIGHTS,
    read_index,
)
from bitextmine.checkpoints.torch_files import damaged_weights, load_tensors
from bitextmine.errors import EncoderError

# By their names in safetensors files, in the order in which the library ranks them: in a file,
# tensors of the last come first.
SAFETENSORS_DTYPES = {
    "BOOL": torch.bool,
    "U8": torch.uint8,
    "I8": torch.int8,
    "F8_E5M2": torch.float8_e5m2,
    "F8_E4M3": torch.float8_e4m3fn,
    "I16": torch.int16,
    "U16": torch.uint16,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "I32": torch.int32,
    "U32": torch.uint32,
    "F32": torch.float32,
    "C64": torch.complex64,
    "F64": torch.float64,
    "I64": torch.int64,
    "U64": torch.uint64,
}
_HEADER_LIMIT_BYTES = 100 * 2**20  # as in the safetensors library
_LFS = b"version https://git-lfs.github.com/spec/"
_OTHER_WEIGHTS = (".safetensors", ".bin", ".h5", ".msgpack", ".gguf", ".onnx")


@dataclass(frozen=True)
class Place:
    """Where a tensor lies.

    Attributes
    ----------
    offset : int or None
        Of its first element, in bytes from the start of the file; None in files of the
        old torch format, which can only be read whole.
    stride : tuple of int
        In elements.
    """

    file: Path
    offset: int | None
    dtype: torch.dtype
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class Checkpoint:
    """The tensors of a model or an adapter, by name.

    Parameters
    ----------
    folder : Path
        For messages.
    places : mapping
        Where each tensor lies.
    """

    def __init__(self, folder: Path, places: Mapping[str, Place]) -> None:
        self.folder = folder
        self._places = dict(places)
        self._old: tuple[Path, dict[str, Tensor]] | None = None  # the last old file read

    def names(self) -> list[str]:
        """Return the names of all tensors, in the files' own order."""
        return list(self._places)

    def __contains__(self, name: str) -> bool:
        return name in self._places

    def shape(self, name: str) -> tuple[int, ...]:
        """Return a tensor's shape without reading it.

        Raises
        ------
        EncoderError
            There is no such tensor.
        """
        return self._place(name).shape

    def dtype(self, name: str) -> torch.dtype:
        """Return the type that a tensor is stored in: as `shape`."""
        return self._place(name).dtype

    def get(self, name: str) -> Tensor:
        """Read one tensor into memory of its own, in the type it is stored in.

        Raises
        ------
        EncoderError
            There is no such tensor, or its file cannot be read.
        """
        place = self._place(name)
        if place.offset is None:
            return self._from_old_file(name, place.file)
        count = _extent(place)
        raw = torch.empty(count * place.dtype.itemsize, dtype=torch.uint8)
        try:
            with place.file.open("rb") as file:
                file.seek(place.offset)
                read = file.readinto(raw.numpy().data)
        except OSError as error:
            raise _unreadable(place.file, error) from error
        if read != raw.numel():
            raise damaged_weights(place.file, f"it ends within {name}")
        return raw.view(place.dtype).as_strided(place.shape, place.stride)

    def _place(self, name: str) -> Place:
        try:
            return self._places[name]
        except KeyError as error:
            raise EncoderError(
                f"the checkpoint in {self.folder} has no tensor {name}",
                hint="check that it is the model that you mean, and complete",
            ) from error

    def _from_old_file(self, name: str, file: Path) -> Tensor:
        if self._old is None or self._old[0] != file:
            self._old = None  # let go of the one before
            self._old = (file, load_tensors(file))
        return self._old[1][name].detach()


def open_checkpoint(folder: Path, files: tuple[str, ...] | None = None) -> Checkpoint:
    """Find the weights in a folder and learn the names and shapes of their tensors.

    Parameters
    ----------
    folder : Path
        As transformers or peft write it.
    files : tuple of str, optional
        Names to look for, best first; by default a model's, or an adapter's in a folder
        that holds no model.

    Raises
    ------
    EncoderError
        There are no weights; a file is truncated or damaged, or one of several is missing; a
        torch file holds code, which was not run; a file is a pointer of Git LFS.
    """
    if files is None:
        only_adapter = (folder / ADAPTER_CONFIG).is_file() and not (folder / CONFIG).is_file()
        files = ADAPTER_WEIGHTS if only_adapter else MODEL_WEIGHTS
    found = next((folder / name for name in files if (folder / name).is_file()), None)
    if found is None:
        raise _no_weights(folder, files)
    if found.suffix == ".json":
        return Checkpoint(folder, _indexed_places(found))
    return Checkpoint(folder, _places(found))


def _no_weights(folder: Path, files: tuple[str, ...]) -> EncoderError:
    """Say which weights a folder lacks, and which of another name or kind it has."""
    beside = folder.iterdir() if folder.is_dir() else ()
    others = sorted(path.name for path in beside if path.suffix in _OTHER_WEIGHTS)
    hint = f"the folder needs {' or '.join(name for name in files if 'index' not in name)}"
    whole = next((name for name in others if name.endswith(".safetensors")), None)
    if whole:
        hint += f"; rename {whole} if that is all the weights"
    has = f", only {', '.join(others[:3])}{', …' * (len(others) > 3)}" if others else ""
    return EncoderError(f"no weights in {folder}{has}", hint=hint)


def _indexed_places(index: Path) -> dict[str, Place]:
    """Read the headers of all files that an index names."""
    file_of = read_index(index)
    by_file = {}
    for file in dict.fromkeys(file_of.values()):
        path = index.parent / file
        if PurePosixPath(file).name != file or not path.is_file():
            raise EncoderError(
                f"{index} names {file}, which is not in its folder",
                hint="fetch the missing file, or the whole model again",
            )
        by_file[file] = _places(path)
    for name, file in file_of.items():
        if name not in by_file[file]:
            raise damaged_weights(index.parent / file, f"{name} is not in it, against {index.name}")
    return {name: by_file[file][name] for name, file in file_of.items()}


def _places(path: Path) -> dict[str, Place]:
    try:
        with path.open("rb") as file:
            start = file.read(len(_LFS))
            if path.suffix == ".safetensors" and start != _LFS:
                file.seek(0)
                return _safetensors_places(path, file)
    except OSError as error:
        raise _unreadable(path, error) from error
    if start == _LFS:
        raise EncoderError(
            f"{path} is a pointer of Git LFS, not the weights themselves",
            hint=f"run `git lfs pull` in {path.parent}",
        )
    return _torch_places(path) if start.startswith(b"PK\x03\x04") else _old_places(path)


def _safetensors_places(path: Path, file: BinaryIO) -> dict[str, Place]:
    """Read a header: its length in 8 bytes, then JSON; offsets count from its end."""
    size = os.fstat(file.fileno()).st_size
    start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else size
    if 8 + length > size or length > _HEADER_LIMIT_BYTES:
        raise damaged_weights(path, "its header is cut short")
    try:
        header = json.loads(file.read(length))
        header.pop("__metadata__", None)
        places = {name: _place(path, entry, 8 + length) for name, entry in header.items()}
        ends = [8 + length + entry["data_offsets"][1] for entry in header.values()]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged_weights(path, f"its header is unreadable ({error})") from error
    if max(ends, default=8 + length) != size:
        raise damaged_weights(
            path, f"it has {size:,} bytes and should have {max(ends, default=0):,}"
        )
    return places


def _place(path: Path, entry: Mapping[str, Any], base: int) -> Place:
    """Turn one entry of a safetensors header into a place."""
    first, last = entry["data_offsets"]
    shape = tuple(int(n) for n in entry["shape"])
    dtype = SAFETENSORS_DTYPES[entry["dtype"]]
    place = Place(path, base + first, dtype, shape, torch.empty(shape, device="meta").stride())
    if first < 0 or last - first != _extent(place) * dtype.itemsize:
        raise ValueError(f"offsets {first} to {last} for shape {shape}")
    return place


def _torch_places(path: Path) -> dict[str, Place]:
    """Read the index of a torch file; no tensor data is read in fake mode."""
    with FakeTensorMode():
        tensors = load_tensors(path)
    places = {}
    for name, tensor in tensors.items():
        offset = int(getattr(tensor.untyped_storage(), "_checkpoint_offset", 0))
        offset += int(tensor.storage_offset()) * tensor.dtype.itemsize
        places[name] = Place(path, offset, tensor.dtype, tuple(tensor.shape), tensor.stride())
    return places


def _old_places(path: Path) -> dict[str, Place]:
    """Learn what is in a file of torch before 1.6, by reading it whole."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    if path.stat().st_size > memory:
        raise EncoderError(
            f"{path} is of torch before 1.6, whose files are read whole:"
            f" {path.stat().st_size / 2**30:.1f} GiB, this machine has {memory / 2**30:.1f} GiB",
            hint="use the model's safetensors, or a machine with more memory",
        )
    return {
        name: Place(path, None, tensor.dtype, tuple(tensor.shape), tensor.stride())
        for name, tensor in load_tensors(path).items()
    }


def _extent(place: Place) -> int:
    """Elements from a tensor's first to its last, both included."""
    if 0 in place.shape:
        return 0
    return 1 + sum((n - 1) * step for n, step in zip(place.shape, place.stride, strict=True))


def _unreadable(path: Path, error: OSError) -> EncoderError:
    return EncoderError(
        f"cannot read {path}: {(error.strerror or str(error)).lower()}",
        hint="check the path and its permissions",
    )
