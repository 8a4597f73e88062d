"""How accurate is an encoder on Tatoeba, beside the published figures of a model?

    python benchmarks/tatoeba.py --model e5-small --published multilingual-e5-small --json out.json

Runs the encoder as the program itself does. "published" is what MTEB's results repository has for
a model: accuracy of xx->en, cosine top-1, on the same files.
"""

import argparse
import json
import shlex
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from bitextmine.config import EncoderOptions
from bitextmine.encoders.base import Encoder
from bitextmine.encoders.spec import load_spec, resolve_spec
from bitextmine.errors import EncoderError
from bitextmine.evaluation.tatoeba import (
    TATOEBA_14,
    TATOEBA_36,
    Accuracy,
    read_pairs,
    retrieval_accuracy,
)
from bitextmine.machine import Limits, describe_machine, usable_threads

SHARED = Path(__file__).resolve().parents[2] / "shared"
ANCHORS = SHARED / "research" / "mteb_bitext_anchors.json"  # {"owner__name|task": {pair: figures}}


def main() -> None:
    """Evaluate, print a table, and keep the numbers."""
    arguments = _parser().parse_args()
    published = read_published(arguments.anchors, arguments.published)
    options = EncoderOptions(prompt=arguments.prompt, dtype=arguments.dtype)
    limits = Limits((arguments.device,) if arguments.device else ())
    spec = resolve_spec(arguments.model, options, limits)
    encoder = load_spec(
        spec, threads=usable_threads(arguments.threads), device=spec.devices(limits)[0]
    )
    start = time.perf_counter()
    rows = []
    for language in arguments.languages:
        accuracy = evaluate_tatoeba(encoder, arguments.data, language)
        pairs = len(read_pairs(arguments.data, language)[0])
        rows.append(row(language, pairs, accuracy, published.get(language)))
        print(line(rows[-1]), flush=True)
    averages = macro_rows(rows)
    for average in averages:
        print(line(average))
    if arguments.json:
        run = {
            "encoder": spec.identity(),
            "device": spec.devices(limits)[0],
            "published": arguments.published,
            "rows": rows,
            "macro": averages,
            "seconds": round(time.perf_counter() - start, 1),
            "date": time.strftime("%Y-%m-%d"),
            "machine": describe_machine(),
            "command": shlex.join(["python", *sys.argv]),
        }
        keep(run, arguments.json)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", required=True, help="name, folder or hub id")
    parser.add_argument("--published", default="", help="name of a model in MTEB's results")
    parser.add_argument("--languages", nargs="*", default=TATOEBA_36, help="default: XTREME's 36")
    parser.add_argument("--data", type=Path, default=SHARED / "data" / "tatoeba")
    parser.add_argument("--anchors", type=Path, default=ANCHORS)
    parser.add_argument("--prompt", help="put before every sentence; default: the model's own")
    parser.add_argument("--dtype", default="auto", help="of matrix products")
    parser.add_argument("--device", help="default: the first GPU, else the CPU")
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--json", type=Path, help="add the numbers to the runs in this file")
    return parser


def evaluate_tatoeba(encoder: Encoder, folder: Path, language: str) -> Accuracy:
    """Encode both sides of a test set, and count.

    Parameters
    ----------
    encoder : Encoder
    folder : Path
        As for `read_pairs`.
    language : str
        Likewise.

    Raises
    ------
    EncoderError
        A vector is not finite.
    InputError
        As for `read_pairs`.
    """
    sentences, english = read_pairs(folder, language)
    vectors = encoder.encode([*sentences, *english]).embeddings
    if not np.isfinite(vectors).all():
        raise EncoderError(
            f"{encoder.info.name} gave vectors that are not finite for Tatoeba's {language}",
            hint="the encoder is broken, or computes in a number format too small for it",
        )
    return retrieval_accuracy(vectors[: len(sentences)], vectors[len(sentences) :])


def keep(run: dict[str, Any], path: Path) -> None:
    """Add a run to a file of runs."""
    runs = json.loads(path.read_bytes())["runs"] if path.exists() else []
    path.write_text(json.dumps({"runs": [*runs, run]}, indent=1) + "\n", "utf-8")


def read_published(path: Path, model: str) -> dict[str, float]:
    """Look up MTEB's accuracy of xx->en, in percent, by language; nothing for no model."""
    if not model:
        return {}
    anchors: dict[str, dict[str, list[float]]] = json.loads(path.read_bytes())
    key = next((key for key in anchors if key.endswith(f"__{model}|Tatoeba")), None)
    if key is None:
        sys.exit(f"{path} has no figures of {model} on Tatoeba")
    return {pair.partition("-")[0]: figures[0] for pair, figures in anchors[key].items()}


def row(language: str, pairs: int, accuracy: Accuracy, published: float | None) -> dict[str, Any]:
    """One language's figures; ``difference`` is of the same direction as the published one."""
    return {
        "language": language,
        "pairs": pairs,
        "to_eng": round(accuracy.to_eng, 2),
        "from_eng": round(accuracy.from_eng, 2),
        "mean": round(accuracy.mean, 2),
        "published_to_eng": published,
        "difference": None if published is None else round(accuracy.to_eng - published, 2),
    }


def macro_average(accuracies: Iterable[Accuracy]) -> Accuracy:
    """Average over languages, each of which counts the same, whatever its number of pairs."""
    listed = list(accuracies)
    return Accuracy(fmean(a.to_eng for a in listed), fmean(a.from_eng for a in listed))


def macro_rows(rows: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Averages over the languages that were run, and over the 14 and 36 if all of them were."""
    by_language = {entry["language"]: entry for entry in rows}
    lists: dict[str, Sequence[str]] = {"14": TATOEBA_14, "36": TATOEBA_36}
    if set(by_language) not in map(set, lists.values()):
        lists = {f"all {len(rows)}": list(by_language)} | lists
    averages = []
    for name, languages in lists.items():
        if not rows or not set(languages) <= set(by_language):
            continue
        chosen = [by_language[language] for language in languages]
        figures = [entry["published_to_eng"] for entry in chosen]
        known = sum(figures) / len(figures) if None not in figures else None
        accuracy = macro_average(Accuracy(entry["to_eng"], entry["from_eng"]) for entry in chosen)
        pairs = sum(entry["pairs"] for entry in chosen)
        average = row(name, pairs, accuracy, known)
        averages.append(average | {"published_to_eng": known and round(known, 2)})
    return averages


def line(entry: dict[str, Any]) -> str:
    """A line of the table."""
    text = (
        f"{entry['language']:7} {entry['pairs']:6,} pairs  to eng {entry['to_eng']:6.2f}"
        f"  from eng {entry['from_eng']:6.2f}  mean {entry['mean']:6.2f}"
    )
    if entry["published_to_eng"] is not None:
        text += f"  published {entry['published_to_eng']:6.2f} ({entry['difference']:+.2f})"
    return text


if __name__ == "__main__":
    main()
