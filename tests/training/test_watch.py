"""What is said of a training while it runs: when a loss that rises is warned of, and how."""

import logging
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitextmine.training.loss import guessing_loss
from bitextmine.training.watch import RiseWatch, Watch

GUESSING = guessing_loss(64)  # 4.85


def course(*pieces: tuple[int, float], noise: float = 0.1) -> list[float]:
    """Losses of single steps: so many about each level."""
    levels = np.repeat([level for _, level in pieces], [steps for steps, _ in pieces])
    return list(levels + np.random.default_rng(7).normal(0, noise, len(levels)))


def warned_at(losses: Sequence[float], log_steps: int = 1, steps: int = 0) -> list[int]:
    """Return the steps at which the watch warns, given the mean of every so many losses."""
    watch = RiseWatch(steps or len(losses), GUESSING)
    ends = range(log_steps, len(losses) + 1, log_steps)
    return [end for end in ends if watch.add(end, float(np.mean(losses[end - log_steps : end])))]


def test_a_loss_that_falls_with_noise_is_not_warned_of() -> None:
    losses = np.geomspace(4.0, 0.2, 2_000) * np.random.default_rng(1).lognormal(0, 0.3, 2_000)
    assert warned_at(list(losses)) == []


@pytest.mark.parametrize("log_steps", [1, 10, 50, 100])
def test_a_collapse_is_warned_of_once_soon_after_it_however_often_the_loss_is_logged(
    log_steps: int,
) -> None:
    steps = warned_at(course((300, 0.4), (700, GUESSING)), log_steps)
    assert len(steps) == 1
    assert 300 < steps[0] <= 300 + max(20, log_steps)


def test_a_collapse_within_a_short_training_is_warned_of() -> None:
    assert warned_at(course((20, 2.0), (16, GUESSING), noise=0.2), log_steps=2)


def test_a_collapse_in_the_first_steps_of_a_good_base_model_is_warned_of() -> None:
    # seen: e5-small, batches of 8, a learning rate of 0.1
    seen = (1.49, 1.85, 2.96, 4.38, 2.76, 2.77, 2.77, 2.78, 2.77, 2.77)
    watch = RiseWatch(70, guessing_loss(8))
    said = [bool(watch.add(step, loss)) for step, loss in zip(range(5, 55, 5), seen, strict=True)]
    assert said.index(True) == 3


def test_a_model_that_has_learnt_nothing_yet_is_warned_of_at_twice_the_loss_of_guessing() -> None:
    assert warned_at(course((100, 4.2), (300, 1.8 * GUESSING))) == []
    assert warned_at(course((100, 4.2), (300, 2.2 * GUESSING)))


def test_the_noise_of_very_small_batches_is_not_warned_of() -> None:
    watch = RiseWatch(5_000, guessing_loss(4))
    losses = np.random.default_rng(3).normal(1.6, 0.6, 5_000)  # seen: 0.5 with random weights
    assert not any(watch.add(step, loss) for step, loss in enumerate(losses.tolist(), 1))


def test_one_batch_far_above_the_others_is_not_warned_of() -> None:
    assert warned_at(course((200, 0.4), (1, 20.0), (200, 0.4), noise=0.05)) == []


def test_the_message_names_the_steps_the_losses_and_a_remedy() -> None:
    watch = RiseWatch(1_000, GUESSING)
    said = [watch.add(step, 0.5 if step <= 400 else 4.0) for step in range(10, 601, 10)]
    (warning,) = filter(None, said)
    assert warning.startswith(
        "the loss has risen from 0.50 at step 10 to 1.90 at step 420 (means of"
    )
    assert "guessing costs 4.85" in warning
    assert "--learning-rate" in warning


@settings(deadline=None)
@given(st.lists(st.floats(1.0, 1.0 + GUESSING / 4), min_size=1, max_size=200))
def test_no_course_within_a_quarter_of_guessing_is_warned_of(losses: list[float]) -> None:
    assert warned_at(losses) == []


LOSSES = [0.5] * 40 + [6.0] * 20


def entries() -> list[dict[str, Any]]:
    return [{"step": 10 * number, "loss": loss} for number, loss in enumerate(LOSSES, 1)]


def logged(watch: Watch, history: list[dict[str, Any]], *, main: bool = True) -> None:
    """Let the trainer log, one entry after the other."""
    for number in range(1, len(history) + 1):
        state = SimpleNamespace(log_history=history[:number], is_world_process_zero=main)
        watch.on_log(None, state, None)


def test_a_loss_that_runs_away_is_warned_of_once_and_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    watch = Watch(tmp_path, 600, guessing=4.85)
    logged(watch, [*entries(), {"step": 600, "eval_sts": 50.0}])
    (warning,) = watch.warnings
    assert "from 0.50 at step 10 to 2.70 at step 420" in warning
    assert caplog.messages == [warning]


def test_of_several_processes_one_warns(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    watch = Watch(tmp_path, 600, guessing=4.85)
    logged(watch, entries(), main=False)
    assert (len(watch.warnings), caplog.messages) == (1, [])


def test_a_training_that_goes_on_knows_what_was_warned_of_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    whole, resumed = (Watch(tmp_path, 600, guessing=4.85) for _ in range(2))
    with caplog.at_level(logging.CRITICAL):
        logged(whole, entries())
    resumed.on_train_begin(None, SimpleNamespace(global_step=500, log_history=entries()), None)
    assert resumed.warnings == whole.warnings
    logged(resumed, [{"step": 610, "loss": 6.0}])
    assert caplog.messages == []
