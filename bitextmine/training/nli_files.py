"""Files of inference data, read a row at a time; every error names file and line."""

import csv
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import PurePath
from typing import Any, Literal, NamedTuple, NoReturn

from bitextmine.compression import open_input, raw_lines
from bitextmine.errors import InputError
from bitextmine.languages import language_name, normalise_language

Layout = Literal["xnli", "multinli", "plain", "csv", "jsonl"]

ENTAILMENT, NEUTRAL, CONTRADICTION, UNUSED = 0, 1, 2, 3
LABELS = {
    "entailment": ENTAILMENT,
    "neutral": NEUTRAL,
    "contradiction": CONTRADICTION,
    "contradictory": CONTRADICTION,  # In XNLI-MT.
    "-": UNUSED,  # Where the annotators did not agree.
}
_SIMCSE = ["sent0", "sent1", "hard_neg"]
_KEYS = ("premise", "entailment", "contradiction")
_LAYOUTS = (
    "a layout is known by its first line: XNLI-1.0 (gold_label, sentence1, … by tabs),"
    " MultiNLI (premise, hypo, label), label<TAB>premise<TAB>hypothesis,"
    " CSV (sent0,sent1,hard_neg), or JSON lines"
)


class NliRow(NamedTuple):
    """A premise and a hypothesis, and how they relate."""

    language: str
    label: int
    premise: str
    hypothesis: str


class Triplet(NamedTuple):
    """A premise, what follows from it, and what contradicts it.

    ``group`` names the source row; "" stands for the premise.
    """

    premise: str
    entailment: str
    contradiction: str
    group: str


class _Line(NamedTuple):
    number: int
    text: str


def layout_of(path: str) -> Layout:
    """Recognise by the first line how a file is laid out.

    Raises
    ------
    InputError
        It is empty, unreadable, or laid out in no way that we know.
    """
    first = next(_lines(path, len), None)
    if first is None:
        raise InputError(f"{path} is empty", hint="give a file with inference data or triplets")
    cells = first.text.split("\t")
    if "gold_label" in cells:
        return "xnli"
    if cells[:3] == ["premise", "hypo", "label"]:
        return "multinli"
    if len(cells) == 3:  # A label that we do not know is refused later, with its line.
        return "plain"
    if first.text.lstrip().startswith("{"):
        return "jsonl"
    if next(csv.reader([first.text]), [])[:3] == _SIMCSE:
        return "csv"
    raise InputError(f"{path}:1: {first.text[:60]!r} is in no known layout", hint=_LAYOUTS)


def read_nli(
    path: str, layout: Layout, on_bytes: Callable[[bytes], object] = len
) -> Iterator[NliRow]:
    """Yield the rows of a file with labels, of one language or of many.

    Parameters
    ----------
    path : str
        Compressed or not.
    layout : str
        "xnli", "multinli" or "plain".
    on_bytes : callable
        Sees every chunk as it is read.

    Raises
    ------
    InputError
        A line does not parse, or has an unknown label.
    """
    lines = _lines(path, on_bytes)
    language = language_of(path)
    columns = {"plain": ["label", "premise", "hypothesis"], "multinli": []}.get(layout, [])
    if layout != "plain":
        header = next(lines, _Line(1, "")).text.split("\t")
        names = {"hypo": "hypothesis", "gold_label": "label"}
        names |= {"sentence1": "premise", "sentence2": "hypothesis"}
        columns = [names.get(name, name) for name in header]
        _require(path, columns, ("label", "premise", "hypothesis"))
    places = [columns.index(name) for name in ("label", "premise", "hypothesis")]
    of_language = columns.index("language") if "language" in columns else None
    for line in lines:
        cells = line.text.split("\t")
        if len(cells) != len(columns):
            _refuse(path, line, f"it has {len(cells)} columns instead of {len(columns)}")
        label, premise, hypothesis = (cells[place].strip() for place in places)
        if label not in LABELS:
            _refuse(path, line, f"there is no label {label!r}", hint=f"labels: {', '.join(LABELS)}")
        said = cells[of_language].strip() if of_language is not None else language
        yield NliRow(said, LABELS[label], premise, hypothesis)


