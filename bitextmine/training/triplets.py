"""Triplets of premise, entailment and contradiction, from all files together.

Texts lie on disk; memory holds some numbers a row, so that the data may be larger than memory.
"""

import hashlib
from array import array
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitextmine.errors import InputError
from bitextmine.training.aligned import (
    FileFacts,
    LanguageRows,
    PremiseNumbers,
    aligned_labels,
    read_rows_by_language,
    require_languages,
)
from bitextmine.training.nli_files import (
    CONTRADICTION,
    ENTAILMENT,
    UNUSED,
    layout_of,
    read_triplets,
)
from bitextmine.training.text_store import TextReader, TextWriter

RowIndices = NDArray[np.int64]

# Source rows differ where the premises of this language do, or else those of the first language.
_REFERENCE = "en"


@dataclass(frozen=True, kw_only=True)
class NliTriplets:
    """Triplets of inference data that is aligned over languages.

    As mSimCSE makes them (its ``merge_multi_lingual.py``): each row of entailment gives one
    triplet a language of the premise. Hypothesis and contradiction are each in a language drawn
    by chance and independently (of one language: all in that). The contradiction is that of the
    same premise, the last if there are several; if there is none, one drawn from all.

    Attributes
    ----------
    texts : sequence of TextReader
        A language each: premise and hypothesis of every row, in turn.
    entailments, contradictions : ndarray of int64, shape (n,)
        Rows that belong together.
    rows : ndarray of int64, shape (n,)
        Numbers of the source rows: equal where the premise is.
    crossed : bool
        Whether languages are mixed within a triplet.
    """

    texts: Sequence[TextReader]
    entailments: RowIndices
    contradictions: RowIndices
    rows: RowIndices
    crossed: bool
    seed: int

    def __len__(self) -> int:
        return len(self.entailments) * len(self.texts)

    def groups(self) -> RowIndices:
        """Return the source row of every triplet."""
        return np.repeat(self.rows, len(self.texts))

    def __getitem__(self, number: int) -> tuple[str, str, str]:
        row, language = divmod(number, len(self.texts))
        languages = [language, language]
        if self.crossed:
            drawn = np.random.default_rng([self.seed, number])
            languages = drawn.integers(len(self.texts), size=2).tolist()
        entailed, contradicted = int(self.entailments[row]), int(self.contradictions[row])
        return (
            self.texts[language][2 * entailed],
            self.texts[languages[0]][2 * entailed + 1],
            self.texts[languages[1]][2 * contradicted + 1],
        )


@dataclass(frozen=True, kw_only=True)
class ReadyTriplets:
    """Triplets of a file that holds them as such."""

    texts: TextReader  # Three a triplet.
    rows: RowIndices

    def __len__(self) -> int:
        return len(self.texts) // 3

    def groups(self) -> RowIndices:
        """Return the source row of every triplet."""
        return self.rows

    def __getitem__(self, number: int) -> tuple[str, str, str]:
        premise, entailment, contradiction = (self.texts[3 * number + i] for i in range(3))
        return premise, entailment, contradiction


@dataclass(frozen=True, kw_only=True)
class Triplets:
    """All triplets, by number.

    Attributes
    ----------
    groups : ndarray of int64, shape (n,)
        The source row of each, over all files.
    languages : tuple of str
        Of the inference data.
    unused : int
        Rows of inference data left out: without a label, or with an empty sentence.
    """

    parts: Sequence[NliTriplets | ReadyTriplets]
    groups: RowIndices
    languages: tuple[str, ...]
    files: tuple[FileFacts, ...]
    unused: int

    def __len__(self) -> int:
        return len(self.groups)

    def __getitem__(self, number: int) -> tuple[str, str, str]:
        for part in self.parts:
            if number < len(part):
                return part[number]
            number -= len(part)
        raise IndexError(number)


