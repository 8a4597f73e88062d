"""Every choice of a training, each with its default and where that comes from."""

from dataclasses import asdict, dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any, Literal, get_args

from bitextmine.errors import UsageError

Setting = Literal["auto", "monolingual", "cross-lingual"]
Method = Literal["lora", "full"]
TrainDtype = Literal["auto", "float32", "bfloat16"]
TrainPooling = Literal["mean", "cls"]

LORA_RATE, FULL_RATE = 1e-4, 1e-5
SCENERY = {"scenery": True}  # does not change what is computed, so a resumed run may change it


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """What is trained, on what and how; checked on creation.

    "mSimCSE" below is the training script of https://github.com/yaushian/mSimCSE, on which m-ST5
    builds; the values of m-ST5 itself are not published, but for what its adapter's files say.

    Raises
    ------
    UsageError
        A value is out of range.
    """

    model: str
    data: tuple[str, ...]
    out: Path = field(metadata=SCENERY)
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
    gradient_checkpointing: bool = field(default=False, metadata=SCENERY)
    seed: int = 42  # transformers' default, as in mSimCSE
    dev_sts: tuple[str, ...] = ()
    dev_tatoeba: Path | None = None
    dev_langs: tuple[str, ...] = ()
    dev_rows: int = 0  # source rows kept out of training, for the accuracy on triplets
    eval_steps: int = 300  # mSimCSE
    save_steps: int = field(default=300, metadata=SCENERY)
    log_steps: int = 10
    tensorboard: bool = field(default=False, metadata=SCENERY)
    cpu: bool = field(default=False, metadata=SCENERY)
    threads: int = field(default=0, metadata=SCENERY)
    trust_remote_code: bool = False

    def __post_init__(self) -> None:
        if not self.data:
            raise UsageError("there is nothing to train on", hint="give files with --data")
        if self.batch_size < 2:
            raise UsageError(
                f"--batch-size is {self.batch_size}: a batch of one row has no negatives to tell"
                " its sentence from",
                hint="give 2 or more; 64 is the default",
            )
        for flag, value, least in (
            ("--lora-r", self.lora_r, 1),
            ("--accumulate", self.accumulate, 1),
            ("--eval-steps", self.eval_steps, 1),
            ("--save-steps", self.save_steps, 1),
            ("--log-steps", self.log_steps, 1),
            ("--max-length", self.max_length, 3),
            ("--steps", self.steps, 0),
            ("--mini-batch", self.mini_batch, 0),
            ("--warmup-steps", self.warmup_steps, 0),
            ("--dev-rows", self.dev_rows, 0),
            ("--seed", self.seed, 0),
        ):
            if value < least:
                raise UsageError(f"{flag} is {value}", hint=f"give {least} or more")
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

    def _check_positive(self) -> None:
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
        return self.learning_rate or (LORA_RATE if self.method == "lora" else FULL_RATE)

    def settings(self) -> dict[str, Any]:
        """Return all that can change the result, as plain JSON values."""
        kept = {item.name for item in fields(self) if not item.metadata.get("scenery")}
        plain = {name: value for name, value in asdict(self).items() if name in kept}
        return {
            name: list(value) if isinstance(value, tuple) else _plain(value)
            for name, value in plain.items()
        } | {"learning_rate": self.rate}


def _plain(value: Any) -> Any:
    return str(value) if isinstance(value, Path) else value


def choices(kind: Any) -> list[str]:
    """Return the words of a Literal type."""
    return [str(word) for word in get_args(kind)]
