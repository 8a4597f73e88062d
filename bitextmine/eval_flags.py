"""The flags that every command of ``eval`` has, beside those of an encoder."""

import click

from bitextmine.flags import FILE

_FORMATS = ("table", "json", "csv")
MODEL = [
    click.option(
        "--model",
        "models",
        metavar="MODEL…",
        multiple=True,
        required=True,
        help="A name from `bitextmine models`, a folder, or a hub id; several stand side by side.",
    ),
]
REPORT = [
    click.option(
        "--format",
        "form",
        type=click.Choice(_FORMATS),
        default="table",
        show_default=True,
        help="table: for people. json: with all details. csv: one row a model and line.",
    ),
    click.option(
        "-o",
        "--out",
        type=FILE,
        default=None,
        help="Write to this file instead of stdout, with a run card (.run.json) beside it.",
    ),
    click.option(
        "--save",
        type=FILE,
        default=None,
        help="Keep the figures in this file as well, as JSON, with a run card beside it.",
    ),
]
