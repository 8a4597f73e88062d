"""The command line: flags become a config at once, then one library call.

Nothing heavy is imported here, so that ``--help`` and completion answer at once.
"""

import logging
import os
import signal
import sys
from pathlib import Path
from types import FrameType
from typing import Any

import click

from bitextmine import config as choices
from bitextmine.config import MineConfig
from bitextmine.errors import BitextmineError, UsageError
from bitextmine.flags import (
    ENCODER,
    INPUT,
    OUTPUT,
    SEARCH,
    SELECT,
    TALK,
    THREADS,
    options,
    workdir_option,
)
from bitextmine.version import __version__

EXIT_FAILED, EXIT_USAGE, EXIT_INTERRUPTED = 1, 2, 130
EXIT_BROKEN_PIPE = 128 + signal.SIGPIPE  # as any filter whose reader has gone


class Terminated(BaseException):
    """SIGTERM or SIGHUP arrived: unwind, so that temporary files are removed."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.exit_code = 128 + number


class ManyValues(click.Command):
    """Lets ``--src a b c`` mean ``--src a --src b --src c``, so that shell globs work."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Repeat the flag before every further value."""
        flags = [opt for p in self.params if getattr(p, "multiple", False) for opt in p.opts]
        spread: list[str] = []
        flag = ""  # of the values being read
        for arg in args:
            if arg.startswith("-") and arg != "-":
                flag = arg if arg in flags else ""
            elif flag and spread[-1] != flag:
                spread.append(flag)
            spread.append(arg)
        return super().parse_args(ctx, spread)


class HintingGroup(click.Group):
    """Turns every failure we can explain into a line of cause and a line of remedy."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Show the commands in the order of the journey, not of the alphabet."""
        return list(self.commands)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run the command; the only place that turns failures into exit codes."""
        try:
            return super().main(*args, **kwargs)
        except Terminated as signalled:
            sys.exit(signalled.exit_code)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the subcommand, explaining what goes wrong."""
        try:
            return super().invoke(ctx)
        except BitextmineError as error:
            _say("error", str(error), fg="red")
            _say("hint", error.hint, fg="cyan")
            ctx.exit(EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED)
        except KeyboardInterrupt:
            _say("interrupted", "a run with --workdir goes on where it stopped", fg="yellow")
            ctx.exit(EXIT_INTERRUPTED)
        except BrokenPipeError:
            # Python would complain once more when it flushes stdout at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(EXIT_BROKEN_PIPE)


def _say(label: str, text: str, *, fg: str) -> None:
    click.echo(f"{click.style(label, fg=fg, bold=True)}: {text}", err=True)


