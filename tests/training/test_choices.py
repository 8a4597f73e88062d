"""The choices of a training: what is refused, and what a result depends on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from bitextmine.errors import UsageError
from bitextmine.training.choices import FULL_LEARNING_RATE, LORA_LEARNING_RATE, TrainConfig

CONFIG = TrainConfig(model="base", data=("a.tsv", "b.tsv"), out=Path("out"))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"batch_size": 1}, "a batch of one row has no negatives"),
        ({"temperature": 0.0}, "--temperature is 0.0"),
        ({"learning_rate": float("nan")}, "--learning-rate is nan"),
        ({"data": ()}, "nothing to train on"),
        ({"lora_dropout": 1.0}, "--lora-dropout is 1.0"),
        ({"save_steps": 0}, "--save-steps is 0"),
        ({"max_length": 2}, "--max-length is 2"),
        ({"threads": 50_000}, "--threads is 50000"),
        ({"dev_langs": ("deu",)}, "--dev-langs is given without --dev-tatoeba"),
        ({"method": "adapter"}, "--method is 'adapter'"),
        ({"epochs": "2"}, "--epochs is '2'"),
        ({"steps": True}, "--steps is True"),
    ],
)
def test_choices_that_cannot_work_are_refused(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        replace(CONFIG, **changes)


def test_paths_may_be_strings_and_one_file_needs_no_tuple() -> None:
    given: dict[str, Any] = {"data": Path("a.tsv"), "out": "out", "dev_tatoeba": "sets"}
    config = replace(CONFIG, **given)
    assert (config.data, config.out, config.dev_tatoeba) == (("a.tsv",), Path("out"), Path("sets"))


def test_the_learning_rate_follows_the_method() -> None:
    assert CONFIG.rate == LORA_LEARNING_RATE
    assert replace(CONFIG, method="full").rate == FULL_LEARNING_RATE
    assert replace(CONFIG, learning_rate=0.5).rate == 0.5


def test_settings_are_what_the_result_depends_on() -> None:
    settings = replace(CONFIG, dev_tatoeba=Path("sets")).settings()
    assert json.loads(json.dumps(settings)) == settings
    assert settings["learning_rate"] == LORA_LEARNING_RATE
    assert (settings["data"], settings["dev_tatoeba"]) == (["a.tsv", "b.tsv"], "sets")
    incidental = {"out", "gradient_checkpointing", "save_steps", "tensorboard", "cpu", "threads"}
    assert not incidental & set(settings)
