"""Trainings of small random models: what is learnt, kept and gone on from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import small_models
import torch
from trainings import TRIPLETS, adapter, file_size_limit, stop_at

from bitextmine.checkpoints.description import describe
from bitextmine.errors import OutputError
from bitextmine.training.choices import TrainConfig
from bitextmine.training.folder import snapshots
from bitextmine.training.loss import contrastive_loss
from bitextmine.training.run import train
from bitextmine.training.sampling import BatchSampler
from bitextmine.training.trainee import encode_sentences, load_trainee, make_vectoriser
from bitextmine.training.trainer import ContrastiveTrainer, TripletDataset


def test_lora_lowers_the_loss_and_moves_no_frozen_weight(config: TrainConfig) -> None:
    config = replace(config, batch_size=8, learning_rate=0.003)
    description = describe(Path(config.model), max_length=32)
    vectoriser = make_vectoriser(description, config, 0)
    model = load_trainee(description, config, torch.float32)
    trainer = ContrastiveTrainer(
        model,
        vectoriser=vectoriser,
        config=config,
        dataset=TripletDataset(TRIPLETS, range(len(TRIPLETS))),
        sampler=BatchSampler(np.arange(len(TRIPLETS)), 8, 40, 1),
        steps=40,
        work=config.out,
        dev=None,
    )

    def loss() -> float:
        texts = [triplet[part] for part in range(3) for triplet in TRIPLETS]
        return float(
            contrastive_loss(torch.from_numpy(encode_sentences(model, vectoriser, texts)), 0.05)
        )

    before, loss_before = _weights(model), loss()
    trainer.train()
    assert loss() < 0.9 * loss_before
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]) != ("lora_" in name), name


def _weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def test_a_training_that_was_stopped_goes_on_as_if_it_was_not(
    config: TrainConfig, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed = replace(config, out=tmp_path / "re sumed")
    with monkeypatch.context() as patched:
        stop_at(6, patched)
        with pytest.raises(KeyboardInterrupt):
            train(resumed)
    assert [path.name for path in snapshots(resumed.out / "work")] == ["checkpoint-4"]
    train(resumed)
    assert (resumed.out / "loss.csv").read_bytes() == (whole / "loss.csv").read_bytes()
    expected = adapter(whole)
    for name, weight in adapter(resumed.out).items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=0)


def test_a_full_disk_leaves_the_snapshot_before_intact(
    config: TrainConfig, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = replace(config, out=tmp_path / "full")
    with monkeypatch.context() as patched:
        stop_at(5, patched)
        with pytest.raises(KeyboardInterrupt):
            train(full)
    with file_size_limit(7000), pytest.raises(OutputError, match="checkpoint-8") as raised:
        train(full)
    assert "checkpoint-4 is whole" in raised.value.hint
    assert [path.name for path in snapshots(full.out / "work")] == ["checkpoint-4"]
    train(full)
    assert (full.out / "loss.csv").read_bytes() == (whole / "loss.csv").read_bytes()


def test_the_best_model_is_kept(config: TrainConfig, tmp_path: Path) -> None:
    out = tmp_path / "best"
    card = train(replace(config, out=out, dev_rows=8)).card
    scores = [line.split(",") for line in (out / "scores.csv").read_text().split()]
    assert [row[0] for row in scores] == ["step", "4", "8"]
    best = max(scores[1:], key=lambda row: float(row[1]))
    assert card["kept"]["step"] == int(best[0])
    assert card["source_rows"] == len({triplet[0] for triplet in TRIPLETS})


def test_a_batch_in_parts_trains_as_the_batch_at_once(config: TrainConfig, tmp_path: Path) -> None:
    base = small_models.mt5(tmp_path / "base", dropout_rate=0.0)  # it would fall on other tokens
    settled = replace(config, model=str(base), lora_dropout=0.0, steps=3, accumulate=2)
    curves = []
    for mini_batch in (0, 5):
        each = replace(settled, out=tmp_path / str(mini_batch), mini_batch=mini_batch)
        train(each)
        rows = (each.out / "loss.csv").read_text().split()[1:]
        curves.append([float(cell) for row in rows for cell in row.split(",")])
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


def test_gradient_checkpointing_changes_no_loss(config: TrainConfig, tmp_path: Path) -> None:
    curves = []
    for on in (False, True):
        out = tmp_path / str(on)
        train(replace(config, out=out, steps=3, gradient_checkpointing=on))
        curves.append((out / "loss.csv").read_bytes())
    assert curves[0] == curves[1]
