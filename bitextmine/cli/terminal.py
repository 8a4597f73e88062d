"""What surrounds every command: exit codes, errors in two lines, log lines, signals."""

import errno
import logging
import os
import signal
import sys
from types import FrameType
from typing import Any

import click

from bitextmine.errors import BitextmineError, UsageError

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
            say("error", str(error), fg="red")
            say("hint", error.hint, fg="cyan")
            ctx.exit(EXIT_USAGE if isinstance(error, UsageError) else EXIT_FAILED)
        except MemoryError:
            say("error", "there is not enough memory", fg="red")
            say("hint", "give the job more, or the command a smaller --memory", fg="cyan")
            ctx.exit(EXIT_FAILED)
        except KeyboardInterrupt:
            goes_on = "with --workdir, or in training, the same command goes on where it stopped"
            say("interrupted", goes_on, fg="yellow")
            ctx.exit(EXIT_INTERRUPTED)
        except BrokenPipeError:
            # Python would complain once more when it flushes stdout at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(EXIT_BROKEN_PIPE)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
                raise
            say("error", f"cannot write stdout: {os.strerror(error.errno).lower()}", fg="red")
            say("hint", "free some space there, or write to another disk", fg="cyan")
            ctx.exit(EXIT_FAILED)


def say(label: str, text: str, *, fg: str) -> None:
    """Tell a person one line on stderr, its label in colour."""
    click.echo(f"{click.style(label, fg=fg, bold=True)}: {text}", err=True)


class _TalkHandler(logging.Handler):
    """Shows log records on stderr without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        from tqdm import tqdm

        styles = {logging.WARNING: ("warning", "yellow"), logging.ERROR: ("error", "red")}
        label, colour = styles.get(record.levelno, (record.levelname.lower(), "blue"))
        head = click.style(label, fg=colour, bold=True) if sys.stderr.isatty() else label
        tqdm.write(f"{head}: {record.getMessage()}", file=sys.stderr)


def start(*, quiet: bool, verbose: bool) -> None:
    """Set up what a person sees on stderr, and end cleanly when told to stop."""
    from bitextmine.progress import show_bars

    if sys.stdout is None:
        raise UsageError("stdout is closed", hint="leave it open, or add > /dev/null")
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

    from bitextmine.models import let_models_be_made

    let_models_be_made()
