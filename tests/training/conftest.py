"""A small model, triplets for it, and a training of it that nothing interrupted."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import small_models
from trainings import TRIPLETS

from bitextmine.training.choices import TrainConfig
from bitextmine.training.run import train


@pytest.fixture(scope="session")
def mt5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.mt5(tmp_path_factory.mktemp("models") / "it's « mT5 »")


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "tri plets.jsonl"
    names = ("premise", "entailment", "contradiction")
    lines = [json.dumps(dict(zip(names, triplet, strict=True))) for triplet in TRIPLETS]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture(scope="session")
def config(mt5: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    out = tmp_path_factory.mktemp("out") / "ünused"
    return TrainConfig(
        model=str(mt5),
        data=(str(data),),
        out=out,
        steps=8,
        batch_size=4,
        learning_rate=0.01,
        log_steps=1,
        save_steps=4,
        eval_steps=4,
        cpu=True,
    )


@pytest.fixture(scope="session")
def whole(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nothing interrupted."""
    out = tmp_path_factory.mktemp("out") / "whole"
    train(replace(config, out=out))
    return out
