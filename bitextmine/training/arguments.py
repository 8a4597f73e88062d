"""A training's choices in the words of transformers' trainer."""

import importlib
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import TrainingArguments

from bitextmine.errors import UsageError
from bitextmine.training.choices import TrainConfig

EVENTS_FOLDER = "tensorboard"  # It is beside the adapter.


def require_tensorboard(config: TrainConfig) -> None:
    """Check that what ``--tensorboard`` needs is installed.

    Raises
    ------
    UsageError
        It is asked for and not installed.
    """
    if config.tensorboard and not (find_spec("tensorboard") or find_spec("tensorboardX")):
        raise UsageError(
            "--tensorboard needs the package tensorboard, which is not installed",
            hint="pip install tensorboard, or leave out --tensorboard: loss.csv has the same",
        )


def tensorboard_callback(out: Path) -> Any:
    """Return what logs for TensorBoard: to OUT, since the trainer's own folder is removed.

    TENSORBOARD_LOGGING_DIR, which transformers reads, says otherwise.
    """
    integrations = importlib.import_module("transformers.integrations")  # Exported when it runs.
    callback = integrations.TensorBoardCallback()
    callback.logging_dir = callback.logging_dir or str(out / EVENTS_FOLDER)
    return callback


def trainer_arguments(
    config: TrainConfig, steps: int, work: Path, *, evaluate: bool
) -> TrainingArguments:
    """Return the choices in the trainer's words.

    Parameters
    ----------
    config : TrainConfig
    steps : int
        Of the whole training.
    work : Path
        Where the trainer writes.
    evaluate : bool
        Whether there is anything to evaluate on.
    """
    settings: dict[str, Any] = {
        "output_dir": str(work),
        "per_device_train_batch_size": config.batch_size,
        "gradient_accumulation_steps": config.accumulate,
        "max_steps": steps,
        "learning_rate": config.rate,
        "lr_scheduler_type": "linear",
        "warmup_steps": config.warmup_steps,
        "weight_decay": 0.0,
        "bf16": compute_dtype(config) == torch.bfloat16,
        "use_cpu": config.cpu,
        "seed": config.seed,
        "logging_steps": config.log_steps,
        "logging_nan_inf_filter": False,
        "save_strategy": "steps",
        "save_steps": config.save_steps,
        "eval_strategy": "steps" if evaluate else "no",
        "eval_steps": config.eval_steps,
        "remove_unused_columns": False,
        "report_to": ["none"],  # TensorBoard is added by `tensorboard_callback`.
        "disable_tqdm": True,
        "dataloader_pin_memory": torch.cuda.is_available() and not config.cpu,
        "ddp_find_unused_parameters": False,
    }
    arguments = TrainingArguments(**settings)
    # One process, one GPU: several are used by torchrun, not by threads of one process.
    arguments._n_gpu = min(arguments.n_gpu, 1)
    return arguments


def compute_dtype(config: TrainConfig) -> torch.dtype:
    """Return the type of matrix products, and of weights that are not trained."""
    if config.dtype != "auto":
        found: torch.dtype = getattr(torch, config.dtype)
        return found
    on_gpu = torch.cuda.is_available() and not config.cpu and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if on_gpu else torch.float32
