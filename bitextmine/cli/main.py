"""The commands that mine: flags become a config at once, then one library call.

Nothing heavy is imported here, so that ``--help`` and completion answer at once.
"""

import sys
from dataclasses import fields
from pathlib import Path
from typing import Any

import click

from bitextmine import config as choices
from bitextmine.cli.evaluate import evaluate
from bitextmine.cli.flags import (
    DEVICES,
    ENCODER,
    INPUT,
    MEMORY,
    OUTPUT,
    SEARCH,
    SEED,
    SELECT,
    TALK,
    THREADS,
    options,
    workdir_option,
)
from bitextmine.cli.models import models
from bitextmine.cli.terminal import HintingGroup, ManyValues, say, start
from bitextmine.cli.train import train
from bitextmine.config import MineConfig
from bitextmine.version import __version__


@click.group(
    cls=HintingGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog='Shell completion: add  eval "$(_BITEXTMINE_COMPLETE=bash_source bitextmine)"  to'
    " ~/.bashrc (zsh_source and fish_source work likewise).",
)
@click.version_option(__version__, prog_name="bitextmine")
def main() -> None:
    """Find every translation pair in two piles of sentences.

    \b
    Try it:    bitextmine demo
    Use it:    bitextmine mine --src de.txt.zst --tgt en.txt.zst > pairs.tsv

    `mine` does everything. shard, encode, search and select do one stage each, over
    a work directory that can be moved, resumed, and selected from again in seconds.
    """


@main.command(cls=ManyValues)
@options(
    INPUT,
    ENCODER,
    SEARCH,
    SELECT,
    OUTPUT,
    SEED,
    workdir_option(
        "Keep all stages here, to resume or select again. Default: temporary.", required=False
    ),
    MEMORY,
    THREADS,
    TALK,
)
def mine(*, quiet: bool, verbose: bool, **flags: Any) -> None:
    """Mine translation pairs from two corpora.

    \b
    bitextmine mine --src de.txt.zst --tgt en.txt.zst > pairs.tsv
    zcat de.gz | bitextmine mine --src - --tgt en/*.zst --out pairs.tsv.zst
    bitextmine mine --src de.txt --tgt en.txt --workdir work --out pairs.tsv
    bitextmine mine --src x.de --tgt x.en --input-format ids \\
        --format tsv --columns score,src_id,tgt_id

    Pairs go to stdout, best first: score<TAB>src<TAB>tgt. The score is the ratio
    margin: the cosine of the pair over the mean cosine of both neighbourhoods.
    """
    start(quiet=quiet, verbose=verbose)
    config = MineConfig(**flags)

    from bitextmine.pipeline import mine as run

    mined = run(config, sink=sys.stdout.buffer)
    sys.stdout.flush()
    if not quiet:
        _summarise(mined.card, config.out)


def _summarise(card: dict[str, Any], out: Path | None) -> None:
    counts, threshold = card["counts"], card["threshold"]["value"]
    least = "" if threshold is None else f" ≥ {threshold:g}"
    click.echo(
        f"{counts['pairs']:,} pair{'s' * (counts['pairs'] != 1)}"
        f" from {counts['src']['unique']:,} x {counts['tgt']['unique']:,}"
        f" sentences in {card['seconds']['total']:.1f} s"
        f" ({card['encoder']['name']}, {card['settings']['select']['margin']} margin{least})"
        f" → {'stdout' if out is None else out}",
        err=True,
    )
    if counts["pairs"] == 0:
        say("hint", "no pair reaches the threshold; look at them all with --threshold 0", fg="cyan")


main.add_command(models)  # here, since help shows the commands in this order


@main.command()
@click.option(
    "--best",
    type=click.IntRange(min=0),
    default=8,
    show_default=True,
    help="How many of the best pairs to show.",
)
@options(THREADS, TALK)
def demo(*, best: int, threads: int, quiet: bool, verbose: bool) -> None:
    """Mine the bundled sample and check the answers.

    \b
    bitextmine demo
    """
    start(quiet=quiet, verbose=verbose)

    from bitextmine.demo import run_demo

    outcome = run_demo(threads=threads)
    for line in outcome.format_best(best):
        click.echo(line)
    if not quiet:
        click.echo(outcome.summary, err=True)


_KEPT = "The work directory; made if it is missing."
_MADE = "The work directory of the stages before."


@main.command(cls=ManyValues)
@options(INPUT, workdir_option(_KEPT, required=True), MEMORY, TALK)
def shard(*, workdir: Path, quiet: bool, verbose: bool, **flags: Any) -> None:
    """Stage 1: read, normalise, drop duplicates, shard.

    \b
    bitextmine shard --workdir work --src de.txt.zst --tgt en.txt.zst
    """
    start(quiet=quiet, verbose=verbose)
    config = choices.ShardConfig(**flags)

    from bitextmine.pipeline import shard_workdir

    shard_workdir(workdir, config)


@main.command()
@options(ENCODER, SEED, workdir_option(_MADE, required=True), THREADS, TALK)
def encode(*, workdir: Path, quiet: bool, verbose: bool, **flags: Any) -> None:
    """Stage 2: turn the sentences into vectors.

    \b
    bitextmine encode --workdir work --src-lang de --tgt-lang en
    """
    start(quiet=quiet, verbose=verbose)
    config = choices.EncodeConfig(**flags)

    from bitextmine.pipeline import encode_workdir

    encode_workdir(workdir, config)


@main.command()
@options(SEARCH, SEED, workdir_option(_MADE, required=True), DEVICES, MEMORY, THREADS, TALK)
def search(*, workdir: Path, quiet: bool, verbose: bool, **flags: Any) -> None:
    """Stage 3: find the nearest neighbours, both ways.

    \b
    bitextmine search --workdir work -k 4
    bitextmine search --workdir work --memory 8G --search ivf
    """
    start(quiet=quiet, verbose=verbose)
    config = choices.SearchConfig(**flags)

    from bitextmine.pipeline import search_workdir

    search_workdir(workdir, config)


@main.command()
@options(SELECT, OUTPUT, workdir_option(_MADE, required=True), MEMORY, TALK)
def select(*, workdir: Path, quiet: bool, verbose: bool, **flags: Any) -> None:
    """Stage 4: choose pairs, again and again in seconds.

    \b
    bitextmine select --workdir work > pairs.tsv
    bitextmine select --workdir work --retrieval intersect --threshold 1.5 \\
        --format jsonl --out pairs.jsonl.zst
    """
    start(quiet=quiet, verbose=verbose)
    names = {f.name: flags[f.name] for f in fields(choices.SelectConfig)}
    selecting = choices.SelectConfig(**names)
    output = choices.OutputConfig(**{k: v for k, v in flags.items() if k not in names})

    from bitextmine.pipeline import select_workdir

    mined = select_workdir(workdir, selecting, output, sink=sys.stdout.buffer)
    sys.stdout.flush()
    if not quiet:
        _summarise(mined.card, output.out)


main.add_command(evaluate)
main.add_command(train)