class _TalkHandler(logging.Handler):
    """Shows log records on stderr without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        styles = {logging.WARNING: ("warning", "yellow"), logging.ERROR: ("error", "red")}
        label, colour = styles.get(record.levelno, (record.levelname.lower(), "blue"))
        head = click.style(label, fg=colour, bold=True) if sys.stderr.isatty() else label
        tqdm.write(f"{head}: {record.getMessage()}", file=sys.stderr)


def _start(*, quiet: bool, verbose: bool) -> None:
    """Set up what a person sees on stderr, and end cleanly when told to stop."""
    from bitextmine.progress import show_bars

    if quiet and verbose:
        raise UsageError("--quiet and --verbose exclude each other", hint="choose one")
    log = logging.getLogger("bitextmine")
    log.handlers = [_TalkHandler()]
    log.setLevel(logging.ERROR if quiet else logging.INFO if verbose else logging.WARNING)
    show_bars(not quiet)

    def stop(number: int, frame: FrameType | None) -> None:
        raise Terminated(number)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, stop)


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
    workdir_option(
        "Keep all stages here, to resume or select again. Default: temporary.", required=False
    ),
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
    _start(quiet=quiet, verbose=verbose)
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
        f"{counts['pairs']:,} pairs from {counts['src']['unique']:,} x {counts['tgt']['unique']:,}"
        f" sentences in {card['seconds']['total']:.1f} s"
        f" ({card['encoder']['name']}, {card['settings']['select']['margin']} margin{least})"
        f" → {'stdout' if out is None else out}",
        err=True,
    )
    if counts["pairs"] == 0:
        _say(
            "hint", "no pair reaches the threshold; look at them all with --threshold 0", fg="cyan"
        )


@main.command()
def models() -> None:
    """List the encoders and whether they are ready.

    \b
    bitextmine models
    """
    from bitextmine.listing import model_listing

    click.echo(model_listing())


@main.command()
@click.option("--best", default=8, show_default=True, help="How many of the best pairs to show.")
@options(THREADS, TALK)
def demo(*, best: int, threads: int, quiet: bool, verbose: bool) -> None:
    """Mine the bundled sample and check the answers.

    \b
    bitextmine demo
    """
    _start(quiet=quiet, verbose=verbose)

    from bitextmine.demo import run_demo

    outcome = run_demo(threads=threads)
    for line in outcome.shown(best):
        click.echo(line)
    if not quiet:
        click.echo(outcome.summary, err=True)


_KEPT = "The work directory; made if it is missing."
_MADE = "The work directory of the stages before."


@main.command(cls=ManyValues)
@options(INPUT, workdir_option(_KEPT, required=True), TALK)
def shard(*, workdir: Path, quiet: bool, verbose: bool, **flags: Any) -> None:
    """Stage 1: read, normalise, drop duplicates, shard.

    \b
    bitextmine shard --workdir work --src de.txt.zst --tgt en.txt.zst
    """
    _start(quiet=quiet, verbose=verbose)
    config = choices.ShardConfig(**flags)
    config.check_sharding()
    _run_stage("shard", config, workdir)


@main.command()
@options(ENCODER, workdir_option(_MADE, required=True), THREADS, TALK)
def encode(*, workdir: Path, quiet: bool, verbose: bool, **flags: Any) -> None:
    """Stage 2: turn the sentences into vectors.

    \b
    bitextmine encode --workdir work --src-lang de --tgt-lang en
    """
    _start(quiet=quiet, verbose=verbose)
    config = choices.EncodeConfig(**flags)
    config.check_encoding()
    _run_stage("encode", config, workdir)


@main.command()
@options(SEARCH, workdir_option(_MADE, required=True), THREADS, TALK)
def search(*, workdir: Path, quiet: bool, verbose: bool, **flags: Any) -> None:
    """Stage 3: find the nearest neighbours, both ways.

    \b
    bitextmine search --workdir work -k 4
    """
    _start(quiet=quiet, verbose=verbose)
    config = choices.SearchConfig(**flags)
    config.check_searching()
    _run_stage("search", config, workdir)


def _run_stage(stage: str, config: Any, root: Path) -> None:
    from bitextmine import pipeline
    from bitextmine.runcard import RunCard
    from bitextmine.workdir import opened_workdir

    with opened_workdir(root) as workdir:
        getattr(pipeline, stage)(workdir, config, RunCard())


@main.command()
@options(SELECT, OUTPUT, workdir_option(_MADE, required=True), TALK)
def select(*, workdir: Path, quiet: bool, verbose: bool, **flags: Any) -> None:
    """Stage 4: choose pairs, again and again in seconds.

    \b
    bitextmine select --workdir work > pairs.tsv
    bitextmine select --workdir work --retrieval intersect --threshold 1.5 \\
        --format jsonl --out pairs.jsonl.zst
    """
    _start(quiet=quiet, verbose=verbose)
    names = {name: flags[name] for name in ("margin", "retrieval", "threshold", "top")}
    selecting = choices.SelectConfig(**names)
    selecting.check_selecting()
    output = choices.OutputConfig(**{k: v for k, v in flags.items() if k not in names})
    output.check_output()

    from bitextmine import pipeline
    from bitextmine.runcard import RunCard
    from bitextmine.workdir import opened_workdir

    pipeline.check_output(output, to_stream=True)
    with opened_workdir(workdir) as work:
        mined = pipeline.select(work, selecting, output, RunCard(), sink=sys.stdout.buffer)
    sys.stdout.flush()
    if not quiet:
        _summarise(mined.card, output.out)
