"""XSTS, the tracks of SemEval-2017 task 1: do cosines rank pairs as people do?

Spearman's rank correlation between cosines and human scores, times 100, per track; tracks 4a and
4b apart, and of track 6 the first 250 pairs, as those are the ones with scores.
"""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from bitextmine.arrays import Doubles, Floats, Ids
from bitextmine.errors import EncoderError, InputError
from bitextmine.evaluation.gold_files import find_file, read_score, read_text_lines, require_folder
from bitextmine.evaluation.report import Report
from bitextmine.evaluation.trials import NamedModel, Trial, run_trials
from bitextmine.runcard import RunCard

TRACKS = {
    "1": "ar-ar", "2": "ar-en", "3": "es-es", "4a": "es-en", "4b": "es-en", "5": "en-en",
    "6": "tr-en",
}  # fmt: skip
# The input of track 6 has 500 lines, of which the first 250 have scores.
SCORED_PAIRS_OF_TRACK_6 = 250
STS_LAYOUT = (
    "it needs STS.input.track1.ar-ar.txt, STS.gs.track1.ar-ar.txt and so on, as in SemEval-2017"
    " (data/Sts2017 of github.com/yaushian/mSimCSE), or sts2017.track1.ar-ar.tsv:"
    " score<TAB>sentence<TAB>sentence"
)
_NOTE = "Spearman's rank correlation of cosines and human scores, × 100; tracks 4a and 4b apart"


class Track(NamedTuple):
    """Pairs of sentences, and how alike people find them.

    Attributes
    ----------
    first, second : list of str
        The sentences.
    scores : ndarray of float64, shape (n,)
        0 to 5.
    """

    first: list[str]
    second: list[str]
    scores: Doubles


def evaluate_xsts(
    models: Sequence[NamedModel], tracks: Mapping[str, Track], card: RunCard
) -> Report:
    """Compare the cosines of every track's pairs with what people say.

    Parameters
    ----------
    models : sequence of NamedModel
    tracks : mapping of str to Track
        As `read_tracks` returns them.
    card : RunCard
        Takes times, counts and warnings.

    Raises
    ------
    EncoderError
        A model is damaged, or finds all pairs equally alike.
    """
    trials = [
        Trial(
            {"track": name, "languages": TRACKS[name], "pairs": len(track.scores)},
            (track.first, track.second),
            partial(_measure, scores=track.scores, name=name),
        )
        for name, track in tracks.items()
    ]
    missing = [name for name in TRACKS if name not in tracks]
    notes = (_NOTE, f"not there: track {', '.join(missing)}") if missing else (_NOTE,)
    return Report(
        evaluation="xsts",
        keys={"track": "track", "languages": "languages", "pairs": "pairs"},
        metrics={"spearman": "Spearman"},
        records=tuple(run_trials(models, trials, card)),
        notes=notes,
    )


def read_tracks(data: Path) -> dict[str, Track]:
    """Read every track that is there.

    Parameters
    ----------
    data : Path
        As `STS_LAYOUT` says, compressed or not.

    Raises
    ------
    InputError
        There is no track, or a file is damaged.
    """
    require_folder(data, STS_LAYOUT)
    tracks = {name: found for name in TRACKS if (found := read_track(data, name)) is not None}
    if not tracks:
        raise InputError(f"{data} has no track of STS 2017", hint=STS_LAYOUT)
    return tracks


def read_track(data: Path, name: str) -> Track | None:
    """Read a track in either layout; None if its files are not there.

    Raises
    ------
    InputError
        A line is damaged, a file is missing, or scores and pairs are not equally many.
    """
    table = find_file(data, f"sts2017.track{name}.{TRACKS[name]}.tsv")
    if table is not None:
        return _read_table(table)
    inputs = _official(data, "input", name)
    scores = _official(data, "gs", name)
    if inputs is None and scores is None:
        return None
    if inputs is None or scores is None:
        lacking = "input" if inputs is None else "gs"
        raise InputError(f"{data} has no STS.{lacking} file of track {name}", hint=STS_LAYOUT)
    return _read_official(inputs, scores, name)


