"""When a training whose loss rises is told of, and when it is not."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bitextmine.training.loss import guessing_loss
from bitextmine.training.rise import RiseWatch

GUESSING = guessing_loss(64)  # 4.85


def course(*pieces: tuple[int, float], noise: float = 0.1) -> list[float]:
    """Losses of single steps: so many about each level."""
    levels = np.repeat([level for _, level in pieces], [steps for steps, _ in pieces])
    return list(levels + np.random.default_rng(7).normal(0, noise, len(levels)))


def told_at(losses: Sequence[float], log_steps: int = 1, steps: int = 0) -> list[int]:
    """Steps at which the watch spoke, given the mean of every so many losses."""
    watch = RiseWatch(steps or len(losses), GUESSING)
    ends = range(log_steps, len(losses) + 1, log_steps)
    return [end for end in ends if watch.add(end, float(np.mean(losses[end - log_steps : end])))]


def test_a_loss_that_falls_with_noise_is_not_told_of() -> None:
    losses = np.geomspace(4.0, 0.2, 2_000) * np.random.default_rng(1).lognormal(0, 0.3, 2_000)
    assert told_at(list(losses)) == []


@pytest.mark.parametrize("log_steps", [1, 10, 50, 100])
def test_a_collapse_is_told_once_soon_after_it_however_often_the_loss_is_logged(
    log_steps: int,
) -> None:
    told = told_at(course((300, 0.4), (700, GUESSING)), log_steps)
    assert len(told) == 1
    assert 300 < told[0] <= 300 + max(20, log_steps)


def test_a_collapse_within_a_short_training_is_told() -> None:
    assert told_at(course((20, 2.0), (16, GUESSING), noise=0.2), log_steps=2)


def test_a_collapse_in_the_first_steps_of_a_good_base_model_is_told() -> None:
    # seen: e5-small, batches of 8, a learning rate of 0.1
    seen = (1.49, 1.85, 2.96, 4.38, 2.76, 2.77, 2.77, 2.78, 2.77, 2.77)
    watch = RiseWatch(70, guessing_loss(8))
    said = [bool(watch.add(step, loss)) for step, loss in zip(range(5, 55, 5), seen, strict=True)]
    assert said.index(True) == 3


def test_a_model_that_has_learnt_nothing_yet_is_told_of_at_twice_the_loss_of_guessing() -> None:
    assert told_at(course((100, 4.2), (300, 1.8 * GUESSING))) == []
    assert told_at(course((100, 4.2), (300, 2.2 * GUESSING)))


def test_the_noise_of_very_small_batches_is_not_told_of() -> None:
    watch = RiseWatch(5_000, guessing_loss(4))
    losses = np.random.default_rng(3).normal(1.6, 0.6, 5_000)  # seen: 0.5 with random weights
    assert not any(watch.add(step, loss) for step, loss in enumerate(losses.tolist(), 1))


def test_one_batch_far_above_the_others_is_not_told_of() -> None:
    assert told_at(course((200, 0.4), (1, 20.0), (200, 0.4), noise=0.05)) == []


def test_the_message_names_the_steps_the_losses_and_a_remedy() -> None:
    watch = RiseWatch(1_000, GUESSING)
    said = [watch.add(step, 0.5 if step <= 400 else 4.0) for step in range(10, 601, 10)]
    (told,) = filter(None, said)
    assert told.startswith("the loss has risen from 0.50 at step 10 to 1.90 at step 420 (means of")
    assert "guessing costs 4.85" in told
    assert "--learning-rate" in told


@settings(deadline=None)
@given(st.lists(st.floats(1.0, 1.0 + GUESSING / 4), min_size=1, max_size=200))
def test_no_course_within_a_quarter_of_guessing_is_told_of(losses: list[float]) -> None:
    assert told_at(losses) == []
