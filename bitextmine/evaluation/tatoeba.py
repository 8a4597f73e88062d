"""Tatoeba: how often is the nearest sentence of the other language the translation?

The test sets of LASER (https://github.com/facebookresearch/LASER, data/tatoeba/v1): up to 1,000
aligned pairs a language, with English on the other side. A sentence counts as right if the
sentence of highest cosine on the other side is the one on its own line.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bitextmine.arrays import Floats
from bitextmine.errors import InputError
from bitextmine.evaluation.gold_files import find_file, read_sentences

# XTREME (Hu et al. 2020) tests 36 languages; 14 of them are those of XNLI.
_XNLI = "ara bul cmn deu ell fra hin rus spa swh tha tur urd vie"
_OTHERS = "afr ben est eus fin heb hun ind ita jav jpn kat kaz kor mal mar nld pes por tam tel tgl"
TATOEBA_14 = tuple(_XNLI.split())
TATOEBA_36 = tuple(sorted([*TATOEBA_14, *_OTHERS.split()]))
_BLOCK_ROWS = 4096  # The cosines of so many rows are held at a time.

AlignedSentences = tuple[list[str], list[str]]
"""Sentences, and the English translation of each."""


@dataclass(frozen=True)
class Accuracy:
    """How often the nearest sentence is the translation, in percent.

    Attributes
    ----------
    to_eng : float
        Of the other language's sentences, searched among the English ones; what MTEB reports.
    from_eng : float
        Of the English sentences, searched among the other language's; what XTREME reports.
    """

    to_eng: float
    from_eng: float

    @property
    def mean(self) -> float:
        """Of both directions; what mSimCSE and m-ST5 report."""
        return (self.to_eng + self.from_eng) / 2


def read_pairs(folder: Path, language: str) -> AlignedSentences:
    """Read a test set: sentences, and the English translation of each.

    Parameters
    ----------
    folder : Path
        Has ``tatoeba.xxx-eng.xxx`` and ``tatoeba.xxx-eng.eng``, compressed (``.zst``) or not.
    language : str
        Tatoeba's code of it, "deu".

    Raises
    ------
    InputError
        A file is missing or damaged, a line is blank, or the two have not as many lines.
    """
    sides = [_read_side(folder, f"tatoeba.{language}-eng.{side}") for side in (language, "eng")]
    if len(sides[0]) != len(sides[1]):
        raise InputError(
            f"Tatoeba's {language}: {len(sides[0]):,} sentences, but {len(sides[1]):,} in English",
            hint=f"fetch or copy both tatoeba.{language}-eng files again",
        )
    return sides[0], sides[1]


def _read_side(folder: Path, name: str) -> list[str]:
    found = find_file(folder, name)
    if found is None:
        raise InputError(
            f"{folder} has no {name}",
            hint="the files are in LASER's repository, in data/tatoeba/v1",
        )
    return read_sentences(found)


def retrieval_accuracy(src: Floats, eng: Floats) -> Accuracy:
    """Search both ways, without margin; of equal cosines the earlier line wins.

    Parameters
    ----------
    src, eng : ndarray of float32, shape (n, d)
        Row i of one is the translation of row i of the other; of any length.

    Raises
    ------
    ValueError
        The shapes differ, or there are no rows.
    """
    if src.shape != eng.shape or src.ndim != 2 or len(src) == 0:
        raise ValueError(f"vectors of shapes {src.shape} and {eng.shape} are not aligned pairs")
    units, english = _units(src), _units(eng)
    return Accuracy(_share_right(units, english), _share_right(english, units))


def _units(vectors: Floats) -> Floats:
    """Rows of unit length; a zero row stays zero."""
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / np.where(norms > 0, norms, 1)).astype(np.float32)


def _share_right(queries: Floats, index: Floats) -> float:
    """Percent of rows whose nearest row has their own number."""
    right = 0
    for start in range(0, len(queries), _BLOCK_ROWS):
        nearest = (queries[start : start + _BLOCK_ROWS] @ index.T).argmax(axis=1)
        right += int((nearest == np.arange(start, start + len(nearest))).sum())
    return 100 * right / len(queries)
