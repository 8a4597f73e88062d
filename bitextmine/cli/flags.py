"""Every flag of the command line, in groups that the commands share."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from bitextmine import config as choices
from bitextmine.config import Dtype, MineConfig, Pooling
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


def choice_of(kind: Any) -> click.Choice[str]:
    """Offer the values of a Literal."""
    return click.Choice(list(get_args(kind)))


def _devices(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    return parse_devices(value) if value else ()


def _search(ctx: click.Context, param: click.Parameter, value: str) -> str:
    return choices.search_method(value)


def _memory(ctx: click.Context, param: click.Parameter, value: str) -> int:
    return parse_memory(value) if value else 0


D = MineConfig  # its class attributes are the defaults

INPUT = [
    click.option(
        "--src",
        multiple=True,
        required=True,
        metavar="FILE…",
        help="Source sentences, one a line: files, globs, or - for stdin. Plain or "
        ".zst .gz .xz .bz2.",
    ),
    click.option(
        "--tgt", multiple=True, required=True, metavar="FILE…", help="Target sentences, likewise."
    ),
    click.option(
        "--input-format",
        type=choice_of(choices.InputFormat),
        default=D.input_format,
        show_default=True,
        help="text: a sentence a line. ids: id<TAB>sentence, as in BUCC.",
    ),
    click.option(
        "--src-field",
        default=D.src_field,
        metavar="NAME",
        help="Column (tsv, from 1; default 1) or key (jsonl, parquet; default text) "
        "of the source sentences.",
    ),
    click.option(
        "--tgt-field",
        default=D.tgt_field,
        metavar="NAME",
        help="The same for the target sentences; default: as --src-field.",
    ),
    click.option(
        "--id-field",
        default=D.id_field,
        metavar="NAME",
        help="Column or key of your own sentence ids.",
    ),
    click.option(
        "--min-chars",
        type=int,
        default=D.min_chars,
        show_default=True,
        help="Reject shorter sentences.",
    ),
    click.option(
        "--max-chars",
        type=int,
        default=D.max_chars,
        show_default=True,
        help="Reject longer sentences.",
    ),
    click.option(
        "--on-invalid",
        type=choice_of(choices.InvalidText),
        default=D.on_invalid,
        show_default=True,
        help="What to do with a line that is not valid UTF-8.",
    ),
    click.option(
        "--shard-size",
        type=int,
        default=D.shard_size,
        show_default=True,
        metavar="N",
        help="Sentences a shard, about. Never changes the pairs.",
    ),
]

CHOICE = [
    click.option(
        "--model",
        metavar="MODEL",
        default=D.model,
        show_default=True,
        help="auto, a name from `bitextmine models`, a folder, or a hub id (owner/name).",
    ),
    click.option(
        "--src-lang",
        default=D.src_lang,
        metavar="CODE",
        help="Language of the source side (de, deu, zh-TW …); found out if not given.",
    ),
    click.option(
        "--tgt-lang", default=D.tgt_lang, metavar="CODE", help="Language of the target side."
    ),
]

DEVICES = [
    click.option(
        "--devices",
        default="",
        callback=_devices,
        metavar="LIST",
        help="Where to compute: cpu, cuda, cuda:0,1 … Default: every visible GPU, else the CPU.",
    ),
]

COMPUTING = [
    *DEVICES,
    click.option(
        "--dtype",
        type=choice_of(Dtype),
        default=D.dtype,
        show_default=True,
        help="Of a checkpoint's matrix products; auto: bfloat16 on a GPU, float32 on a CPU.",
    ),
    click.option(
        "--prompt",
        default=D.prompt,
        metavar="TEXT",
        help='Put before every sentence ("query: "); default: what the checkpoint says.',
    ),
    click.option(
        "--max-length",
        type=int,
        default=D.max_length,
        metavar="N",
        help="Tokens read of a sentence; default: what the checkpoint says.",
    ),
    click.option(
        "--pooling",
        type=choice_of(Pooling),
        default=D.pooling,
        help="From tokens to a vector; default: what the checkpoint says, else mean.",
    ),
    click.option(
        "--batch-tokens",
        type=int,
        default=D.batch_tokens,
        metavar="N",
        help="Tokens computed at once; 0, the default, chooses by device.",
    ),
    click.option(
        "--compile/--no-compile",
        default=D.compile,
        help="Compile a checkpoint for the GPU (a minute at the start, then faster).",
    ),
    click.option(
        "--trust-remote-code",
        is_flag=True,
        help="Run Python code that comes with the checkpoint.",
    ),
]

STORING = [
    click.option(
        "--dim",
        type=int,
        default=D.dim,
        metavar="N",
        help="Keep N dimensions of the vectors (PCA of a sample): less disk, faster search.",
    ),
    click.option(
        "--store",
        type=choice_of(choices.Store),
        default=D.store,
        show_default=True,
        help="Number format of the vectors on disk; int8 halves them.",
    ),
]

ENCODER = [*CHOICE, *COMPUTING, *STORING]

THREADS = [
    click.option(
        "--threads",
        type=int,
        default=D.threads,
        metavar="N",
        help="Processor cores to use; 0, the default, is all that this job may use.",
    ),
]

SEED = [
    click.option(
        "--seed",
        type=int,
        default=D.seed,
        show_default=True,
        help="Of every sample: to find out languages, to fit --dim, to train an index.",
    ),
]

MEMORY = [
    click.option(
        "--memory",
        default="",
        callback=_memory,
        metavar="SIZE",
        help="Main memory to take at most, the encoder aside: 8G … Default: half of what the"
        " machine or the job has.",
    ),
]

SEARCH = [
    click.option(
        "-k", "k", type=int, default=D.k, show_default=True, help="Neighbours a sentence."
    ),
    click.option(
        "--search",
        default=D.search,
        callback=_search,
        show_default=True,
        metavar="METHOD",
        help="exact, ivf, hnsw, a FAISS factory string (IVF4096,Flat), or auto: exact, unless"
        " that would take hours and an index would not.",
    ),
]

TALK = [
    click.option("-q", "--quiet", is_flag=True, help="Errors only: no progress, no summary."),
    click.option("-v", "--verbose", is_flag=True, help="Tell what is being done and decided."),
]


def workdir_option(help_text: str, *, required: bool) -> list[Callable[[Command], Command]]:
    """Return the flag of the work directory, which means something else to every command."""
    return [click.option("--workdir", type=FILE, required=required, help=help_text)]


def _columns(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


SELECT = [
    click.option(
        "--margin",
        type=choice_of(choices.Margin),
        default=D.margin,
        show_default=True,
        help="How a pair is scored against its neighbourhoods.",
    ),
    click.option(
        "--retrieval",
        type=choice_of(choices.Retrieval),
        default=D.retrieval,
        show_default=True,
        help="Which candidates become pairs; max is one-to-one.",
    ),
    click.option(
        "--threshold",
        type=float,
        default=None,
        metavar="T",
        help="Drop pairs that score less. Default: the encoder's own, about 90 % precision.",
    ),
    click.option(
        "--top", type=int, default=None, metavar="N", help="Keep the N best pairs at most."
    ),
]

OUTPUT = [
    click.option(
        "-o",
        "--out",
        type=FILE,
        default=None,
        help="Write here instead of stdout; compressed if it ends in .zst .gz .xz .bz2.",
    ),
    click.option(
        "--format",
        type=choice_of(choices.OutputFormat),
        default=D.format,
        show_default=True,
        help="laser: score<TAB>src<TAB>tgt, no header.",
    ),
    click.option(
        "--columns",
        default="",
        callback=_columns,
        metavar="A,B,…",
        help=f"Columns of --format tsv, from {', '.join(choices.COLUMNS)}.",
    ),
    click.option(
        "--rejects",
        type=FILE,
        default=None,
        help="Write every rejected or duplicate line here, with the reason.",
    ),
]
