"""Reading text files: any compression, any of five formats, every line accounted for."""

import importlib
import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple, assert_never

from bitextmine.compression import open_input, raw_lines
from bitextmine.config import STDIN, ShardConfig
from bitextmine.errors import InputError

_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")
_SPACING_CONTROL = re.compile("[\t\n\v\f\r\x1c-\x1f\x85\u2028\u2029]+")


class Line(NamedTuple):
    """One line of an input file: a sentence, or the reason why it is none.

    Attributes
    ----------
    number : int
        Counted from 0.
    text : str
        Normalised; of a rejected line, what there was of it.
    key : str
        The user's own id; "" if there is none.
    reject : str
        Why it is no sentence; "" if it is accepted.
    mended : str
        What was changed on the way in: "", "control_characters" or "invalid_utf8".
    """

    number: int
    text: str
    key: str
    reject: str
    mended: str


def expand_inputs(patterns: Iterable[str]) -> tuple[str, ...]:
    """Turn the user's paths and globs into existing files, in order.

    Raises
    ------
    InputError
        A path does not exist, is a directory, or a pattern matches nothing.
    """
    return tuple(path for pattern in patterns for path in _matches(pattern))


def _matches(pattern: str) -> list[str]:
    """The files that one path or glob stands for."""
    if pattern == STDIN:
        return [pattern]
    try:
        anchor = Path(pattern).anchor
        exists = Path(pattern).exists()
        found = [pattern] if exists else map(str, Path(anchor).glob(pattern.removeprefix(anchor)))
        paths = sorted(found)
        folders = [path for path in paths if Path(path).is_dir()]
    except (OSError, ValueError, NotImplementedError) as error:
        cause = (getattr(error, "strerror", None) or str(error)).lower()
        raise InputError(
            f"cannot read {pattern}: {cause}", hint="check the path and its permissions"
        ) from error
    if folders:
        raise InputError(
            f"{folders[0]} is a directory",
            hint=f"name the files in it, for example '{folders[0]}/*.zst'",
        )
    if not paths:
        raise InputError(f"no such file: {pattern}", hint="check the path and its spelling")
    return paths


def read_lines(
    path: str, side: str, config: ShardConfig, on_bytes: Callable[[bytes], object] = len
) -> Iterator[Line]:
    """Read every line of one input file, normalised or rejected with a reason.

    Parameters
    ----------
    path : str
        The file, or "-" for stdin.
    side : str
        "src" or "tgt"; chooses the field.
    config : ShardConfig
        The format, and which lines count as sentences.
    on_bytes : callable
        Sees every raw chunk as it is read, for progress and checksums.

    Raises
    ------
    InputError
        The file cannot be read, is truncated or corrupt, or is not text.
    """
    if config.input_format == "parquet":
        fields = _parquet_fields(path, side, config)
    else:
        fields = _line_fields(path, side, config, on_bytes)
    for number, (text, key, reject, mended) in enumerate(fields):
        if reject:
            yield Line(number, text, key, reject, mended)
            continue
        text = text.strip()
        clean = normalise(text)
        if not mended and len(clean) != len(text) and _CONTROL.search(text):
            mended = "control_characters"
        yield Line(number, clean, key, _length_reason(clean, config), mended)


def normalise(text: str) -> str:
    """Bring a sentence into NFC, without control characters, trimmed.

    Controls that separate words (tab, line and page breaks) become one space,
    since a sentence must fit a line of a TSV; the others are dropped.
    """
    text = text.strip()
    if _CONTROL.search(text):
        text = _CONTROL.sub("", _SPACING_CONTROL.sub(" ", text)).strip()
    if not text.isascii() and not unicodedata.is_normalized("NFC", text):
        text = unicodedata.normalize("NFC", text)
    return text


def _length_reason(text: str, config: ShardConfig) -> str:
    if not text:
        return "blank"
    if len(text) < config.min_chars:
        return "too_short"
    if len(text) > config.max_chars:
        return "too_long"
    return ""


_Fields = Iterator[tuple[str, str, str, str]]
"""Text, key, reject and mended, as `Line` has them."""


