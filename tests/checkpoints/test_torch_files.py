"""Pickles give tensors or are refused, with a word about code that is in them."""

import builtins
import os
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from bitextmine.checkpoints.torch_files import load_tensors
from bitextmine.errors import EncoderError


class Calls:
    """Its pickle calls a function."""

    def __init__(self, function: Callable[..., Any], argument: str) -> None:
        self.call = function, (argument,)

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[str]]:
        return self.call


class Unknown:
    """A class that is nobody's tensor."""


def _raw(protocol: int) -> Callable[[Any, Path], None]:
    def save(content: Any, path: Path) -> None:
        path.write_bytes(pickle.dumps(content, protocol))

    return save


def _zip(content: Any, path: Path) -> None:
    torch.save(content, path)


def _zip_4(content: Any, path: Path) -> None:
    torch.save(content, path, pickle_protocol=4)


def _old(content: Any, path: Path) -> None:
    torch.save(content, path, _use_new_zipfile_serialization=False)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Return a file in a folder with an awkward name."""
    folder = tmp_path / 'modèle d\'été "x"'
    folder.mkdir()
    return folder / "pytorch_model.bin"


@pytest.mark.parametrize("what", ["os.system", "builtins.eval", "unknown class"])
@pytest.mark.parametrize("save", [_zip, _zip_4, _old, _raw(0), _raw(2), _raw(4), _raw(5)])
def test_code_is_told_and_not_run(path: Path, what: str, save: Callable[[Any, Path], None]) -> None:
    ran = path.parent / "ran"
    code = {
        "os.system": Calls(os.system, f"touch '{ran.name}'"),
        "builtins.eval": Calls(builtins.eval, f"open({str(ran)!r}, 'w')"),
        "unknown class": Unknown(),
    }[what]
    save({"w": code}, path)
    with pytest.raises(EncoderError, match="holds code, not only tensors; none of it was run"):
        load_tensors(path)
    assert not ran.exists()
    assert not Path(ran.name).exists()


def test_something_else_than_tensors_by_name_is_told(path: Path) -> None:
    torch.save([1, 2], path)
    with pytest.raises(EncoderError, match="it holds a list, not tensors by name"):
        load_tensors(path)


def test_tensors_of_a_protocol_that_torch_refuses_are_not_called_code(path: Path) -> None:
    torch.save({"w": torch.ones(3)}, path, pickle_protocol=4)
    with pytest.raises(EncoderError, match="it cannot be unpickled"):
        load_tensors(path)


@pytest.mark.parametrize("save", [_zip, _old])
@settings(max_examples=80, deadline=None)
@given(at=st.floats(0, 1), value=st.integers(0, 255))
def test_a_changed_byte_gives_tensors_or_our_error(
    tmp_path_factory: pytest.TempPathFactory,
    save: Callable[[Any, Path], None],
    at: float,
    value: int,
) -> None:
    path = tmp_path_factory.mktemp("changed") / "w.bin"
    save({"w": torch.arange(7.0), "b": torch.zeros(2, 3).half()}, path)
    content = bytearray(path.read_bytes())
    content[min(len(content) - 1, int(at * len(content)))] = value
    path.write_bytes(content)
    try:
        tensors = load_tensors(path)
    except EncoderError:
        return
    assert all(isinstance(tensor, torch.Tensor) for tensor in tensors.values())
