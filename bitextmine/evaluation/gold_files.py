"""Test files as their owners lay them out, read strictly: a wrong line is named, never skipped."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from bitextmine.compression import open_input, raw_lines
from bitextmine.errors import InputError

# A test file may be compressed.
COMPRESSED_ENDINGS = ("", ".zst", ".gz", ".xz", ".bz2")


def require_folder(folder: Path, layout: str) -> None:
    """Check that a data folder is there.

    Parameters
    ----------
    folder : Path
        What ``--data`` says.
    layout : str
        Which files are expected in it, and where they come from: the hint.

    Raises
    ------
    InputError
        There is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"{folder} is no folder", hint=layout)


def find_file(folder: Path, name: str) -> Path | None:
    """Return the file of this name, compressed or not, if there is one."""
    return next(
        (path for end in COMPRESSED_ENDINGS if (path := folder / f"{name}{end}").is_file()), None
    )


def distinct_names(paths: Sequence[Path]) -> list[str]:
    """Return the names of files for a table; with their folders where two have the same."""
    counts = Counter(path.name for path in paths)
    return [path.name if counts[path.name] == 1 else str(path) for path in paths]


def read_text_lines(path: Path) -> list[str]:
    """Read every line of a text file, without its end.

    Raises
    ------
    InputError
        It cannot be read, is damaged, is not UTF-8, or has no line.
    """
    lines = []
    with open_input(str(path)) as file:
        for number, raw in enumerate(raw_lines(file, str(path)), start=1):
            try:
                lines.append((raw or b"").decode().rstrip("\r"))
            except UnicodeDecodeError as error:
                raise InputError(
                    f"{path}, line {number}: not valid UTF-8 ({error.reason})",
                    hint="convert the file with iconv, or fetch it again",
                ) from error
    if not lines:
        raise InputError(f"{path} is empty", hint="fetch or make the file again")
    return lines


def read_sentences(path: Path) -> list[str]:
    """Read one sentence a line, trimmed.

    Raises
    ------
    InputError
        As for `read_text_lines`; or a line is blank, which would be nobody's translation.
    """
    sentences = [line.strip() for line in read_text_lines(path)]
    if "" in sentences:
        raise InputError(
            f"{path}, line {sentences.index('') + 1} is blank",
            hint="remove the line here and on the other side",
        )
    return sentences


def read_score(text: str, place: str) -> float:
    """Read a similarity that a person gave.

    Raises
    ------
    InputError
        It is no finite number.
    """
    try:
        score = float(text)
        if not abs(score) < float("inf"):
            raise ValueError
    except ValueError:
        raise InputError(
            f"{place}: the score is {text[:40]!r}, not a number",
            hint="scores go from 0 to 5, as in 3.4; check the order of the columns",
        ) from None
    return score
