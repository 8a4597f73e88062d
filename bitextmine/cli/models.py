"""The commands of models: `models` lists them; `models pull`, `export` and `merge` make one."""

from pathlib import Path
from textwrap import wrap
from typing import TYPE_CHECKING

import click

from bitextmine.cli.flags import FILE, TALK, options
from bitextmine.cli.terminal import HintingGroup, start
from bitextmine.config import M_ST5_ADAPTER, M_ST5_BASE
from bitextmine.models import let_models_be_made

if TYPE_CHECKING:
    from bitextmine.encoders.base import EncoderInfo


@click.group(invoke_without_command=True, cls=HintingGroup)
@click.pass_context
def models(ctx: click.Context) -> None:
    """List the encoders and whether they are ready; fetch them.

    \b
    bitextmine models
    bitextmine models pull m-st5
    bitextmine models export e5-small --out DIR
    """
    if ctx.invoked_subcommand is not None:
        return
    let_models_be_made()
    click.echo(model_listing())


def model_listing() -> str:
    """Describe every encoder in a few lines each."""
    from bitextmine.encoders.registry import encoder_infos

    infos = encoder_infos()
    return "\n\n".join(_described(info, infos[:place]) for place, info in enumerate(infos))


def _described(info: "EncoderInfo", before: "tuple[EncoderInfo, ...]") -> str:
    from bitextmine.encoders.registry import readiness

    threshold = "none" if info.threshold is None else f"{info.threshold:g}"
    rows = [
        ("dimension", str(info.dim)),
        ("quality", info.quality or "no published figure at hand"),
        ("languages", f"{len(info.languages)}: {_languages(info, before)}"),
        ("weights", f"{info.package}, {info.size_mib:,} MiB"),
        ("licence", info.licence),
        ("threshold", f"{threshold} ({info.threshold_source})"),
        ("status", readiness(info.name)),
    ]
    lines = [f"{info.name}: {info.summary}"]
    lines += [f"    {label:<10} {_wrapped(value)}" for label, value in rows]
    return "\n".join(lines)


def _languages(info: "EncoderInfo", before: "tuple[EncoderInfo, ...]") -> str:
    same = next((other.name for other in before if other.languages == info.languages), None)
    return " ".join(sorted(info.languages)) if same is None else f"those of {same}"


def _wrapped(text: str, width: int = 84) -> str:
    return ("\n" + " " * 15).join(wrap(text, width) or [""])


@models.command()
@click.argument("name", metavar="MODEL")
@click.option("--out", type=FILE, default=None, help="Write here. Default: where --model looks.")
@click.option(
    "--base",
    metavar="MODEL",
    default=M_ST5_BASE,
    show_default=True,
    help="What the adapter of m-st5 was trained on: a hub id or a folder.",
)
@click.option(
    "--adapter",
    metavar="MODEL",
    default=M_ST5_ADAPTER,
    show_default=True,
    help="The adapter of m-st5: a hub id or a folder.",
)
@options(TALK)
def pull(
    *, name: str, out: Path | None, base: str, adapter: str, quiet: bool, verbose: bool
) -> None:
    """Fetch a model, so that it runs without internet.

    \b
    bitextmine models pull m-st5
    bitextmine models pull m-st5 --out "$SCRATCH/m-st5"       # then: --model "$SCRATCH/m-st5"
    bitextmine models pull m-st5 --base ./mt5-xxl --adapter ./m-ST5
    bitextmine models pull labse

    m-st5 is made of the encoder of mT5-xxl (50 GB to fetch) and a LoRA adapter; they
    are merged into 11 GB, with about 7 GB of memory. An interrupted pull goes on with
    the files and merged parts that are still missing.
    """
    start(quiet=quiet, verbose=verbose)

    from bitextmine.models.pull import pull as run

    folder = run(name, out=out, base=base, adapter=adapter)
    if not quiet:
        click.echo(f"{name} is in {folder}", err=True)


@models.command()
@click.argument("name", type=click.Choice(["e5-small"]))
@click.option("--out", type=FILE, required=True, help="A new folder.")
@options(TALK)
def export(*, name: str, out: Path, quiet: bool, verbose: bool) -> None:
    """Write an embedded encoder as a transformers checkpoint.

    \b
    bitextmine models export e5-small --out e5
    bitextmine mine --model ./e5 --src de.txt --tgt en.txt > pairs.tsv
    """
    start(quiet=quiet, verbose=verbose)

    from bitextmine.models.export_e5 import export_e5_small

    export_e5_small(out)
    if not quiet:
        click.echo(f"{name} is in {out}", err=True)


@models.command()
@click.argument("adapter", metavar="ADAPTER")
@click.option("--out", type=FILE, required=True, help="A new folder.")
@click.option(
    "--base",
    metavar="MODEL",
    default="",
    help="What the adapter was trained on: a folder or a hub id. Default: what it names.",
)
@options(TALK)
def merge(*, adapter: str, out: Path, base: str, quiet: bool, verbose: bool) -> None:
    """Make a model of a LoRA adapter and its base.

    \b
    bitextmine models merge adapter --out model
    bitextmine mine --model ./model --src de.txt --tgt en.txt > pairs.tsv
    """
    start(quiet=quiet, verbose=verbose)

    from bitextmine.models.merge import merge as run

    run(adapter, out=out, base=base)
    if not quiet:
        click.echo(f"the merged model is in {out}", err=True)