def _line_fields(
    path: str, side: str, config: ShardConfig, on_bytes: Callable[[bytes], object]
) -> _Fields:
    pick = _field_picker(side, config)
    with open_input(path) as file:
        for number, raw in enumerate(raw_lines(file, path, on_bytes)):
            if raw is None:
                yield "", "", "too_long", ""
                continue
            mended = ""
            try:
                text = raw.decode()
            except UnicodeDecodeError as error:
                text = raw.decode(errors="replace")
                if config.on_invalid == "reject":
                    yield text, "", "invalid_utf8", ""
                    continue
                if config.on_invalid == "fail":
                    raise InputError(
                        f"{path}, line {number + 1}: not valid UTF-8 ({error.reason})",
                        hint="convert the file with iconv, or use --on-invalid reject or replace",
                    ) from error
                mended = "invalid_utf8"
            yield *pick(text), mended


def _field_picker(side: str, config: ShardConfig) -> Callable[[str], tuple[str, str, str]]:
    """Return a function from a line to (sentence, key, reject reason)."""
    field = config.text_field(side)
    match config.input_format:
        case "text":
            return lambda line: (line, "", "")
        case "ids":
            return _pick_ids
        case "tsv":
            column = int(field) - 1
            key_column = int(config.id_field) - 1 if config.id_field else None
            return lambda line: _pick_column(line, column, key_column)
        case "jsonl":
            return lambda line: _pick_json(line, field, config.id_field)
        case "parquet":
            raise AssertionError("Parquet has rows instead of lines")
        case _:
            assert_never(config.input_format)


def _pick_ids(line: str) -> tuple[str, str, str]:
    if not line.strip():
        return "", "", ""  # A blank line is blank, not a line without an id.
    key, tab, text = line.partition("\t")
    return (text, normalise(key), "") if tab else (line, "", "missing_field")


def _pick_column(line: str, column: int, key_column: int | None) -> tuple[str, str, str]:
    if not line.strip():
        return "", "", ""
    cells = line.rstrip("\r\n").split("\t")
    if max(column, key_column or 0) >= len(cells):
        return line, "", "missing_field"
    return cells[column], normalise(cells[key_column]) if key_column is not None else "", ""


def _pick_json(line: str, field: str, id_field: str) -> tuple[str, str, str]:
    if not line.strip():
        return "", "", ""
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return line, "", "invalid_json"
    if not isinstance(record, dict) or not isinstance(record.get(field), str):
        return line, "", "missing_field"
    if id_field and record.get(id_field) is None:
        return line, "", "missing_field"
    key = normalise(_encodable(str(record[id_field]))) if id_field else ""
    return _encodable(record[field]), key, ""


def _encodable(text: str) -> str:
    """Replace lone surrogates, which JSON can carry and UTF-8 cannot."""
    return text.encode(errors="replace").decode()


def _parquet_fields(path: str, side: str, config: ShardConfig) -> _Fields:
    try:
        parquet = importlib.import_module("pyarrow.parquet")  # It has no type hints.
        arrow = importlib.import_module("pyarrow")
    except ImportError as error:
        raise InputError(
            "reading Parquet needs the package pyarrow",
            hint="pip install 'bitextmine[parquet]'",
        ) from error
    names = [config.text_field(side), *([config.id_field] if config.id_field else [])]
    try:
        table = parquet.ParquetFile(path)
        missing = [name for name in names if name not in table.schema_arrow.names]
        if missing:
            raise InputError(
                f"{path} has no column {missing[0]!r}",
                hint=f"its columns are {', '.join(table.schema_arrow.names)}",
            )
        for batch in table.iter_batches(batch_size=10_000, columns=names):
            yield from (_pick_row(row, names) for row in batch.to_pylist())
    except (OSError, ValueError, arrow.ArrowException) as error:
        cause = str(error).splitlines()[0]
        raise InputError(
            f"cannot read {path} as Parquet: {cause}", hint="check that the file is whole"
        ) from error


def _pick_row(row: dict[str, Any], names: list[str]) -> tuple[str, str, str, str]:
    cells = [row[name] for name in names]
    if not isinstance(cells[0], str) or None in cells:
        return str(cells[0] or ""), "", "missing_field", ""
    return cells[0], normalise(str(cells[1])) if len(cells) > 1 else "", "", ""
