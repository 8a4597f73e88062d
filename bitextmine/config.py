"""Every choice a user can make, with its default, checked as soon as it is made.

Each stage has its own frozen dataclass; ``MineConfig`` is all of them together. A
field marked as scenery (threads, say) changes how a stage runs and never its
result, so it takes no part in the fingerprint of a work directory.
"""

import os
from dataclasses import dataclass, field, fields
from math import isfinite
from pathlib import Path
from typing import Any, Literal, get_args

from bitextmine.errors import UsageError
from bitextmine.machine import LEAST_BYTES, format_bytes

InputFormat = Literal["text", "ids", "tsv", "jsonl", "parquet"]
InvalidText = Literal["reject", "replace", "fail"]
Margin = Literal["ratio", "distance", "absolute"]
Retrieval = Literal["max", "intersect", "fwd", "bwd", "union"]
Store = Literal["fp16", "int8"]
OutputFormat = Literal["laser", "tsv", "moses", "tmx", "jsonl"]
# What is told of a pair, in the order of columns; `write.records` says of each what it is.
FieldName = Literal[
    "score", "src", "tgt", "cosine", "src_id", "tgt_id",
    "src_file", "src_line", "tgt_file", "tgt_line",
]  # fmt: skip
COLUMNS: tuple[FieldName, ...] = get_args(FieldName)

Pooling = Literal["mean", "cls", "last", "max", "mean_sqrt_len", "weighted_mean"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]

M_ST5 = "m-st5"
M_ST5_BASE = "google/mt5-xxl"
M_ST5_ADAPTER = "pkshatech/m-ST5"

SEARCH_METHODS = ("auto", "exact", "ivf", "hnsw")  # or a factory string of FAISS
MOST_THREADS = 1024
MOST_NEIGHBOURS = 64  # more would make the lists the largest part of the search
LEAST_LENGTH = 4  # tokens: two special ones, and something between them
LEAST_BATCH_TOKENS = 256
SCENERY = {"scenery": True}  # metadata of fields that cannot change a result
STDIN = "-"


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """What a user may decide about a checkpoint; the embedded encoders have no such choices.

    Attributes
    ----------
    prompt : str or None
        Put before every sentence; None is the model's own.
    max_length : int or None
        Tokens read of a sentence; None is the model's own.
    pooling : str
        How token states become a vector, where the model's files do not say.
    dtype : str
        Of the matrix products; "auto" is bfloat16 on a GPU and float32 on a CPU.
    batch_tokens : int
        Tokens computed at once; 0 chooses by device.
    compile : bool
        Whether to compile for the GPU.
    trust_remote_code : bool
        Whether Python code from the model's folder may run.
    """

    prompt: str | None = None
    max_length: int | None = None
    pooling: Pooling | None = None
    dtype: Dtype = "auto"
    batch_tokens: int = 0
    compile: bool = True
    trust_remote_code: bool = False


def settings_of(config: object, stage: type) -> dict[str, Any]:
    """Return the fields of ``config`` that can change the result of a stage, by name."""
    return {
        item.name: getattr(config, item.name)
        for item in fields(stage)
        if not item.metadata.get("scenery")
    }


def _as_paths(given: Any) -> tuple[str, ...]:
    """Take one path or several, as strings or as Path objects."""
    several = [given] if isinstance(given, str | os.PathLike) else given
    return tuple(os.fspath(path) for path in several)


def _one_of(flag: str, value: str, choices: Any) -> None:
    known = get_args(choices)
    if value not in known:
        raise UsageError(f"{flag} is {value!r}", hint=f"choose one of {', '.join(known)}")


