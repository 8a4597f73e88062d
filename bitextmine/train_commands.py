"""The commands that train: flags become a config at once, then one library call."""

from pathlib import Path
from typing import Any

import click

from bitextmine.flags import FILE, TALK, THREADS, options
from bitextmine.terminal import ManyValues, start
from bitextmine.train_flags import ADAPTER, DATA, EVALUATION, OPTIMISER
from bitextmine.training.config import TrainConfig


@click.command(cls=ManyValues)
@options(DATA, ADAPTER, OPTIMISER, EVALUATION, THREADS, TALK)
def train(*, quiet: bool, verbose: bool, **flags: Any) -> None:
    """Train an encoder on inference data (m-ST5, mSimCSE).

    \b
    bitextmine models export e5-small --out e5
    bitextmine train --model ./e5 --data xnli.dev.*.tsv --out adapter
    bitextmine models merge adapter --out my-model
    bitextmine mine --model ./my-model --src de.txt --tgt en.txt > pairs.tsv
    torchrun --nproc-per-node 8 -m bitextmine train --model google/mt5-xxl \\
        --gradient-checkpointing --data multinli.train.*.tsv --out adapter

    A sentence is drawn to one that follows from it, and away from one that contradicts it and
    from all others of the batch. OUT then holds the adapter (or, with --method full, the model),
    training.json with every setting and figure, loss.csv, scores.csv and curves.png.

    A stopped run goes on where it was: give the same command again. Defaults are those of
    mSimCSE's scripts (github.com/yaushian/mSimCSE) or chosen here, as said at each; those of
    m-ST5 are not published. It needs pip install 'bitextmine[train]'.
    """
    start(quiet=quiet, verbose=verbose)
    config = TrainConfig(**flags)

    from bitextmine.training.run import train as run

    trained = run(config)
    if not quiet and trained.card:
        click.echo(_summary(trained.folder, trained.card), err=True)


def _summary(folder: Path, card: Any) -> str:
    kept = card["kept"]
    scores = ", ".join(f"{name} {value:.2f}" for name, value in kept.get("scores", {}).items())
    return (
        f"{card['triplets']:,} triplets of {card['source_rows']:,} source rows,"
        f" {card['steps']:,} steps in {card['seconds']:.0f} s;"
        f" kept step {kept['step']:,}{f' ({scores})' if scores else ''} → {folder}"
    )


@click.command()
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

    from bitextmine.models.merging import merge as run

    run(adapter, out=out, base=base)
    if not quiet:
        click.echo(f"the merged model is in {out}", err=True)
