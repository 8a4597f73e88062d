"""Inference data that is aligned over languages, read from its files row by row."""

import hashlib
import re
from array import array
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitextmine.errors import InputError
from bitextmine.training.nli_files import UNUSED, language_of, read_nli
from bitextmine.training.text_store import TextWriter

_LETTERS = re.compile(r"[\W_]+")


@dataclass(frozen=True)
class FileFacts:
    """What was read of a file."""

    path: str
    sha256: str
    rows: int


@dataclass
class PremiseNumbers:
    """Numbers of source rows: equal where the premise is."""

    known: dict[bytes, int] = field(default_factory=dict)

    def of(self, premise: str) -> int:
        """Return the number of a premise; case and punctuation, which mSimCSE cuts, are no matter.

        A hash of 8 bytes: among a billion premises, about one pair would share it by chance.
        """
        bare = _LETTERS.sub(" ", premise).strip().casefold() or premise
        key = hashlib.blake2b(bare.encode(), digest_size=8).digest()
        return self.known.setdefault(key, len(self.known))


@dataclass
class LanguageRows:
    """The rows of a language while they are read."""

    writer: TextWriter
    path: Path
    labels: "array[int]" = field(default_factory=lambda: array("b"))
    files: list[str] = field(default_factory=list)
    premises: "array[int]" = field(default_factory=lambda: array("q"))


def require_languages(paths: Sequence[str]) -> None:
    """Refuse several files of which it is not known whether they are one language or many."""
    nameless = [path for path in paths if not language_of(path)]
    if nameless and len(paths) > 1:
        raise InputError(
            f"the name of {nameless[0]} does not tell its language",
            hint="name every file with its language's code between dots, as in train.de.tsv",
        )


def read_rows_by_language(
    paths: Sequence[str],
    layouts: Mapping[str, Any],
    folder: Path,
    wanted: set[str],
    files: list[FileFacts],
) -> dict[str, LanguageRows]:
    """Copy the texts of every language to disk; returns labels and places by language."""
    languages: dict[str, LanguageRows] = {}
    numbers = PremiseNumbers()
    try:
        for path in paths:
            digest, rows = hashlib.sha256(), 0
            for row in read_nli(path, layouts[path], digest.update):
                rows += 1
                if wanted and row.language and row.language not in wanted:
                    continue
                if row.language not in languages:
                    place = folder / f"language{len(languages)}"
                    languages[row.language] = LanguageRows(TextWriter(place), place)
                language = languages[row.language]
                if path not in language.files:
                    language.files.append(path)
                used = row.label if row.premise and row.hypothesis else UNUSED
                language.labels.append(used)
                language.premises.append(numbers.of(row.premise))
                language.writer.add(row.premise)
                language.writer.add(row.hypothesis)
            files.append(FileFacts(path, digest.hexdigest(), rows))
    finally:
        for language in languages.values():
            language.writer.__exit__(None, None, None)
    if missing := wanted - languages.keys() if wanted else set():
        raise InputError(
            f"there are no rows of language {sorted(missing)[0]!r}",
            hint=f"the data has {', '.join(sorted(languages)) or 'none'}",
        )
    return languages


def aligned_labels(languages: Mapping[str, LanguageRows]) -> NDArray[np.int8]:
    """Return the labels, the same in all languages; unused where a language lacks a sentence."""
    names = list(languages)
    read = [np.frombuffer(languages[name].labels, dtype=np.int8) for name in names]
    first = read[0].copy()
    for name, labels in zip(names[1:], read[1:], strict=True):
        where = (
            f"{names[0]!r} ({languages[names[0]].files[0]})",
            (f"{name!r} ({languages[name].files[0]})"),
        )
        if len(labels) != len(first):
            raise InputError(
                f"{where[0]} has {len(first):,} rows, {where[1]} has {len(labels):,}",
                hint="rows must be aligned over languages: give files of one corpus and part",
            )
        both = (first != UNUSED) & (labels != UNUSED)
        differing = np.flatnonzero(both & (first != labels))
        if len(differing):
            raise InputError(
                f"row {differing[0] + 1:,} has one label in {where[0]}, another in {where[1]}",
                hint="rows must be aligned over languages: give files of one corpus and part",
            )
        first[labels == UNUSED] = UNUSED
    return first
