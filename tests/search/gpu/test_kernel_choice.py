"""The fastest kernels that work are chosen, and there are always some."""

import logging

import pytest
import torch

from bitextmine.search.gpu import kernel_choice
from bitextmine.search.gpu.kernel_choice import choose_kernels
from bitextmine.search.gpu.kernels import PLAIN, Kernels


def test_a_processor_gets_plain_torch() -> None:
    assert choose_kernels(torch.device("cpu")) is PLAIN


@pytest.mark.skipif(torch.cuda.is_available(), reason="here Triton may work")
def test_where_triton_does_not_work_the_search_goes_on_without(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kernel_choice, "find_spec", lambda name: name)
    with caplog.at_level(logging.WARNING):
        assert choose_kernels(torch.device("cuda:0")) is PLAIN
    assert "no Triton on cuda:0" in caplog.text


def test_what_computes_nonsense_is_not_chosen() -> None:
    broken = Kernels(lambda *tensors: None, PLAIN.pair_dots)
    kernel_choice._check_kernels(PLAIN, torch.device("cpu"))
    with pytest.raises(RuntimeError, match="wrong results"):
        kernel_choice._check_kernels(broken, torch.device("cpu"))
