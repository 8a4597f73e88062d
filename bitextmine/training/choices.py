"""Every choice of a training, each with its default and where that comes from."""

from dataclasses import dataclass, field
from math import isfinite
from pathlib import Path
from typing import Any, Literal

from bitextmine.config import Config, check_threads, incidental, settings_of
from bitextmine.errors import UsageError

Setting = Literal["auto", "monolingual", "cross-lingual"]
Method = Literal["lora", "full"]
TrainDtype = Literal["auto", "float32", "bfloat16"]
TrainPooling = Literal["mean", "cls"]

LORA_LEARNING_RATE = 1e-4
FULL_LEARNING_RATE = 1e-5
LEAST_BATCH_ROWS = 2
LEAST_TRAINED_TOKENS = 3


@dataclass(frozen=True, kw_only=True)
class TrainConfig(Config):
    """What is trained, on what and how; checked on creation.

    "mSimCSE" below is the training script of https://github.com/yaushian/mSimCSE, on which m-ST5
    builds; the values of m-ST5 itself are not published, but for what its adapter's files say.
    What is ``incidental`` may differ in a run that goes on.

    Raises
    ------
    UsageError
        A value is not of its field's type, or out of range.
    """

    model: str
    data: tuple[str, ...]
    out: Path = field(metadata={"affects_result": False})
    langs: tuple[str, ...] = ()  # of an XNLI-1.0 file, which holds many; () = all
    setting: Setting = "auto"  # cross-lingual where there is more than one language
    method: Method = "lora"
    lora_r: int = 8  # chosen here; the size of m-ST5's adapter file fits it
    lora_alpha: float = 32.0  # chosen here; the example in peft's README
    lora_dropout: float = 0.1  # chosen here; likewise
    lora_targets: tuple[str, ...] = ()  # () = q, v of T5, or query, value of BERT
    epochs: float = 1.0  # mSimCSE, cross-lingual
    steps: int = 0  # of the optimiser; 0 = as many as the epochs have
    batch_size: int = 64  # mSimCSE, cross-lingual
    mini_batch: int = 0  # sentences in memory at once; 0 = the whole batch
    accumulate: int = 1  # batches a step; mSimCSE
    learning_rate: float = 0.0  # 0 = 1e-5 in full (mSimCSE), 1e-4 with LoRA (chosen here)
    warmup_steps: int = 0  # transformers' default, as in mSimCSE
    temperature: float = 0.05  # mSimCSE
    max_length: int = 32  # tokens; mSimCSE
    pooling: TrainPooling | None = None  # None = what the model's files say, else mean, as m-ST5
    prompt: str | None = None  # None = the model's own
    dtype: TrainDtype = "auto"  # bfloat16 on a GPU: T5 overflows float16
    gradient_checkpointing: bool = incidental(False)
    seed: int = 42  # transformers' default, as in mSimCSE
    dev_sts: tuple[str, ...] = ()
    dev_tatoeba: Path | None = None
    dev_langs: tuple[str, ...] = ()
    dev_rows: int = 0  # source rows kept out of training, for the accuracy on triplets
    eval_steps: int = 300  # mSimCSE
    save_steps: int = incidental(300)
    log_steps: int = 10
    tensorboard: bool = incidental(False)
    cpu: bool = incidental(False)
    threads: int = incidental(0)
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.data:
            raise UsageError("there is nothing to train on", hint="give files with --data")
        if self.batch_size < LEAST_BATCH_ROWS:
            raise UsageError(
                f"--batch-size is {self.batch_size}: a batch of one row has no negatives to tell"
                " its sentence from",
                hint=f"give {LEAST_BATCH_ROWS} or more; {TrainConfig.batch_size} is the default",
            )
        self._check_counts()
        check_threads(self.threads)
        self._check_positive()
        if not 0 <= self.lora_dropout < 1:
            raise UsageError(
                f"--lora-dropout is {self.lora_dropout}", hint="give a share from 0 to below 1"
            )
        if self.dev_langs and self.dev_tatoeba is None:
            raise UsageError(
                "--dev-langs is given without --dev-tatoeba",
                hint="name the folder of the Tatoeba files with --dev-tatoeba",
            )

    def _check_counts(self) -> None:
        """Refuse numbers below what they count from."""
        for flag, value, least in (
            ("--lora-r", self.lora_r, 1),
            ("--accumulate", self.accumulate, 1),
            ("--eval-steps", self.eval_steps, 1),
            ("--save-steps", self.save_steps, 1),
            ("--log-steps", self.log_steps, 1),
            ("--max-length", self.max_length, LEAST_TRAINED_TOKENS),
            ("--steps", self.steps, 0),
            ("--mini-batch", self.mini_batch, 0),
            ("--warmup-steps", self.warmup_steps, 0),
            ("--dev-rows", self.dev_rows, 0),
            ("--seed", self.seed, 0),
        ):
            if value < least:
                raise UsageError(f"{flag} is {value}", hint=f"give {least} or more")

    def _check_positive(self) -> None:
        """Refuse numbers that are not above 0."""
        for flag, value in (
            ("--temperature", self.temperature),
            ("--lora-alpha", self.lora_alpha),
            ("--epochs", self.epochs),
            ("--learning-rate", self.rate),
        ):
            if not isfinite(value) or value <= 0:
                raise UsageError(f"{flag} is {value}", hint="give a number above 0")

    @property
    def rate(self) -> float:
        """The learning rate at the start."""
        default = LORA_LEARNING_RATE if self.method == "lora" else FULL_LEARNING_RATE
        return self.learning_rate or default

    def settings(self) -> dict[str, Any]:
        """Return all that can change the result, as plain JSON values."""
        kept = settings_of(self, TrainConfig) | {"learning_rate": self.rate}
        return {name: _as_json(value) for name, value in kept.items()}


def _as_json(value: Any) -> Any:
    if isinstance(value, tuple):
        return list(value)
    return str(value) if isinstance(value, Path) else value
