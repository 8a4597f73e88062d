"""From a stream of pairs to stdout or to files, which appear whole or not at all."""

import errno
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from typing import BinaryIO, assert_never

from bitextmine.compression import compressed, is_compressed
from bitextmine.errors import OutputError, UsageError
from bitextmine.files import ByteSink, atomic_write, explained_write
from bitextmine.write.jsonl import jsonl_format
from bitextmine.write.options import OutputOptions
from bitextmine.write.records import Pair, PairFormat
from bitextmine.write.tables import laser_format, moses_format, tsv_format
from bitextmine.write.tmx import tmx_format

_MOST_LINKS = 40  # as the system follows; more is a loop


def write_pairs(pairs: Iterable[Pair], sink: ByteSink, options: OutputOptions) -> int:
    """Write pairs to an open binary stream, such as ``sys.stdout.buffer``.

    Parameters
    ----------
    pairs : iterable of Pair
        Taken one at a time, so memory does not grow with their number.
    sink : ByteSink
        Stays open and is not flushed.
    options : OutputOptions
        Any format but moses, which is several files.

    Returns
    -------
    int
        Number of pairs written.

    Raises
    ------
    UsageError
        The format needs several files.
    OutputError
        The stream does not take the bytes.
    BrokenPipeError
        The reader has gone; what to do about that is the caller's business.
    """
    check_destination(None, options)
    with explained_write(Path("stdout")):
        return _chosen_format(options).write(pairs, [sink])


def save_pairs(pairs: Iterable[Pair], out: Path, options: OutputOptions) -> int:
    """Write pairs to a file, compressed as its name says, or to the files of the format moses.

    The file has its name only when it is complete; when anything fails, an interrupt included,
    what was there before stays. The files of moses get their names together, after the last
    byte of each of them is on disk. Pipes and devices, which cannot be replaced, are written to.

    Parameters
    ----------
    pairs : iterable of Pair
        Taken one at a time, so memory does not grow with their number.
    out : Path
        The file; for moses the prefix, so ``news.gz`` makes ``news.de.gz`` and so on.
    options : OutputOptions
        Any format.

    Returns
    -------
    int
        Number of pairs written.

    Raises
    ------
    OutputError
        The system refuses: no such folder, no permission, no space.
    """
    paths = destinations(out, options)
    with explained_write(out), ExitStack() as commits:
        files = [commits.enter_context(_opened(path)) for path in paths]
        with ExitStack() as streams:
            sinks = [streams.enter_context(compressed(file, out.suffix)) for file in files]
            n_pairs = _chosen_format(options).write(pairs, sinks)
        for file in files:
            _sync(file)  # a full disk must show before the first file gets its name
    return n_pairs


def check_destination(out: Path | None, options: OutputOptions) -> None:
    """Fail now rather than after hours of mining, if the output cannot go where it should.

    Parameters
    ----------
    out : Path or None
        What `save_pairs` will get; None stands for stdout.
    options : OutputOptions
        What it will be written as.

    Raises
    ------
    UsageError
        The format needs several files and there is no prefix for their names.
    OutputError
        The folder does not exist or takes no files, or the name is that of a folder.
    """
    n_files = len(_chosen_format(options).endings)
    if out is not None:
        for path in destinations(out, options):
            check_file(path)
    elif n_files > 1:
        raise UsageError(
            f"--format {options.format} writes {n_files} files, stdout is only one",
            hint="add --out PREFIX, or choose --format laser",
        )


def destinations(out: Path, options: OutputOptions) -> list[Path]:
    """Return every file that `save_pairs` writes."""
    return [_destination(out, ending) for ending in _chosen_format(options).endings]


def check_file(path: Path) -> None:
    """Fail now, if `open_output` could not make this file later.

    Raises
    ------
    OutputError
        The folder does not exist or takes no files, or the name is that of a folder.
    """
    with explained_write(path):
        if path.is_dir():
            raise OutputError(
                f"cannot write {path}: it is a folder", hint="give the name of a file"
            )
        if not is_special(path):
            with tempfile.TemporaryFile(dir=path.resolve().parent):
                pass


@contextmanager
def open_output(path: Path) -> Iterator[ByteSink]:
    """Open one file, compressed as its name says, that appears whole or not at all.

    Raises
    ------
    OutputError
        The system refuses: no such folder, no permission, no space.
    """
    with (
        explained_write(path),
        _opened(path) as file,
        compressed(file, path.suffix) as sink,
    ):
        yield sink


def _chosen_format(options: OutputOptions) -> PairFormat:
    """What writes the pairs; a new format joins here, and in `config.OutputFormat`."""
    match options.format:
        case "laser":
            return laser_format()
        case "tsv":
            return tsv_format(options)
        case "moses":
            return moses_format(options)
        case "tmx":
            return tmx_format(options)
        case "jsonl":
            return jsonl_format()
        case _:
            assert_never(options.format)


def _destination(out: Path, ending: str) -> Path:
    """Put the ending before the suffix of the compression, if there is one."""
    if is_compressed(out.suffix):
        return out.with_name(f"{out.stem}{ending}{out.suffix}")
    return out.with_name(f"{out.name}{ending}")


def _opened(path: Path) -> AbstractContextManager[BinaryIO]:
    """Open a new file that gets its name at the end; a link stays a link to it."""
    if is_special(path):
        return path.open("ab")  # behind /dev/stdout may be a file that others append to
    return atomic_write(path.resolve())


def is_special(path: Path) -> bool:
    """Tell whether this is a pipe, a device or an open stream, which must not be replaced."""
    for _ in range(_MOST_LINKS):
        if _is_among_devices(path):
            return True
        if not path.is_symlink():
            return path.exists() and not path.is_file() and not path.is_dir()
        path = path.parent.absolute() / path.readlink()
    raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))


def _is_among_devices(path: Path) -> bool:
    """Tell by the name alone: /dev/shm holds ordinary files, in memory."""
    in_dev = path.is_relative_to("/dev") and not path.is_relative_to("/dev/shm")
    return in_dev or path.is_relative_to("/proc")


def _sync(file: BinaryIO) -> None:
    """Bring a file to the disk; pipes and devices have none."""
    file.flush()
    try:
        os.fsync(file.fileno())
    except OSError as error:
        if error.errno != errno.EINVAL:
            raise
