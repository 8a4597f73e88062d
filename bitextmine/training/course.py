"""The course of a training: tables of loss and scores, and a picture where matplotlib is."""

import csv
import io
from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bitextmine.files import atomic_write

LOSS, SCORES, PICTURE = COURSE_FILES = ("loss.csv", "scores.csv", "curves.png")
_LOSS_COLUMNS = ("step", "loss", "learning_rate", "grad_norm")


def write_course(folder: Path, history: Sequence[Mapping[str, Any]]) -> list[str]:
    """Write ``loss.csv``, and ``scores.csv`` and ``curves.png`` if there is anything for them.

    Parameters
    ----------
    folder : Path
    history : sequence of mapping
        The trainer's ``log_history``: each with "step", and with "loss" or "eval_…".

    Returns
    -------
    list of str
        Names of the files written.
    """
    losses = [entry for entry in history if "loss" in entry]
    scored = [entry for entry in history if any(name.startswith("eval_") for name in entry)]
    names = sorted({name for entry in scored for name in entry if name.startswith("eval_")})
    written = [LOSS]
    _write_table(folder / LOSS, _LOSS_COLUMNS, losses)
    if scored:
        _write_table(folder / SCORES, ("step", *names), scored)
        written.append(SCORES)
    if find_spec("matplotlib") is not None and losses:
        _draw(folder / PICTURE, losses, scored, names)
        written.append(PICTURE)
    return written


def _write_table(path: Path, columns: Sequence[str], rows: Sequence[Mapping[str, Any]]) -> None:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([column.removeprefix("eval_") for column in columns])
    writer.writerows([[row.get(column, "") for column in columns] for row in rows])
    with atomic_write(path) as file:
        file.write(text.getvalue().encode())


def _draw(
    path: Path,
    losses: Sequence[Mapping[str, Any]],
    scored: Sequence[Mapping[str, Any]],
    names: Sequence[str],
) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    axes.plot([row["step"] for row in losses], [row["loss"] for row in losses], label="loss")
    axes.set_xlabel("step")
    axes.set_ylabel("loss (nats)")
    if scored:
        right = axes.twinx()
        right.set_ylabel("score")
        for number, name in enumerate(names, 1):
            rows = [row for row in scored if name in row]
            steps, values = [row["step"] for row in rows], [row[name] for row in rows]
            right.plot(steps, values, "o-", color=f"C{number}", label=name.removeprefix("eval_"))
    figure.legend(loc="outside upper center", ncols=4)
    with atomic_write(path) as file:
        figure.savefig(file, format="png", dpi=120)
