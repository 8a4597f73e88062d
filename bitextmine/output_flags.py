"""The flags of selection and output."""

import click

from bitextmine import config as choices
from bitextmine.flags import FILE, D, choice_of


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
