"""Tensors of one torch file, and a clear word about files that hold code; none of it is run."""

import io
import pickle
import pickletools
import re
import struct
import warnings
import zipfile
from pathlib import Path

import torch
from torch import Tensor

from bitextmine.errors import EncoderError

_FETCH_AGAIN = "delete the file and fetch it again"
_CODE = re.compile(r"GLOBAL|call reduce for|create new object")  # in torch's refusals
_HARMLESS = re.compile(r"(torch|numpy|collections|_codecs)\b")  # modules behind tensors' pickles
# What torch raises for a damaged file depends on the byte at which it stumbles.
_DAMAGE = (
    *(RuntimeError, EOFError, LookupError, ValueError, TypeError, AttributeError),
    *(AssertionError, ArithmeticError, struct.error),
)
_SCANNED = 2**26  # bytes; the pickle of a torch file stands before its tensors


def load_tensors(path: Path) -> dict[str, Tensor]:
    """Read the tensors of a torch file, and nothing that would run code.

    Raises
    ------
    EncoderError
        The file is damaged, or holds something else than tensors by name.
    """
    try:
        with warnings.catch_warnings(action="ignore"):  # of protocols that it then refuses
            content = torch.load(path, weights_only=True, map_location="cpu")
    except pickle.UnpicklingError as error:
        if _CODE.search(str(error)) or _names_code(path):
            raise EncoderError(
                f"{path} holds code, not only tensors; none of it was run",
                hint="use the model's safetensors, or weights from a source that you trust",
            ) from error
        raise damaged_weights(path, "it cannot be unpickled") from error
    except _DAMAGE as error:
        raise damaged_weights(path, str(error).partition("\n")[0] or "it is empty") from error
    if not isinstance(content, dict):
        raise damaged_weights(path, f"it holds a {type(content).__name__}, not tensors by name")
    return {name: value for name, value in content.items() if isinstance(value, Tensor)}


def damaged_weights(path: Path, how: str) -> EncoderError:
    """Return the error of a file of weights that cannot be read."""
    return EncoderError(f"{path} is truncated or damaged: {how}", hint=_FETCH_AGAIN)


def _names_code(path: Path) -> bool:
    """Tell whether a pickle that torch does not know how to read names code beside tensors'."""
    try:
        return any(not _HARMLESS.match(module) for module in _modules(_pickle_of(path)))
    except (OSError, ValueError, LookupError, struct.error, zipfile.BadZipFile):
        return False


def _pickle_of(path: Path) -> io.BytesIO:
    """Return the pickle in a torch file, old or new, or in a bare one."""
    if not zipfile.is_zipfile(path):
        with path.open("rb") as file:
            return io.BytesIO(file.read(_SCANNED))
    with zipfile.ZipFile(path) as archive:
        name = next(name for name in archive.namelist() if name.endswith("data.pkl"))
        with archive.open(name) as file:
            return io.BytesIO(file.read(_SCANNED))


def _modules(stream: io.BytesIO) -> list[str]:
    """List the modules whose functions or classes a pickle names."""
    modules: list[str] = []
    strings: list[str] = []
    memo: list[object] = []
    last: object = None
    for operation, argument, _ in pickletools.genops(stream):
        if operation.name == "MEMOIZE":
            memo.append(last)
            continue
        last = argument
        if operation.name in ("BINGET", "LONG_BINGET") and isinstance(argument, int):
            last = memo[argument] if argument < len(memo) else None
        if operation.name in ("GLOBAL", "INST"):  # "module name"
            modules.append(str(argument).partition(" ")[0])
        elif operation.name == "STACK_GLOBAL":  # module and name were put on the stack before
            modules.append(strings[-2])
        elif isinstance(last, str):
            strings.append(last)
    return modules
