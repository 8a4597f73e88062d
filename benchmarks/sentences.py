"""Real sentences to measure with: from the shared data, else from the sample in the package."""

import io
import random
import sys
from pathlib import Path

import zstandard

from bitextmine.demo import SAMPLE

_REPOSITORY = Path(__file__).resolve().parents[1]
_PLACES = (_REPOSITORY / "shared" / "data", _REPOSITORY.parent / "shared" / "data")
DATA = next((place for place in _PLACES if place.is_dir()), _PLACES[-1])
_SOURCES = {  # what it is, and its files
    "news of NTREX in 30 languages": "ntrex/ntrex.*.txt.zst",
    "short sentences of Tatoeba in 112 languages and English": "tatoeba/tatoeba.*.zst",
    "8 languages and English of the mining tasks": "mining/*/??-en.??.zst",
}


def read_sentences(path: Path) -> list[str]:
    """Lines of a text file, plain or .zst, without an id before a tab."""
    if not path.exists():
        sys.exit(f"{path} does not exist; give a text file with --sentences")
    content = path.read_bytes()
    if path.suffix == ".zst":
        content = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(content)).read()
    lines = content.decode("utf-8").split("\n")
    return [line.rpartition("\t")[2] for line in lines if line.strip()]


def mixed_sentences(count: int, seed: int = 7) -> tuple[list[str], str]:
    """Draw sentences of many languages and lengths, in random order, and say what they are.

    A third each from news, short sentences and mining corpora; within a third, every file counts
    the same. Without the shared data, German and English sentences of the bundled sample, as
    often as it takes.
    """
    chosen = random.Random(seed)
    if not DATA.is_dir():
        sample = [line for path in sorted(SAMPLE.glob("*.zst")) for line in read_sentences(path)]
        return chosen.choices(sample, k=count), "the bundled sample, German and English, repeated"
    drawn: list[str] = []
    for number, pattern in enumerate(_SOURCES.values()):
        files = [read_sentences(path) for path in sorted(DATA.glob(pattern))]
        third = (count + number) // len(_SOURCES)
        drawn += [chosen.choice(chosen.choice(files)) for _ in range(third)]
    chosen.shuffle(drawn)
    return drawn, "a third each: " + "; ".join(_SOURCES)


def tatoeba_sentences(language: str) -> list[str]:
    """All sentences of a language's Tatoeba file."""
    return read_sentences(DATA / "tatoeba" / f"tatoeba.{language}-eng.{language}.zst")


def ntrex_sentences(language: str) -> list[str]:
    """All sentences of a language's NTREX file."""
    return read_sentences(DATA / "ntrex" / f"ntrex.{language}.txt.zst")
