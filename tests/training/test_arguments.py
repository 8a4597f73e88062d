"""TensorBoard, asked for with and without its package; the trainer's other choices."""

import importlib
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from bitextmine.checkpoints.manifest import verify_manifest
from bitextmine.errors import UsageError
from bitextmine.training.arguments import compute_dtype, trainer_arguments
from bitextmine.training.choices import TrainConfig
from bitextmine.training.run import train


def test_tensorboard_is_missed_at_the_start(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tensorboard", "tensorboardX"):
        monkeypatch.setitem(sys.modules, name, None)  # as if not installed
    with pytest.raises(UsageError, match="tensorboard") as raised:
        train(replace(config, out=tmp_path / "out", tensorboard=True))
    assert "pip install tensorboard" in raised.value.hint
    assert not (tmp_path / "out").exists()


def test_event_files_for_tensorboard_stay_when_the_training_is_finished(
    config: TrainConfig, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    out = tmp_path / "é vents"
    train(replace(config, out=out, steps=4, dev_rows=8, tensorboard=True))
    verify_manifest(out)
    events = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    found = events.EventAccumulator(str(out / "tensorboard")).Reload()
    assert {"train/loss", "eval/triplets"} <= set(found.Tags()["scalars"])
    assert [event.step for event in found.Scalars("train/loss")] == [1, 2, 3, 4]


def test_choices_are_said_in_the_trainers_words(config: TrainConfig, tmp_path: Path) -> None:
    given = replace(config, batch_size=6, accumulate=3, learning_rate=0.002, warmup_steps=7)
    arguments = trainer_arguments(given, 50, tmp_path, evaluate=False)
    assert (arguments.per_device_train_batch_size, arguments.gradient_accumulation_steps) == (6, 3)
    assert (arguments.learning_rate, arguments.warmup_steps, arguments.max_steps) == (0.002, 7, 50)
    assert arguments.eval_strategy == "no"
    assert not arguments.bf16
    assert trainer_arguments(given, 50, tmp_path, evaluate=True).eval_strategy == "steps"


def test_products_are_float32_on_a_cpu_unless_asked_otherwise(config: TrainConfig) -> None:
    assert compute_dtype(config) == torch.float32
    assert compute_dtype(replace(config, dtype="bfloat16")) == torch.bfloat16
