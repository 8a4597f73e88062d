"""What is watched at every step: progress, curves, a loss that rises, gradients not finite."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from bitextmine.errors import EncoderError
from bitextmine.progress import bar
from bitextmine.training.course import write_curves
from bitextmine.training.rise import RiseWatch

LOG = logging.getLogger(__name__)


class Watch(TrainerCallback):
    """Shows progress, keeps the curves on disk, warns of a loss that rises far above its best.

    Stops the training when gradients are not finite.

    Parameters
    ----------
    work : Path
        Where curves go.
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
        for entry in state.log_history:  # of the run that is gone on with
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
        told = self._look_at(recent)
        if told and state.is_world_process_zero:
            LOG.warning(told)

    def _look_at(self, entry: Mapping[str, Any]) -> str:
        told = self._rise.add(entry["step"], entry["loss"]) if "loss" in entry else ""
        self.warnings += [told] if told else []
        return told

    def on_save(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        if state.is_world_process_zero:
            write_curves(self._work, state.log_history)

    def on_train_end(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self._bar.close()


def diverged(what: str, step: int) -> EncoderError:
    """Return the error of a training that has left the numbers, naming the step."""
    return EncoderError(
        f"{what} at step {step}: training stopped",
        hint="lower --learning-rate; train T5 in bfloat16 or float32; check the base model",
    )
