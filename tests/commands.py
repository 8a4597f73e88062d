"""Running commands as tests do."""

from click.testing import CliRunner, Result

from bitextmine.cli.main import main


def run(*args: object, stdin: bytes = b"") -> Result:
    """Run a command in this process, with stdout and stderr apart."""
    return CliRunner().invoke(main, [str(arg) for arg in args], input=stdin)


def explained(result: Result, code: int = 1) -> str:
    """Check that a failure is told in two lines, and return them."""
    assert result.exit_code == code, result.output
    assert result.stdout == ""
    lines = [line for line in result.stderr.splitlines() if not line.startswith("warning: ")]
    assert len(lines) == 2, result.stderr
    assert lines[0].startswith("error: ")
    assert lines[1].startswith("hint: ")
    return "\n".join(lines)