def _official(data: Path, kind: str, name: str) -> Path | None:
    """The file of the official layout, in the folder or in one inside."""
    patterns = (f"STS.{kind}.track{name}.txt*", f"STS.{kind}.track{name}.{TRACKS[name]}.txt*")
    return next((path for p in patterns for path in sorted(data.rglob(p))), None)


def _read_table(path: Path) -> Track:
    rows = [line.split("\t") for line in read_text_lines(path)]
    for number, row in enumerate(rows, start=1):
        if len(row) < 3:
            raise InputError(
                f"{path}, line {number} has {len(row)} columns, not 3", hint=STS_LAYOUT
            )
    scores = [read_score(row[0], f"{path}, line {n}") for n, row in enumerate(rows, start=1)]
    return _track(path, [row[1:3] for row in rows], scores)


def _read_official(inputs: Path, gold: Path, name: str) -> Track:
    rows = [line.split("\t") for line in read_text_lines(inputs)]
    for number, row in enumerate(rows, start=1):
        if len(row) < 2:
            raise InputError(
                f"{inputs}, line {number} has no tab between sentences", hint=STS_LAYOUT
            )
    scores = [
        read_score(text, f"{gold}, line {n}") for n, text in enumerate(read_text_lines(gold), 1)
    ]
    if name == "6" and len(scores) == SCORED_PAIRS_OF_TRACK_6:
        rows = rows[:SCORED_PAIRS_OF_TRACK_6]
    if len(rows) != len(scores):
        raise InputError(
            f"{inputs} has {len(rows):,} pairs, {gold} has {len(scores):,} scores",
            hint="fetch both files again: line n of one belongs to line n of the other",
        )
    return _track(gold, rows, scores)


def _track(path: Path, rows: Sequence[Sequence[str]], scores: Sequence[float]) -> Track:
    if len(set(scores)) < 2:
        raise InputError(
            f"{path}: all scores are the same, so there is nothing to rank",
            hint="check that the first column holds the scores of people",
        )
    first, second = ([row[side].strip() for row in rows] for side in (0, 1))
    return Track(first, second, np.array(scores))


def _measure(first: Floats, second: Floats, *, scores: Doubles, name: str) -> dict[str, float]:
    correlation = spearman(cosines(first, second), scores)
    if not np.isfinite(correlation):
        raise EncoderError(
            f"all pairs of track {name} have the same cosine",
            hint="the encoder is broken; choose another --model",
        )
    return {"spearman": round(100 * correlation, 4)}


def cosines(first: Floats, second: Floats) -> Doubles:
    """Cosine of each row with the row of the same number; 0 with a zero row.

    Parameters
    ----------
    first, second : ndarray of float32, shape (n, d)

    Returns
    -------
    ndarray of float64, shape (n,)
    """
    left, right = first.astype(np.float64), second.astype(np.float64)
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    dots: Doubles = (left * right).sum(axis=1)
    return dots / np.where(lengths > 0, lengths, 1)


def spearman(first: Doubles, second: Doubles) -> float:
    """Spearman's rank correlation: Pearson's, of ranks, with equal values sharing their mean rank.

    Parameters
    ----------
    first, second : ndarray of float64, shape (n,)

    Returns
    -------
    float
        -1 to 1; NaN if one of them is constant.

    Raises
    ------
    ValueError
        They are not equally long.
    """
    if first.shape != second.shape:
        raise ValueError(f"{first.shape} and {second.shape} values cannot be paired")
    centred = [ranks - ranks.mean() for ranks in map(mean_ranks, (first, second))]
    spread = np.sqrt((centred[0] ** 2).sum() * (centred[1] ** 2).sum())
    return float((centred[0] * centred[1]).sum() / spread) if spread > 0 else float("nan")


def mean_ranks(values: Doubles) -> Doubles:
    """Rank values from 1; equal ones share the mean of their ranks."""
    inverse: Ids
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    last = np.cumsum(counts)  # Ranks of the last of each group of equals.
    ranks: Doubles = (last - (counts - 1) / 2)[inverse]
    return ranks
