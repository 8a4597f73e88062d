"""Precision, recall and F1 against the threshold, as CSV or as a picture."""

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from bitextmine.errors import OutputError, UsageError
from bitextmine.evaluation.bucc import Scored
from bitextmine.evaluation.report import refuse_overwriting
from bitextmine.write.destination import check_file, open_output

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CURVE_ENDINGS = (".csv", ".png")
_COLUMNS = ("model", "threshold", "mined", "precision", "recall", "f1")
# Colours that differ for people who see red and green alike (Okabe and Ito), and dashes.
_LINES = {"precision": ("#0072B2", "--"), "recall": ("#D55E00", ":"), "f1": ("#000000", "-")}


def check_curve(path: Path, others: Sequence[str]) -> None:
    """Fail now rather than after the mining, if the curve could not be written.

    Parameters
    ----------
    path : Path
        Where it should go.
    others : sequence of str
        Files that it must not overwrite.

    Raises
    ------
    OutputError
        The file cannot be made, or what draws it is not installed.
    UsageError
        The name ends in neither .csv nor .png, or is that of another file.
    """
    if path.suffix.lower() not in CURVE_ENDINGS:
        raise UsageError(f"--curve {path} is no .csv or .png", hint="choose one of these endings")
    refuse_overwriting(path, "--curve", others)
    check_file(path)
    if path.suffix.lower() == ".png":
        _figure_class()


def save_curve(scored: Mapping[str, Scored], path: Path) -> None:
    """Write the curve of every model, as the file's name says.

    Raises
    ------
    OutputError
        The system refuses, or what draws it is not installed.
    """
    content = _png(scored) if path.suffix.lower() == ".png" else _csv(scored).encode()
    with open_output(path) as sink:
        sink.write(content)


def _csv(scored: Mapping[str, Scored]) -> str:
    text = io.StringIO()
    rows = csv.DictWriter(text, _COLUMNS, lineterminator="\n")
    rows.writeheader()
    for model, pairs in scored.items():
        rows.writerows({"model": model, **point.figures()} for point in pairs.curve())
    return text.getvalue()


def _png(scored: Mapping[str, Scored]) -> bytes:
    """Draw one panel a model, all with the same axes."""
    figure = _figure_class()(figsize=(1 + 4.2 * len(scored), 3.8), layout="constrained", dpi=150)
    panels = figure.subplots(1, len(scored), squeeze=False, sharex=True, sharey=True)[0]
    for panel, (model, pairs) in zip(panels, scored.items(), strict=True):
        points = [point.figures() for point in pairs.curve()]
        for metric, (colour, dashes) in _LINES.items():
            panel.plot(
                [point["threshold"] for point in points],
                [point[metric] for point in points],
                color=colour,
                linestyle=dashes,
                label=metric.replace("f1", "F1"),
            )
        best = pairs.best()
        caption = f"best F1 {100 * best.f1:.1f} at {best.threshold:.3f}, tuned on this gold"
        panel.set_title(f"{model}\n{caption}", fontsize=9)
        panel.set_xlabel("threshold (ratio margin)")
        panel.grid(alpha=0.3)
    panels[0].set_ylabel("%")
    panels[0].set_ylim(0, 101)
    panels[0].legend(frameon=False)
    drawn = io.BytesIO()
    figure.savefig(
        drawn, format="png", metadata={"Software": None}
    )  # The bytes are the same every time.
    return drawn.getvalue()


def _figure_class() -> "type[Figure]":
    """Return what draws; imported when it is wanted, since matplotlib is an extra."""
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise OutputError(
            "drawing a curve needs the package matplotlib",
            hint="pip install 'bitextmine[report]', or give --curve FILE.csv",
        ) from error
    return Figure
