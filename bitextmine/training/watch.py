"""What is watched at every step: progress, curves, and gradients that are not finite."""

from pathlib import Path
from typing import Any

import torch
from transformers import TrainerCallback

from bitextmine.errors import EncoderError
from bitextmine.progress import bar
from bitextmine.training.curves import write_curves


class Watch(TrainerCallback):
    """Shows progress, keeps the curves on disk, and stops when gradients are not finite."""

    def __init__(self, work: Path, steps: int) -> None:
        self._work = work
        self._bar = bar("training", total=steps, unit="steps")

    def on_train_begin(self, args: Any, state: Any, control: Any, **others: Any) -> None:
        self._bar.update(state.global_step)

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