def read_all(
    paths: Sequence[str], folder: Path, *, langs: Sequence[str], setting: str, seed: int
) -> Triplets:
    """Read files of inference data and of triplets, in any mixture.

    Parameters
    ----------
    paths : sequence of str
        See `nli_files`. Files with labels are aligned over languages, row by row; those of
        one language are read one behind the other.
    folder : Path
        An empty one, for the texts.
    langs : sequence of str
        Languages to take; () = all.
    setting : str
        "monolingual", "cross-lingual", or "auto": cross-lingual if there are several languages.
    seed : int
        Of languages and contradictions that are drawn.

    Raises
    ------
    InputError
        A file cannot be read; languages are not aligned; there is nothing to train on.
    """
    numbers = PremiseNumbers()
    layouts = {path: layout_of(path) for path in paths}
    labelled = [path for path, layout in layouts.items() if layout not in ("csv", "jsonl")]
    require_languages([path for path in labelled if layouts[path] != "xnli"])
    ready = [path for path in paths if path not in labelled]
    parts: list[NliTriplets | ReadyTriplets] = []
    files: list[FileFacts] = []
    languages: tuple[str, ...] = ()
    unused = 0
    if labelled:
        read = read_rows_by_language(labelled, layouts, folder, set(langs), files)
        labels = aligned_labels(read)
        crossed = setting == "cross-lingual" or (setting == "auto" and len(read) > 1)
        parts.append(_pair_up(read, labels, numbers, crossed=crossed, seed=seed))
        languages, unused = tuple(read), int((labels == UNUSED).sum())
    for number, path in enumerate(ready):
        parts.append(_read_ready(path, folder / f"triplets{number}", numbers, layouts, files))
    groups = np.concatenate([part.groups() for part in parts])
    if not len(groups):
        raise InputError(
            f"there are no triplets in {', '.join(paths)}",
            hint="a triplet needs a row of entailment and one of contradiction",
        )
    return Triplets(
        parts=parts, groups=groups, languages=languages, files=tuple(files), unused=unused
    )


def _pair_up(
    languages: Mapping[str, LanguageRows],
    labels: NDArray[np.int8],
    numbers: PremiseNumbers,
    *,
    crossed: bool,
    seed: int,
) -> NliTriplets:
    """Find the contradiction of every row of entailment."""
    reference = languages.get(_REFERENCE) or next(iter(languages.values()))
    texts = [TextReader(language.path) for language in languages.values()]
    own = TextReader(reference.path)
    entailments = np.flatnonzero(labels == ENTAILMENT).astype(np.int64)
    contradicting = np.flatnonzero(labels == CONTRADICTION)
    if len(entailments) and not len(contradicting):
        raise InputError(
            f"no row of {reference.files[0]} is a contradiction",
            hint="the data needs rows of entailment and of contradiction",
        )
    last = {reference.premises[row]: row for row in contradicting.tolist()}
    drawn = iter(_drawn(contradicting, seed))
    contradictions = [last.get(reference.premises[row]) for row in entailments.tolist()]
    return NliTriplets(
        texts=texts,
        entailments=entailments,
        contradictions=np.array(
            [next(drawn) if row is None else row for row in contradictions], dtype=np.int64
        ),
        rows=np.array([numbers.of(own[2 * row]) for row in entailments.tolist()], np.int64),
        crossed=crossed,
        seed=seed,
    )


def _drawn(rows: RowIndices, seed: int) -> Iterator[int]:
    """Draw rows by chance, without end."""
    generator = np.random.default_rng([seed, len(rows)])
    while True:
        yield int(rows[generator.integers(len(rows))])


def _read_ready(
    path: str,
    place: Path,
    numbers: PremiseNumbers,
    layouts: Mapping[str, Any],
    files: list[FileFacts],
) -> ReadyTriplets:
    """Copy the triplets of a file to disk."""
    digest, rows = hashlib.sha256(), array("q")
    with TextWriter(place) as writer:
        for triplet in read_triplets(path, layouts[path], digest.update):
            rows.append(numbers.of(triplet.group or triplet.premise))
            for text in triplet[:3]:
                writer.add(text)
    files.append(FileFacts(path, digest.hexdigest(), len(rows)))
    return ReadyTriplets(texts=TextReader(place), rows=np.frombuffer(rows, dtype=np.int64))
