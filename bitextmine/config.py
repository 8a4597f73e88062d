"""Every choice a user can make, with its default, checked as soon as it is made.

Each stage has its own frozen dataclass; ``MineConfig`` is all of them together. A field that is
``incidental`` (threads, say) changes how a stage runs and never its result, so it takes no part
in the fingerprint of a work directory.
"""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from math import isfinite
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from bitextmine.errors import UsageError
from bitextmine.machine import LEAST_BYTES, Limits, format_bytes

T = TypeVar("T")

STDIN = "-"  # as the path of an input

InputFormat = Literal["text", "ids", "tsv", "jsonl", "parquet"]
InvalidText = Literal["reject", "replace", "fail"]

M_ST5 = "m-st5"
M_ST5_BASE = "google/mt5-xxl"
M_ST5_ADAPTER = "pkshatech/m-ST5"
Pooling = Literal["mean", "cls", "last", "max", "mean_sqrt_len", "weighted_mean"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Store = Literal["fp16", "int8"]
LEAST_SENTENCE_TOKENS = 4  # two special ones, and something between them
LEAST_BATCH_TOKENS = 256

SEARCH_METHODS = ("auto", "exact", "ivf", "hnsw")  # or a factory string of FAISS
MOST_NEIGHBOURS = 64  # more would make the lists the largest part of the search

Margin = Literal["ratio", "distance", "absolute"]
Retrieval = Literal["max", "intersect", "fwd", "bwd", "union"]

OutputFormat = Literal["laser", "tsv", "moses", "tmx", "jsonl"]
# What is told of a pair, in the order of columns; `write.records` says of each what it is.
FieldName = Literal[
    "score", "src", "tgt", "cosine", "src_id", "tgt_id",
    "src_file", "src_line", "tgt_file", "tgt_line",
]  # fmt: skip
COLUMNS: tuple[FieldName, ...] = get_args(FieldName)

MOST_THREADS = 1024


def incidental(default: T) -> T:
    """Return a dataclass field whose value cannot change a result."""
    return field(default=default, metadata={"affects_result": False})


def settings_of(config: object, stage: type) -> dict[str, Any]:
    """Return the fields of ``config`` that can change the result of a stage, by name."""
    return {
        item.name: getattr(config, item.name)
        for item in fields(stage)
        if item.metadata.get("affects_result", True)
    }


@dataclass(frozen=True, kw_only=True)
class Config:
    """Choices that check themselves on creation: first their types, then their values.

    A subclass extends ``__post_init__``, and calls that of this class first.

    Raises
    ------
    UsageError
        A value is not of its field's type.
    """

    def __post_init__(self) -> None:
        for name, kinds in field_types(type(self)).items():
            value = _converted(getattr(self, name), kinds)
            if not any(_is_of(value, kind) for kind in kinds):
                _refuse_type(_flag_of(name), value, kinds)
            object.__setattr__(self, name, value)


def field_types(config: type[Config]) -> dict[str, tuple[Any, ...]]:
    """Return what each field may hold, by name: one type, or those that ``|`` joins."""
    return {item.name: _alternatives(item.type) for item in fields(config)}


def _alternatives(hint: Any) -> tuple[Any, ...]:
    return get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)


def _converted(value: Any, kinds: tuple[Any, ...]) -> Any:
    """Take strings for paths, paths for strings among several, and one string for several."""
    if Path in kinds and isinstance(value, str | os.PathLike):
        return Path(value)
    if not any(get_origin(kind) is tuple for kind in kinds):
        return value
    if isinstance(value, str | os.PathLike):
        value = (value,)
    if isinstance(value, Iterable) and not isinstance(value, bytes | Mapping):
        return tuple(os.fspath(one) if isinstance(one, os.PathLike) else one for one in value)
    return value


def _is_of(value: Any, kind: Any) -> bool:
    """Tell whether a field of this type may hold the value; True is no number."""
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if get_origin(kind) is tuple:
        return isinstance(value, tuple) and all(isinstance(one, str) for one in value)
    if isinstance(value, bool):
        return kind is bool
    return isinstance(value, int | float if kind is float else kind)


def _refuse_type(flag: str, value: Any, kinds: tuple[Any, ...]) -> None:
    words = [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]
    names = {bool: "True or False", int: "a whole number", float: "a number", str: "a string"}
    names |= {Path: "a path", NoneType: "None"}
    given = " or ".join(names.get(kind, "strings") for kind in kinds)
    hint = f"choose one of {', '.join(words)}" if words else f"give {given}"
    raise UsageError(f"{flag} is {value!r}", hint=hint)


def _flag_of(name: str) -> str:
    """Return the flag that fills a field."""
    return f"-{name}" if len(name) == 1 else f"--{name.replace('_', '-')}"


def _check_at_least(flag: str, value: int | None, least: int) -> None:
    if value is not None and value < least:
        raise UsageError(f"{flag} is {value}", hint=f"{flag} must be {least} or more")


def check_threads(threads: int) -> None:
    """Refuse a number of threads that no machine has.

    Raises
    ------
    UsageError
        It is negative, or too large.
    """
    _check_at_least("--threads", threads, 0)
    if threads > MOST_THREADS:
        raise UsageError(
            f"--threads is {threads}", hint=f"give at most {MOST_THREADS}, or 0 for all cores"
        )


def _check_memory(n_bytes: int) -> None:
    """Refuse a budget in which not even the program itself finds room."""
    if n_bytes and n_bytes < LEAST_BYTES:
        raise UsageError(
            f"--memory is {format_bytes(n_bytes)}",
            hint=f"give at least {format_bytes(LEAST_BYTES)}: the program alone takes two thirds",
        )


