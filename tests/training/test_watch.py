"""What is told of a training while it runs."""

import logging
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from bitextmine.training.watch import Watch

LOSSES = [0.5] * 40 + [6.0] * 20


def entries() -> list[dict[str, Any]]:
    return [{"step": 10 * number, "loss": loss} for number, loss in enumerate(LOSSES, 1)]


def logged(watch: Watch, history: list[dict[str, Any]], *, main: bool = True) -> None:
    """Let the trainer log, one entry after the other."""
    for number in range(1, len(history) + 1):
        state = SimpleNamespace(log_history=history[:number], is_world_process_zero=main)
        watch.on_log(None, state, None)


def test_a_loss_that_runs_away_is_told_once_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch(tmp_path, 600, guessing=4.85)
    logged(watch, [*entries(), {"step": 600, "eval_sts": 50.0}])
    (told,) = watch.warnings
    assert "from 0.50 at step 10 to 2.70 at step 420" in told
    assert caplog.messages == [told]


def test_of_several_processes_one_tells(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch(tmp_path, 600, guessing=4.85)
    logged(watch, entries(), main=False)
    assert (len(watch.warnings), caplog.messages) == (1, [])


def test_a_training_that_goes_on_knows_what_was_told_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, resumed = (Watch(tmp_path, 600, guessing=4.85) for _ in range(2))
    with caplog.at_level(logging.CRITICAL):
        logged(whole, entries())
    resumed.on_train_begin(None, SimpleNamespace(global_step=500, log_history=entries()), None)
    assert resumed.warnings == whole.warnings
    logged(resumed, [{"step": 610, "loss": 6.0}])
    assert caplog.messages == []
