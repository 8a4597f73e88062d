"""What is watched at every step: progress, the course, a loss that rises, gradients not finite."""

import logging
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from bitextmine.errors import EncoderError
from bitextmine.progress import bar
from bitextmine.training.course import write_course

LOG = logging.getLogger(__name__)

# The loss is smoothed over so many steps; over the second number in short trainings.
_SPAN_STEPS, _SHORT_SPAN_STEPS = 50, 20

# At the start, a mean is taken of so many steps at least.
_LEAST_STEPS = 10

# A loss has risen far when it is so much of the loss of guessing above its best.
_FAR_SHARE = 1 / 4

# A best above this share of the loss of guessing is no better than chance, and noisy.
_UNLEARNT_SHARE = 3 / 4


class RiseWatch:
    """Warns, once, when the smoothed loss has risen far above its best.

    Smoothed is the mean over the last 50 steps (over a quarter of a training that has fewer than
    200, but over 20 at least; at the start, over all there are, if 10): single batches differ by
    much. Far is a quarter of the loss of guessing, where a model ends whose vectors have all become
    alike: it grows with the batch, as the loss does. With batches of 64, guessing costs 4.85; after
    a best of 0.30 it warns at 1.52. A training that has not come below three quarters of guessing
    has nothing to lose yet: of that it warns at twice the loss of guessing. The rule knows nothing
    but the logged losses, so a resumed run says the same.

    Parameters
    ----------
    steps : int
        Of the whole training.
    guessing : float
        The loss of a model that guesses, in nats.
    """

    def __init__(self, steps: int, guessing: float) -> None:
        self._span = max(_SHORT_SPAN_STEPS, min(_SPAN_STEPS, steps // 4))
        self._guessing = guessing
        self._points: deque[tuple[int, int, float]] = deque()  # First step, last step, mean loss.
        self._last = 0
        self._best = (float("inf"), 0)  # The loss, and its step.
        self._has_warned = False

    def add(self, step: int, loss: float) -> str:
        """Take the mean loss of the steps since the last call, up to this one.

        Returns
        -------
        str
            The warning; empty while all is well, and ever after it was given.
        """
        self._points.append((self._last, step, loss))
        self._last = step
        while self._points[0][1] <= step - self._span:
            self._points.popleft()
        covered = step - self._points[0][0]
        if covered < _LEAST_STEPS:
            return ""
        smoothed = sum((last - first) * mean for first, last, mean in self._points) / covered
        if smoothed < self._best[0]:
            self._best = (smoothed, step)
        best, best_step = self._best
        learnt = best <= _UNLEARNT_SHARE * self._guessing
        limit = best + _FAR_SHARE * self._guessing if learnt else 2 * self._guessing
        if self._has_warned or smoothed <= limit:
            return ""
        self._has_warned = True
        return (
            f"the loss has risen from {best:.2f} at step {best_step:,} to {smoothed:.2f} at step"
            f" {step:,} (means of {covered} steps; guessing costs {self._guessing:.2f}): if it"
            " stays there, train again with a lower --learning-rate or with --warmup-steps"
        )


class Watch(TrainerCallback):
    """Shows progress, keeps the course on disk, warns of a loss that rises far above its best.

    Stops the training when gradients are not finite.

    Parameters
    ----------
    work : Path
        Where the course goes.
    steps : int
        Of the whole training.
    guessing : float
        The loss of a model that guesses.
    """

    def __init__(self, work: Path, steps: int, *, guessing: float) -> None:
        self._work = work
        self._bar = bar("training", total=steps, unit="steps")
        self._rise = RiseWatch(steps, guessing)
        self.warnings: list[str] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self._bar.update(state.global_step)
        for entry in state.log_history:  # Of the run that goes on.
            self._look_at(entry)

    def on_pre_optimizer_step(
        self, args: Any, state: Any, control: Any, *, model: Any = None, **others: Any
    ) -> None:
        sums = [p.grad.float().sum() for p in model.parameters() if p.grad is not None]
        if sums and not torch.isfinite(torch.stack(sums).sum()):
            raise diverged("a gradient is not finite", state.global_step + 1)

    def on_step_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self._bar.update()

    def on_log(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        recent = state.log_history[-1]
        self._bar.set_postfix({name: f"{recent[name]:.4f}" for name in ("loss",) if name in recent})
        warning = self._look_at(recent)
        if warning and state.is_world_process_zero:
            LOG.warning(warning)

    def _look_at(self, entry: Mapping[str, Any]) -> str:
        warning = self._rise.add(entry["step"], entry["loss"]) if "loss" in entry else ""
        self.warnings += [warning] if warning else []
        return warning

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        if state.is_world_process_zero:
            write_course(self._work, state.log_history)

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self._bar.close()


def diverged(what: str, step: int) -> EncoderError:
    """Return the error of a training that has left the numbers, naming the step."""
    return EncoderError(
        f"{what} at step {step}: training stopped",
        hint="lower --learning-rate; train T5 in bfloat16 or float32; check the base model",
    )
