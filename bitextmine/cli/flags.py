"""Flags that several commands share, each drawn from the field of a config that it fills."""

from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from types import NoneType
from typing import Any, Literal, TypeVar, get_args, get_origin

import click

from bitextmine.config import COLUMNS, Config, MineConfig, field_types, search_method
from bitextmine.machine import parse_devices, parse_memory

Command = TypeVar("Command", bound=Callable[..., Any])

FILE = click.Path(path_type=Path)


def options(*groups: Sequence[Callable[[Command], Command]]) -> Callable[[Command], Command]:
    """Put groups of options on a command, in the order in which help shows them."""

    def decorate(command: Command) -> Command:
        for option in reversed([option for group in groups for option in group]):
            command = option(command)
        return command

    return decorate


def flag(
    name: str,
    help_text: str,
    *,
    config: type[Config] = MineConfig,
    short: str | None = None,
    parse: Callable[[str], Any] | None = None,
    **also: Any,
) -> Callable[[Command], Command]:
    """Return the flag that fills a field of a config, with the field's type and default.

    Parameters
    ----------
    name : str
        As the field is called: ``--max-chars``; with a second name that turns a switch off,
        ``--compile/--no-compile``.
    help_text : str
        What ``--help`` says of it.
    config : type
        Whose field it is.
    short : str or None
        One more name, of one letter.
    parse : callable or None
        What makes the field's value of the text that was given, where the type alone does not
        tell: "" is then what nobody gave.
    **also
        What click takes besides, or instead of what the field tells.
    """
    field_name = name.partition("/")[0].lstrip("-").replace("-", "_")
    default = {item.name: item.default for item in fields(config)}[field_name]
    (kind,) = (kind for kind in field_types(config)[field_name] if kind is not NoneType)
    told: dict[str, Any] = _click_type(kind) if parse is None else {"type": parse}
    if default is MISSING or also.get("required"):
        told["required"] = True
    else:
        told["default"] = default if parse is None or isinstance(default, str) else ""
        # One that stands for another choice, such as 0 or None, is for the help text to tell.
        told["show_default"] = bool(default) and not isinstance(default, bool)
    return click.option(*filter(None, (short, name)), help=help_text, **told | also)


def _click_type(kind: Any) -> dict[str, Any]:
    """Say a field's type in click's words."""
    if get_origin(kind) is Literal:
        return {"type": click.Choice(get_args(kind))}
    if get_origin(kind) is tuple:
        return {"multiple": True}
    if kind is bool:
        return {"is_flag": True}
    return {"type": FILE if kind is Path else kind}


def names(text: str) -> tuple[str, ...]:
    """Split what is joined by commas."""
    return tuple(name.strip() for name in text.split(",") if name.strip())


def _devices(text: str) -> tuple[str, ...]:
    return parse_devices(text) if text else MineConfig.devices


def _memory(text: str) -> int:
    return parse_memory(text) if text else MineConfig.memory


INPUT = [
    flag(
        "--src",
        "Source sentences, one a line: files, globs, or - for stdin. Plain or .zst .gz .xz .bz2.",
        metavar="FILE…",
    ),
    flag("--tgt", "Target sentences, likewise.", metavar="FILE…"),
    flag("--input-format", "text: a sentence a line. ids: id<TAB>sentence, as in BUCC."),
    flag(
        "--src-field",
        "Column (tsv, from 1; default 1) or key (jsonl, parquet; default text)"
        " of the source sentences.",
        metavar="NAME",
    ),
    flag(
        "--tgt-field",
        "The same for the target sentences; default: as --src-field.",
        metavar="NAME",
    ),
    flag("--id-field", "Column or key of your own sentence ids.", metavar="NAME"),
    flag("--min-chars", "Reject shorter sentences."),
    flag("--max-chars", "Reject longer sentences."),
    flag("--on-invalid", "What to do with a line that is not valid UTF-8."),
    flag("--shard-size", "Sentences a shard, about. Never changes the pairs.", metavar="N"),
]

