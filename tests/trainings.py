"""Triplets that small models learn, and ways to cut a training short."""

import resource
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from bitextmine.training.trainer import ContrastiveTrainer

WORDS = ["bridge", "Monday", "children", "village", "yard", "closed"]
WORDS += ["rain", "seit", "Most", "Regen", "enfants", "passent"]
TRIPLETS = [
    (f"{word} {other} {word}", f"{word} {other}", f"{other} is not {word}")
    for word in WORDS
    for other in WORDS[:4]
    if word != other
]


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the next training end at a step as by Ctrl-C."""
    compute = ContrastiveTrainer.compute_loss

    def interrupted(self: ContrastiveTrainer, *arguments: Any, **named: Any) -> Any:
        if self.state.global_step == step:
            raise KeyboardInterrupt
        return compute(self, *arguments, **named)

    monkeypatch.setattr(ContrastiveTrainer, "compute_loss", interrupted)


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """Let no file grow beyond some bytes: as a full disk, but for the number of the error."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")
