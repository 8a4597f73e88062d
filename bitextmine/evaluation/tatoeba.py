"""Tatoeba: how often is the nearest sentence of the other language the translation?

The test sets of LASER (https://github.com/facebookresearch/LASER, data/tatoeba/v1): up to 1,000
aligned pairs a language, with English on the other side. A sentence counts as right if the
sentence of highest cosine on the other side is the one on its own line.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from bitextmine.arrays import Floats
from bitextmine.encoders.base import Encoder
from bitextmine.errors import EncoderError, InputError
from bitextmine.evaluation.files import find_file, read_sentences

# XTREME (Hu et al. 2020) tests 36 languages; 14 of them are those of XNLI.
_XNLI = "ara bul cmn deu ell fra hin rus spa swh tha tur urd vie"
_OTHERS = "afr ben est eus fin heb hun ind ita jav jpn kat kaz kor mal mar nld pes por tam tel tgl"
TATOEBA_14 = tuple(_XNLI.split())
TATOEBA_36 = tuple(sorted([*TATOEBA_14, *_OTHERS.split()]))
_BLOCK_ROWS = 4096  # rows whose cosines are held at a time


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


def read_pairs(folder: Path, language: str) -> tuple[list[str], list[str]]:
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


def macro_average(accuracies: Iterable[Accuracy]) -> Accuracy:
    """Average over languages, each of which counts the same, whatever its number of pairs."""
    listed = list(accuracies)
    return Accuracy(fmean(a.to_eng for a in listed), fmean(a.from_eng for a in listed))


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
