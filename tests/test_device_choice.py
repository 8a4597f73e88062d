"""Devices are named as in torch, and what is not there is refused."""

import pytest
import torch

from bitextmine import machine as device_choice
from bitextmine.encoders.dtype import resolve_dtype
from bitextmine.errors import EncoderError, UsageError
from bitextmine.machine import parse_devices, usable_devices


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cpu", ("cpu",)),
        ("cpu,cpu", ("cpu", "cpu")),
        ("cuda", ("cuda",)),
        ("cuda:0,1", ("cuda:0", "cuda:1")),
        ("CUDA:3, cuda:1", ("cuda:3", "cuda:1")),
    ],
)
def test_a_list_of_devices_is_read(text: str, expected: tuple[str, ...]) -> None:
    assert parse_devices(text) == expected


@pytest.mark.parametrize("text", ["", "0", "gpu", "cuda:", "cuda:x", "cpu:0", "cpu,1", "cuda,"])
def test_what_is_no_device_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_devices(text)


@pytest.mark.usefixtures("two_gpus")
def test_every_visible_gpu_is_used_by_default() -> None:
    assert usable_devices(()) == ("cuda:0", "cuda:1")
    assert usable_devices(("cuda",)) == ("cuda:0", "cuda:1")


def test_the_processor_is_used_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert usable_devices(()) == (device_choice.CPU,)
    with pytest.raises(EncoderError, match="torch sees no GPU"):
        usable_devices(("cuda",))


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(EncoderError, match="no cuda:2 here: torch sees cuda:0, cuda:1"):
        usable_devices(("cuda:0", "cuda:2"))


def test_the_number_format_follows_the_device(monkeypatch: pytest.MonkeyPatch) -> None:
    assert resolve_dtype("auto", ("cpu",), is_t5=True) == "float32"
    assert resolve_dtype("bfloat16", ("cpu",), is_t5=True) == "bfloat16"
    for supported, is_t5, dtype in (
        (True, True, "bfloat16"),
        (True, False, "bfloat16"),
        (False, True, "float32"),
        (False, False, "float16"),
    ):
        known = supported
        monkeypatch.setattr(
            torch.cuda, "is_bf16_supported", lambda including_emulation, known=known: known
        )
        assert resolve_dtype("auto", ("cuda:0",), is_t5=is_t5) == dtype


def test_half_precision_is_refused_for_t5() -> None:
    with pytest.raises(UsageError, match="overflow"):
        resolve_dtype("float16", ("cpu",), is_t5=True)
