"""Running commands as tests do."""

import sys

from click.testing import CliRunner, Result

from bitextmine.cli.main import main

PROGRAM = [sys.executable, "-m", "bitextmine"]


def run(*args: object, stdin: bytes = b"") -> Result:
    """Run a command in this process, with stdout and stderr apart."""
    return CliRunner().invoke(main, [str(arg) for arg in args], input=stdin)


def mine_toy(src: object, tgt: object, *more: object, stdin: bytes = b"") -> Result:
    """Mine two files with the toy encoder, which a test has registered."""
    langs = ("--src-lang", "de", "--tgt-lang", "en")
    return run("mine", "--src", src, "--tgt", tgt, "--model", "toy", *langs, *more, stdin=stdin)


def explained(result: Result, code: int = 1) -> str:
    """Check that a failure is told in two lines, and return them."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 2, result.stderr
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("hint: ")
    return "\n".join(lines)
