"""A small encoder that is quick, deterministic and real enough to mine with."""

import hashlib
from collections.abc import Sequence

import numpy as np

from bitextmine.encoders.base import Encoded, EncoderInfo

TOY_INFO = EncoderInfo(
    name="toy",
    summary="hashed words, for tests: numbers and names that both sides share decide",
    dim=64,
    languages=frozenset({"de", "en"}),
    package="tests",
    size_mib=0,
    licence="Apache-2.0",
    threshold=1.02,
    threshold_source="chosen for the tests",
)


class ToyEncoder:
    """Adds up a fixed random vector per word; the same sentence always gives the same bits."""

    info = TOY_INFO

    def encode(self, sentences: Sequence[str]) -> Encoded:
        """Encode the sentences one by one."""
        rows = [self._vector(sentence) for sentence in sentences]
        return Encoded(np.array(rows, dtype=np.float32).reshape(len(rows), self.info.dim))

    def _vector(self, sentence: str) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
        total = np.full(self.info.dim, 0.5)
        for word in sentence.lower().split():
            seed = int.from_bytes(hashlib.blake2b(word.encode(), digest_size=4).digest(), "big")
            total += np.random.default_rng(seed).standard_normal(self.info.dim)
        norm: float = np.sqrt((total * total).sum())
        return total / norm


NAMES = [
    "Anna",
    "Berlin",
    "Carl",
    "Dresden",
    "Emil",
    "Frankfurt",
    "Gerda",
    "Hamburg",
    "Ida",
    "Jena",
    "Karl",
    "Lübeck",
]


def src_line(n: int) -> str:
    return f"Satz {n} über {NAMES[n % 10]} und {NAMES[n * 7 % 9]} mit {n * n % 97}"


def tgt_line(n: int) -> str:
    return f"sentence {n} on {NAMES[n % 10]} and {NAMES[n * 7 % 9]} with {n * n % 97}"