@dataclass(frozen=True, kw_only=True)
class ShardConfig(Config):
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
    memory: int = incidental(0)  # bytes; 0 = half of what there is

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_at_least("--min-chars", self.min_chars, 1)
        _check_at_least("--max-chars", self.max_chars, self.min_chars)
        _check_at_least("--shard-size", self.shard_size, 1)
        _check_memory(self.memory)
        for flag, paths in (("--src", self.src), ("--tgt", self.tgt)):
            if not paths:
                raise UsageError(f"{flag} names no file", hint=f"give {flag} FILE, or - for stdin")
        if (*self.src, *self.tgt).count(STDIN) > 1:
            raise UsageError("stdin (-) is asked for twice", hint="it can be one input only")
        self._check_fields()

    def _check_fields(self) -> None:
        """Refuse columns and keys that the format of the input does not have."""
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


@dataclass(frozen=True, kw_only=True)
class EncodeConfig(Config):
    """Which encoder turns sentences into vectors; holds all of `EncoderOptions`."""

    model: str = "auto"
    src_lang: str = ""  # "" = find out
    tgt_lang: str = ""
    seed: int = 1  # of the sample whose language is identified
    prompt: str | None = EncoderOptions.prompt
    max_length: int | None = EncoderOptions.max_length
    pooling: Pooling | None = EncoderOptions.pooling
    dtype: Dtype = EncoderOptions.dtype
    trust_remote_code: bool = EncoderOptions.trust_remote_code
    dim: int | None = None  # of the stored vectors, by PCA; None = the encoder's own
    store: Store = "fp16"  # number format of the stored vectors
    devices: tuple[str, ...] = incidental(())  # () = all GPUs, else the CPU
    batch_tokens: int = incidental(EncoderOptions.batch_tokens)
    compile: bool = incidental(EncoderOptions.compile)
    threads: int = incidental(0)  # 0 = all cores

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_at_least("--dim", self.dim, 1)
        _check_at_least("--max-length", self.max_length, LEAST_SENTENCE_TOKENS)
        if self.batch_tokens:
            _check_at_least("--batch-tokens", self.batch_tokens, LEAST_BATCH_TOKENS)
        _check_at_least("--seed", self.seed, 0)
        check_threads(self.threads)

    def options(self) -> EncoderOptions:
        """Return what concerns the encoder alone."""
        names = (item.name for item in fields(EncoderOptions))
        return EncoderOptions(**{name: getattr(self, name) for name in names})


@dataclass(frozen=True, kw_only=True)
class SearchConfig(Config):
    """How many neighbours to find, and how."""

    k: int = 4  # neighbours a direction, as in LASER
    search: str = "auto"  # exact, ivf, hnsw, or a factory string of FAISS
    seed: int = 1  # of the sample that an index is trained on
    memory: int = incidental(0)  # bytes; 0 = half of what there is
    devices: tuple[str, ...] = incidental(())  # () = all GPUs, else the CPU
    threads: int = incidental(0)  # 0 = all cores

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_at_least("-k", self.k, 1)
        if self.k > MOST_NEIGHBOURS:
            raise UsageError(f"-k is {self.k}", hint=f"give at most {MOST_NEIGHBOURS}")
        _check_at_least("--seed", self.seed, 0)
        check_threads(self.threads)
        _check_memory(self.memory)
        if self.search != search_method(self.search) or not self.search:
            raise UsageError(
                f"--search is {self.search!r}",
                hint=f"give one of {', '.join(SEARCH_METHODS)}, or a factory string of FAISS",
            )


def search_method(asked: str) -> str:
    """Return a search method as it is compared: factory strings of FAISS keep their case."""
    plain = asked.strip()
    return plain.lower() if plain.lower() in SEARCH_METHODS else plain


@dataclass(frozen=True, kw_only=True)
class SelectConfig(Config):
    """Which of the neighbours become pairs."""

    margin: Margin = "ratio"
    retrieval: Retrieval = "max"
    threshold: float | None = None  # None = the encoder's own
    top: int | None = None  # at most this many pairs, the best ones
    memory: int = incidental(0)  # bytes; 0 = half of what there is

    def __post_init__(self) -> None:
        super().__post_init__()
        _check_at_least("--top", self.top, 1)
        _check_memory(self.memory)
        if self.threshold is not None and not isfinite(self.threshold):
            raise UsageError(
                f"--threshold is {self.threshold}, not a finite number",
                hint="give a number such as 1.06",
            )


@dataclass(frozen=True, kw_only=True)
class OutputConfig(Config):
    """Where pairs go, and how they are written.

    Whether they can go there, and whether columns and languages suit the format, is checked by
    ``check_output`` of the stage that writes.
    """

    out: Path | None = None  # None = stdout, or the return value
    format: OutputFormat = "laser"
    columns: tuple[FieldName, ...] = ()  # of tsv; () = score, src, tgt
    rejects: Path | None = None


def limits_of(config: object) -> Limits:
    """Return what a config lets a run take of a machine; what it does not say is not limited."""
    free = Limits()
    return Limits(
        devices=getattr(config, "devices", free.devices),
        threads=getattr(config, "threads", free.threads),
        memory=getattr(config, "memory", free.memory),
    )


@dataclass(frozen=True, kw_only=True)
class MineConfig(ShardConfig, EncodeConfig, SearchConfig, SelectConfig, OutputConfig):
    """Every choice that can change the mined pairs, checked on creation.

    Only ``src`` and ``tgt`` must be given, each as one path or several. All fields are those of
    the stages.

    Raises
    ------
    UsageError
        A value is not of its field's type or out of range, or two of them contradict each other.
    """

    workdir: Path | None = None  # None = a private temporary one
