"""What an evaluation found: a table for people, JSON or CSV for programs, a run card beside it."""

import csv
import io
import json
import os
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import Any, Literal, assert_never

from bitextmine.errors import UsageError
from bitextmine.files import write_json
from bitextmine.runcard import RunCard, card_path
from bitextmine.write.destination import check_file, is_special, open_output

ReportFormat = Literal["table", "json", "csv"]
NOTHING = "–"  # It stands in a table where there is no figure.


@dataclass(frozen=True, kw_only=True)
class Report:
    """The figures of several models, side by side.

    Attributes
    ----------
    evaluation : str
        What was evaluated: "tatoeba" and so on.
    keys, metrics : dict
        Fields of the records that name a row and that are figures; field to title.
    records : tuple of dict
        One a model and row: "model", keys, metrics; plain JSON values.
    notes : tuple of str
        What a reader must know about the figures.
    details : dict
        What only JSON holds.
    appendix : tuple of str
        Lines that only the table shows, under it.
    """

    evaluation: str
    keys: Mapping[str, str]
    metrics: Mapping[str, str]
    records: tuple[dict[str, Any], ...]
    notes: tuple[str, ...] = ()
    details: Mapping[str, Any] = field(default_factory=dict)
    appendix: tuple[str, ...] = ()

    def rendered(self, form: ReportFormat, card: RunCard) -> str:
        """Return the report as text in one of the formats, with a line end."""
        match form:
            case "table":
                notes = [f"{note}." for note in self.notes]
                parts = [self._table(), notes, self.appendix]
                return "\n\n".join("\n".join(part) for part in parts if part) + "\n"
            case "json":
                return self._json(card)
            case "csv":
                return self._csv()
            case _:
                assert_never(form)

    def _json(self, card: RunCard) -> str:
        content = {
            "evaluation": self.evaluation,
            "models": card.facts.get("models", []),
            "settings": card.facts.get("settings", {}),
            "records": self.records,
            **self.details,
            "notes": self.notes,
        }
        return json.dumps(content, indent=1, ensure_ascii=False, allow_nan=False) + "\n"

    def _csv(self) -> str:
        columns = list(dict.fromkeys(name for record in self.records for name in record))
        text = io.StringIO()
        rows = csv.DictWriter(text, columns, lineterminator="\n")
        rows.writeheader()
        rows.writerows(self.records)
        return text.getvalue()

    def _table(self) -> list[str]:
        """One row a set of keys, the figures of every model beside each other."""
        models = list(dict.fromkeys(record["model"] for record in self.records))
        rows = {
            tuple(record[key] for key in self.keys): None for record in self.records
        }  # In the order in which they came.
        cells = {
            (record["model"], *(record[key] for key in self.keys)): record
            for record in self.records
        }
        body = [
            [_text(value) for value in row]
            + [
                _figure(name, cells.get((model, *row), {}).get(name))
                for model in models
                for name in self.metrics
            ]
            for row in rows
        ]
        titles = [*self.keys.values(), *(list(self.metrics.values()) * len(models))]
        numeric = [all(isinstance(row[i], int) for row in rows) for i in range(len(self.keys))]
        right = [*numeric, *([True] * (len(titles) - len(self.keys)))]
        groups = [""] * len(self.keys) + [model for model in models for _ in self.metrics]
        return _aligned(groups, titles, body, right)


def percent(share: float) -> float:
    """Turn a share into a percentage, with as many digits as an evaluation is good for."""
    return round(100 * share, 4)


def _text(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else str(value)


def _figure(name: str, value: Any) -> str:
    """Percentages get two decimals, thresholds four."""
    if value is None:
        return NOTHING
    if isinstance(value, float):
        return f"{value:.4f}" if name == "threshold" else f"{value:.2f}"
    return _text(value)


def _aligned(
    groups: Sequence[str],
    titles: Sequence[str],
    body: Sequence[Sequence[str]],
    right: Sequence[bool],
) -> list[str]:
    """Columns under their titles, and these under the names of the models."""
    widths = [max(map(_width, column)) for column in zip(titles, *body, strict=True)]
    spans = [(name, len(list(run))) for name, run in groupby(groups)]
    column = 0
    heads = []
    for name, count in spans:
        inside = sum(widths[column : column + count]) + 2 * (count - 1)
        if _width(name) > inside:  # The last column of the group makes room.
            widths[column + count - 1] += _width(name) - inside
        heads.append(_padded(name, max(inside, _width(name)), right=False))
        column += count
    lines = ["  ".join(heads), _line(titles, widths, right)]
    lines.append("  ".join("-" * width for width in widths))
    lines += [_line(row, widths, right) for row in body]
    return [line.rstrip() for line in lines]


def _line(cells: Iterable[str], widths: Sequence[int], right: Sequence[bool]) -> str:
    return "  ".join(
        _padded(cell, width, right=on_right)
        for cell, width, on_right in zip(cells, widths, right, strict=True)
    )


def _padded(cell: str, width: int, *, right: bool) -> str:
    room = " " * (width - _width(cell))
    return room + cell if right else cell + room


def _width(text: str) -> int:
    """Columns of a terminal that a text takes."""
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def check_save(save: Path, inputs: Sequence[str], out: Path | None) -> None:
    """Fail now rather than after the evaluation, if ``--save`` could not be written.

    Parameters
    ----------
    save : Path
        Where it should go, with a run card beside it.
    inputs : sequence of str
        Files that neither may overwrite.
    out : Path or None
        ``--out``, which has a run card as well.

    Raises
    ------
    OutputError
        A file cannot be made.
    UsageError
        A file would overwrite another.
    """
    others = [*inputs, *([] if out is None else map(str, (out, card_path(out))))]
    for path in (save, card_path(save)):
        refuse_overwriting(path, "--save", others)
        check_file(path)


def refuse_overwriting(path: Path, flag: str, others: Sequence[str]) -> None:
    """Refuse a file that is one of the others already.

    Raises
    ------
    UsageError
        It is; names which.
    """
    same = [other for other in others if os.path.realpath(other) == os.path.realpath(path)]
    if same and not is_special(path):
        raise UsageError(f"{flag} would overwrite {same[0]}", hint="choose another name")


def save_report(report: Report, form: ReportFormat, out: Path, card: RunCard) -> None:
    """Write a report and its run card; both appear whole or not at all.

    Raises
    ------
    OutputError
        The system refuses.
    """
    with open_output(out) as sink:
        sink.write(report.rendered(form, card).encode("utf-8", "backslashreplace"))
    if not is_special(out):
        write_json(card_path(out), _card_with_figures(report, card))


def _card_with_figures(report: Report, card: RunCard) -> dict[str, Any]:
    """Return the run card with the figures in it."""
    card.facts |= {"evaluation": report.evaluation, "records": list(report.records)}
    card.facts["notes"] = list(report.notes)
    return card.finished()