def _at_least(flag: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise UsageError(f"{flag} is {value}", hint=f"{flag} must be {least} or more")


def search_method(asked: str) -> str:
    """Return a search method as it is compared: factory strings of FAISS keep their case."""
    plain = asked.strip()
    return plain.lower() if plain.lower() in SEARCH_METHODS else plain


def check_memory(n_bytes: int) -> None:
    """Refuse a budget in which not even the program itself finds room."""
    if n_bytes and n_bytes < LEAST_BYTES:
        raise UsageError(
            f"--memory is {format_bytes(n_bytes)}",
            hint=f"give at least {format_bytes(LEAST_BYTES)}: the program alone takes two thirds",
        )


@dataclass(frozen=True, kw_only=True)
class ShardConfig:
    """What to read, and which lines count as sentences."""

    src: tuple[str, ...]  # paths, or "-" for stdin
    tgt: tuple[str, ...]
    input_format: InputFormat = "text"
    src_field: str = ""  # column number (tsv, from 1) or key (jsonl, parquet); "" = 1 or "text"
    tgt_field: str = ""  # "" = as src_field
    id_field: str = ""  # where the user's own sentence ids are; "" = nowhere
    min_chars: int = 1
    max_chars: int = 2000  # longer lines are documents, not sentences
    on_invalid: InvalidText = "reject"  # what to do with a line that is not valid UTF-8
    shard_size: int = 250_000  # sentences a shard, about
    memory: int = field(default=0, metadata=SCENERY)  # bytes; 0 = half of what there is

    def check_sharding(self) -> None:
        """Refuse what contradicts itself."""
        _one_of("--input-format", self.input_format, InputFormat)
        _one_of("--on-invalid", self.on_invalid, InvalidText)
        _at_least("--min-chars", self.min_chars, 1)
        _at_least("--max-chars", self.max_chars, self.min_chars)
        _at_least("--shard-size", self.shard_size, 1)
        check_memory(self.memory)
        for flag, paths in (("--src", self.src), ("--tgt", self.tgt)):
            if not paths:
                raise UsageError(f"{flag} names no file", hint=f"give {flag} FILE, or - for stdin")
        if (*self.src, *self.tgt).count(STDIN) > 1:
            raise UsageError("stdin (-) is asked for twice", hint="it can be one input only")
        self._check_fields()

    def _check_fields(self) -> None:
        given = {"--src-field": self.src_field, "--tgt-field": self.tgt_field}
        given["--id-field"] = self.id_field
        if self.input_format in ("text", "ids"):
            for flag, value in given.items():
                if value:
                    raise UsageError(
                        f"{flag} is given for --input-format {self.input_format}",
                        hint="fields belong to --input-format tsv, jsonl or parquet",
                    )
        if self.input_format == "tsv":
            for flag, value in given.items():
                if value and (not value.isdecimal() or int(value) < 1):
                    raise UsageError(
                        f"{flag} is {value!r}", hint="columns of a TSV are numbered from 1"
                    )
        if self.input_format == "parquet" and STDIN in (*self.src, *self.tgt):
            raise UsageError("Parquet cannot be read from stdin", hint="give the file's path")

    def paths(self, side: str) -> tuple[str, ...]:
        """Return the input files of a side, in order."""
        return self.src if side == "src" else self.tgt

    def text_field(self, side: str) -> str:
        """Return the column or key that holds the sentences of a side."""
        default = "1" if self.input_format == "tsv" else "text"
        own = self.tgt_field if side == "tgt" else ""
        return own or self.src_field or default


@dataclass(frozen=True, kw_only=True)
class EncodeConfig:
    """Which encoder turns sentences into vectors."""

    model: str = "auto"
    src_lang: str = ""  # "" = find out
    tgt_lang: str = ""
    seed: int = 1  # of the sample whose language is identified
    prompt: str | None = None  # put before every sentence; None = the model's own
    max_length: int | None = None  # tokens; None = the model's own
    pooling: Pooling | None = None  # None = what the model's files say, else mean
    dtype: Dtype = "auto"  # of matrix products: bfloat16 on a GPU, float32 on a CPU
    trust_remote_code: bool = False
    dim: int | None = None  # of the stored vectors, by PCA; None = the encoder's own
    store: Store = "fp16"  # number format of the stored vectors
    devices: tuple[str, ...] = field(default=(), metadata=SCENERY)  # () = all GPUs, else the CPU
    batch_tokens: int = field(default=0, metadata=SCENERY)  # 0 = by device
    compile: bool = field(default=True, metadata=SCENERY)
    threads: int = field(default=0, metadata=SCENERY)  # 0 = all cores

    def options(self) -> EncoderOptions:
        """Return what concerns the encoder alone."""
        names = (item.name for item in fields(EncoderOptions))
        return EncoderOptions(**{name: getattr(self, name) for name in names})

    def check_encoding(self) -> None:
        """Refuse what contradicts itself."""
        _one_of("--dtype", self.dtype, Dtype)
        _one_of("--store", self.store, Store)
        _at_least("--dim", self.dim, 1)
        if self.pooling is not None:
            _one_of("--pooling", self.pooling, Pooling)
        _at_least("--max-length", self.max_length, LEAST_LENGTH)
        if self.batch_tokens:
            _at_least("--batch-tokens", self.batch_tokens, LEAST_BATCH_TOKENS)
        _at_least("--threads", self.threads, 0)
        _at_least("--seed", self.seed, 0)
        if self.threads > MOST_THREADS:
            raise UsageError(
                f"--threads is {self.threads}",
                hint=f"give at most {MOST_THREADS}, or 0 for all cores",
            )


@dataclass(frozen=True, kw_only=True)
class SearchConfig:
    """How many neighbours to find, and how."""

    k: int = 4  # neighbours a direction, as in LASER
    search: str = "auto"  # exact, ivf, hnsw, or a factory string of FAISS
    seed: int = 1  # of the sample that an index is trained on
    memory: int = field(default=0, metadata=SCENERY)  # bytes; 0 = half of what there is
    devices: tuple[str, ...] = field(default=(), metadata=SCENERY)  # () = all GPUs, else the CPU
    threads: int = field(default=0, metadata=SCENERY)  # 0 = all cores

    def check_searching(self) -> None:
        """Refuse what contradicts itself."""
        _at_least("-k", self.k, 1)
        if self.k > MOST_NEIGHBOURS:
            raise UsageError(f"-k is {self.k}", hint=f"give at most {MOST_NEIGHBOURS}")
        _at_least("--seed", self.seed, 0)
        _at_least("--threads", self.threads, 0)
        check_memory(self.memory)
        if self.search != search_method(self.search) or not self.search:
            raise UsageError(
                f"--search is {self.search!r}",
                hint=f"give one of {', '.join(SEARCH_METHODS)}, or a factory string of FAISS",
            )


@dataclass(frozen=True, kw_only=True)
class SelectConfig:
    """Which of the neighbours become pairs."""

    margin: Margin = "ratio"
    retrieval: Retrieval = "max"
    threshold: float | None = None  # None = the encoder's own
    top: int | None = None  # at most this many pairs, the best ones
    memory: int = field(default=0, metadata=SCENERY)  # bytes; 0 = half of what there is

    def check_selecting(self) -> None:
        """Refuse what contradicts itself."""
        _one_of("--margin", self.margin, Margin)
        _one_of("--retrieval", self.retrieval, Retrieval)
        _at_least("--top", self.top, 1)
        check_memory(self.memory)
        if self.threshold is not None and not isfinite(self.threshold):
            raise UsageError(
                f"--threshold is {self.threshold}, not a finite number",
                hint="give a number such as 1.06",
            )


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """Where pairs go, and how they are written; checked by ``results.check_output``."""

    out: Path | None = None  # None = stdout, or the return value
    format: OutputFormat = "laser"
    columns: tuple[FieldName, ...] = ()  # of tsv; () = score, src, tgt
    rejects: Path | None = None


@dataclass(frozen=True, kw_only=True)
class MineConfig(ShardConfig, EncodeConfig, SearchConfig, SelectConfig, OutputConfig):
    """Every choice that can change the mined pairs, checked on creation.

    Only ``src`` and ``tgt`` must be given. All fields are those of the stages.

    Raises
    ------
    UsageError
        A value is out of range, or two of them contradict each other.
    """

    workdir: Path | None = None  # None = a private temporary one

    def __post_init__(self) -> None:
        for side in ("src", "tgt"):
            object.__setattr__(self, side, _as_paths(getattr(self, side)))
        for name in ("out", "rejects", "workdir"):
            if getattr(self, name) is not None:
                object.__setattr__(self, name, Path(getattr(self, name)))
        self.check_sharding()
        self.check_encoding()
        self.check_searching()
        self.check_selecting()