def read_triplets(
    path: str, layout: Layout, on_bytes: Callable[[bytes], object] = len
) -> Iterator[Triplet]:
    """Yield the rows of a file of triplets, "csv" or "jsonl".

    Raises
    ------
    InputError
        A line does not parse, or lacks one of the three sentences.
    """
    rows = _csv_rows if layout == "csv" else _jsonl_rows
    for line, cells in rows(path, on_bytes):
        texts = [str(cell).strip() for cell in cells[:3]]
        if not all(texts):
            _refuse(path, line, f"its {_KEYS[texts.index('')]} is empty")
        yield Triplet(texts[0], texts[1], texts[2], str(cells[3]))


def language_of(path: str) -> str:
    """Return the language that a file's name says: "de" of ``xnli.dev.de.tsv.zst``; else ""."""
    parts = PurePath(path).name.split(".")
    return next((part for part in reversed(parts[1:-1]) if _is_language(part)), "")


def _is_language(code: str) -> bool:
    return language_name(code) != normalise_language(code)


def _csv_rows(
    path: str, on_bytes: Callable[[bytes], object]
) -> Iterator[tuple[_Line, Sequence[Any]]]:
    lines = _lines(path, on_bytes, blank=True)  # A quoted cell may have some.
    reader = csv.reader((line.text + "\n" for line in lines), strict=True)
    try:
        header = next(reader)
        _require(path, header, tuple(_SIMCSE))
        for cells in reader:
            if not cells:
                continue
            line = _Line(reader.line_num, "")
            if len(cells) != len(header):
                _refuse(path, line, f"it has {len(cells)} columns instead of {len(header)}")
            yield line, (*cells[:3], "")
    except csv.Error as error:
        _refuse(path, _Line(reader.line_num, ""), f"it is not CSV: {error}")


def _jsonl_rows(
    path: str, on_bytes: Callable[[bytes], object]
) -> Iterator[tuple[_Line, Sequence[Any]]]:
    for line in _lines(path, on_bytes):
        try:
            row = json.loads(line.text)
        except (ValueError, RecursionError):
            _refuse(path, line, "it is not JSON")
        names = _SIMCSE if isinstance(row, dict) and "sent0" in row else _KEYS
        if not isinstance(row, dict) or not all(isinstance(row.get(name), str) for name in names):
            _refuse(path, line, f"it is not an object with the strings {', '.join(names)}")
        group = row.get("group")
        if isinstance(group, bool) or not isinstance(group, str | int | None):
            _refuse(
                path, line, f"its group is {json.dumps(group)[:40]}, not a string or an integer"
            )
        yield line, (*(row[name] for name in names), "" if group is None else group)


def _lines(
    path: str, on_bytes: Callable[[bytes], object], *, blank: bool = False
) -> Iterator[_Line]:
    """Yield the lines, numbered from 1; blank ones only if wanted."""
    with open_input(path) as file:
        for number, raw in enumerate(raw_lines(file, path, on_bytes), 1):
            try:
                text = b"" if raw is None else raw
                line = _Line(number, text.decode().removesuffix("\r"))
            except UnicodeDecodeError:
                _refuse(path, _Line(number, ""), "it is not UTF-8")
            if raw is None:
                _refuse(path, line, "it is longer than 16 MiB")
            if blank or line.text.strip():
                yield line


def _require(path: str, columns: Sequence[str], needed: tuple[str, ...]) -> None:
    missing = [name for name in needed if name not in columns]
    if missing:
        raise InputError(f"{path}:1: there is no column {missing[0]!r}", hint=_LAYOUTS)


def _refuse(path: str, line: _Line, problem: str, *, hint: str = "") -> NoReturn:
    raise InputError(
        f"{path}:{line.number}: {problem}",
        hint=hint or "mend the line, or leave it out (of every language, where rows are aligned)",
    )