DEVICES = [
    flag(
        "--devices",
        "Where to compute: cpu, cuda, cuda:0,1 … Default: every visible GPU, else the CPU.",
        parse=_devices,
        metavar="LIST",
    ),
]

COMPUTING = [
    *DEVICES,
    flag(
        "--dtype",
        "Of a checkpoint's matrix products; auto: bfloat16 on a GPU, float32 on a CPU.",
    ),
    flag(
        "--prompt",
        'Put before every sentence ("query: "); default: what the checkpoint says.',
        metavar="TEXT",
    ),
    flag(
        "--max-length",
        "Tokens read of a sentence; default: what the checkpoint says.",
        metavar="N",
    ),
    flag("--pooling", "From tokens to a vector; default: what the checkpoint says, else mean."),
    flag(
        "--batch-tokens",
        "Tokens computed at once; 0, the default, chooses by device.",
        metavar="N",
    ),
    flag(
        "--compile/--no-compile",
        "Compile a checkpoint for the GPU (a minute at the start, then faster).",
    ),
    flag("--trust-remote-code", "Run Python code that comes with the checkpoint."),
]

ENCODER = [
    flag(
        "--model",
        "auto, a name from `bitextmine models`, a folder, or a hub id (owner/name).",
        metavar="MODEL",
    ),
    flag(
        "--src-lang",
        "Language of the source side (de, deu, zh-TW …); found out if not given.",
        metavar="CODE",
    ),
    flag("--tgt-lang", "Language of the target side.", metavar="CODE"),
    *COMPUTING,
    flag(
        "--dim",
        "Keep N dimensions of the vectors (PCA of a sample): less disk, faster search.",
        metavar="N",
    ),
    flag("--store", "Number format of the vectors on disk; int8 halves them."),
]

SEARCH = [
    flag("-k", "Neighbours a sentence."),
    flag(
        "--search",
        "exact, ivf, hnsw, a FAISS factory string (IVF4096,Flat), or auto: exact, unless"
        " that would take hours and an index would not.",
        parse=search_method,
        metavar="METHOD",
    ),
]

SELECT = [
    flag("--margin", "How a pair is scored against its neighbourhoods."),
    flag("--retrieval", "Which candidates become pairs; max is one-to-one."),
    flag(
        "--threshold",
        "Drop pairs that score less. Default: the encoder's own, about 90 % precision.",
        metavar="T",
    ),
    flag("--top", "Keep the N best pairs at most.", metavar="N"),
]

OUTPUT = [
    flag(
        "--out",
        "Write here instead of stdout; compressed if it ends in .zst .gz .xz .bz2.",
        short="-o",
    ),
    flag("--format", "laser: score<TAB>src<TAB>tgt, no header."),
    flag(
        "--columns",
        f"Columns of --format tsv, from {', '.join(COLUMNS)}.",
        parse=names,
        metavar="A,B,…",
    ),
    flag("--rejects", "Write every rejected or duplicate line here, with the reason."),
]

SEED = [
    flag("--seed", "Of every sample: to find out languages, to fit --dim, to train an index."),
]

MEMORY = [
    flag(
        "--memory",
        "Main memory to take at most, the encoder aside: 8G … Default: half of what the"
        " machine or the job has.",
        parse=_memory,
        metavar="SIZE",
    ),
]

THREADS = [
    flag(
        "--threads",
        "Processor cores to use; 0, the default, is all that this job may use.",
        metavar="N",
    ),
]

TALK = [
    click.option("-q", "--quiet", is_flag=True, help="Errors only: no progress, no summary."),
    click.option("-v", "--verbose", is_flag=True, help="Tell what is being done and decided."),
]


def workdir_option(help_text: str, *, required: bool) -> list[Callable[[Command], Command]]:
    """Return the flag of the work directory, which means something else to every command."""
    return [flag("--workdir", help_text, required=required)]
