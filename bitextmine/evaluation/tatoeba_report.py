"""Tatoeba for several models: accuracy both ways, macro averages, and the margin error beside."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

from bitextmine.arrays import Floats
from bitextmine.errors import InputError, UsageError
from bitextmine.evaluation.gold_files import require_folder
from bitextmine.evaluation.report import Report
from bitextmine.evaluation.tatoeba import (
    TATOEBA_14,
    TATOEBA_36,
    AlignedSentences,
    read_pairs,
    retrieval_accuracy,
)
from bitextmine.evaluation.trials import NamedModel, Trial, run_trials
from bitextmine.evaluation.xsim import AlignedSearch
from bitextmine.languages import normalise_language
from bitextmine.runcard import RunCard

TATOEBA_LAYOUT = (
    "it needs tatoeba.deu-eng.deu and tatoeba.deu-eng.eng (or .zst) and so on, one sentence a"
    " line: data/tatoeba/v1 of github.com/facebookresearch/LASER"
)
N_LANGUAGES = 112  # LASER's v1 has so many.
MACRO = {"14": TATOEBA_14, "36": TATOEBA_36}
METRICS = {
    "to_eng": "xx→en",
    "from_eng": "en→xx",
    "mean": "mean",
    "margin_error": "margin error",
}
_NOTE = (
    "accuracy of the nearest sentence by cosine, in percent; margin error: xsim's,"
    " ratio margin, k=4, mean of both directions"
)


def chosen_languages(asked: str, data: Path) -> tuple[str, ...]:
    """Return the languages that ``--langs`` means.

    Parameters
    ----------
    asked : str
        "14" or "36" as in XNLI and XTREME, "112" for all of LASER's, "all" that are in the
        folder, or Tatoeba's codes with commas between them.
    data : Path
        The folder.

    Raises
    ------
    InputError
        There is no such folder, or a language has no files in it.
    UsageError
        No language is named.
    """
    require_folder(data, TATOEBA_LAYOUT)
    there = _languages_of(data)
    if asked in ("112", "all"):
        if not there or (asked == "112" and len(there) != N_LANGUAGES):
            raise InputError(f"{data} has files of {len(there)} languages", hint=TATOEBA_LAYOUT)
        return there
    languages = MACRO.get(asked) or tuple(code.strip() for code in asked.split(",") if code.strip())
    if not languages:
        raise UsageError("--langs names no language", hint="give 14, 36, 112, all or deu,fra,…")
    missing = [language for language in languages if language not in there]
    if missing:
        raise InputError(f"{data} has no files of {', '.join(missing)}", hint=TATOEBA_LAYOUT)
    return tuple(dict.fromkeys(languages))


def _languages_of(data: Path) -> tuple[str, ...]:
    """Every language of which the folder has a file."""
    names = {path.name.removesuffix(".zst") for path in data.iterdir()}
    parts = (name.split(".") for name in names if name.startswith("tatoeba."))
    pairs = {part[1] for part in parts if len(part) == 3}
    return tuple(sorted(pair.removesuffix("-eng") for pair in pairs if pair.endswith("-eng")))


def read_test_sets(data: Path, languages: Sequence[str]) -> dict[str, AlignedSentences]:
    """Read the test set of each language: sentences, and their English translations.

    Raises
    ------
    InputError
        A file is empty or damaged, or the numbers of lines differ.
    """
    return {language: read_pairs(data, language) for language in languages}


def evaluate_tatoeba_models(
    models: Sequence[NamedModel], pairs: Mapping[str, AlignedSentences], card: RunCard
) -> Report:
    """Search every language's sentences among the English ones, and the reverse.

    Parameters
    ----------
    models : sequence of NamedModel
    pairs : mapping of str to AlignedSentences
        By Tatoeba's code of the language, as `read_test_sets` returns them.
    card : RunCard
        Takes times, counts and warnings.
    """
    languages = tuple(pairs)
    measure = partial(_measure, threads=models[0].config.threads)
    trials = [
        Trial({"language": language, "pairs": len(sides[0])}, sides, measure)
        for language, sides in pairs.items()
    ]
    records = run_trials(models, trials, card)
    averages = [record for model in models for record in _macro(model.label, records, languages)]
    return Report(
        evaluation="tatoeba",
        keys={"language": "language", "pairs": "pairs"},
        metrics=METRICS,
        records=(*records, *averages),
        notes=(_NOTE, *_missing_notes(languages), *_unknown_notes(models, languages)),
    )


def _measure(src: Floats, eng: Floats, *, threads: int) -> dict[str, float]:
    accuracy = retrieval_accuracy(src, eng)
    errors = AlignedSearch(src, eng, threads=threads).figures()
    return {
        "to_eng": round(accuracy.to_eng, 4),
        "from_eng": round(accuracy.from_eng, 4),
        "mean": round(accuracy.mean, 4),
        "margin_error": round(fmean((errors["margin_error_fwd"], errors["margin_error_bwd"])), 4),
        "margin_error_to_eng": errors["margin_error_fwd"],
        "margin_error_from_eng": errors["margin_error_bwd"],
    }


def _macro(
    label: str, records: Iterable[dict[str, Any]], languages: Sequence[str]
) -> Iterator[dict[str, Any]]:
    """Averages over languages that count the same, for each list that is complete."""
    own = {record["language"]: record for record in records if record["model"] == label}
    lists = {"mean of all run": tuple(languages)}
    lists |= {f"mean of the {name}": codes for name, codes in MACRO.items()}
    for name, codes in lists.items():
        if set(codes) <= set(own):
            chosen = [own[code] for code in codes]
            figures = {
                metric: round(fmean(record[metric] for record in chosen), 4)
                for metric in chosen[0]
                if metric not in ("model", "language", "pairs")
            }
            pairs = sum(record["pairs"] for record in chosen)
            yield {"model": label, "language": name, "pairs": pairs, **figures}


def _missing_notes(languages: Sequence[str]) -> Iterator[str]:
    for name, codes in MACRO.items():
        missing = [code for code in codes if code not in languages]
        if missing:
            yield f"no average over the {name}: {len(missing)} of them were not run"


def _unknown_notes(models: Sequence[NamedModel], languages: Sequence[str]) -> Iterator[str]:
    """Name the languages that a model was not trained on, where that is known."""
    for model in models:
        known = model.spec.info.languages
        unknown = [code for code in languages if normalise_language(code) not in known]
        if known and unknown:
            yield f"{model.label} was not trained on {', '.join(unknown)}"
