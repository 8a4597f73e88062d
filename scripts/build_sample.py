"""Build the bundled sample and the sentence pairs of the tests from the evaluation data.

    python scripts/build_sample.py ../shared/data

The files are the same every time, since all order comes from a hash of the text. All sentences
are from NTREX-128 and Tatoeba, whose licences allow us to pass them on.
"""

import hashlib
import math
import re
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

import zstandard

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "bitextmine" / "sample"
TEST_DATA = ROOT / "tests" / "data"

N_NTREX_GOLD = 290
N_NTREX_DE = 600  # the other documents are on the English side only
N_TATOEBA_GOLD = 130  # the other pairs give their German sentence only
N_TATOEBA_EN = 2700
TATOEBA_EN = ("ita", "nld", "rus", "spa")  # their English is mostly not that of the German file
N_TEST_PAIRS = 40

SAME_MEANING = 0.25  # overlap of two sentences from which one may be a paraphrase of the other

# Tatoeba has everything people say; a demonstration can do without some of it.
CRUDE = re.compile(r"(?i)\b(sex|sexy|condom|foreskin|bitch|whore|penis|vagina|fuck\w*|shit\w*)\b")

Rarity = Mapping[str, float]


@dataclass(frozen=True)
class Sentence:
    """A sentence of one side.

    Attributes
    ----------
    text : str
        What it says.
    english : str
        What it means: its English translation, or the text itself.
    """

    text: str
    english: str

    def in_english(self) -> "Sentence":
        """Return the translation, as a sentence of the other side."""
        return Sentence(self.english, self.english)


def main() -> None:
    """Deal the sentences out to both sides or to one, and write the sides."""
    evaluation = Path(sys.argv[1])
    documents = read_ntrex(evaluation / "ntrex")
    write_test_pairs(list(chain(*documents)))

    tatoeba = shuffled(read_tatoeba(evaluation / "tatoeba"))
    tatoeba_en = shuffled(read_tatoeba_english(evaluation / "tatoeba"))
    rarity = rarity_of_words([*chain(*documents), *tatoeba, *tatoeba_en])

    gold_ntrex, documents = deal(documents, N_NTREX_GOLD)
    de_ntrex, documents = deal(documents, N_NTREX_DE)
    en_ntrex = [german.in_english() for german in chain(*documents)]

    gold_de = different(gold_ntrex + tatoeba[:N_TATOEBA_GOLD], [], rarity)
    gold_en = [german.in_english() for german in gold_de]
    de_only = different(de_ntrex + tatoeba[N_TATOEBA_GOLD:], gold_de, rarity)
    en_only = different(en_ntrex + tatoeba_en[:N_TATOEBA_EN], gold_de + de_only, rarity)

    write_sample(gold_de, gold_en, shuffled(gold_de + de_only), shuffled(gold_en + en_only))


def read_ntrex(folder: Path) -> list[list[Sentence]]:
    """Read the German side of NTREX-128, cut into its documents, in shuffled order."""
    german = read_lines(folder / "ntrex.deu.txt.zst")
    english = read_lines(folder / "ntrex.eng.txt.zst")
    names = [line.split("\t")[1] for line in read_lines(folder / "documents.tsv")]
    documents: dict[str, list[Sentence]] = {}
    for name, sentence in zip(names, map(Sentence, german, english), strict=True):
        documents.setdefault(name, []).append(sentence)
    return [documents[name] for name in sorted(documents, key=hashed)]


def read_tatoeba(folder: Path) -> list[Sentence]:
    """Read the German sentences of Tatoeba."""
    german = read_lines(folder / "tatoeba.deu-eng.deu.zst")
    english = read_lines(folder / "tatoeba.deu-eng.eng.zst")
    return decent(map(Sentence, german, english))


def read_tatoeba_english(folder: Path) -> list[Sentence]:
    """Read English sentences of Tatoeba that were chosen for other languages than German."""
    paths = [folder / f"tatoeba.{language}-eng.eng.zst" for language in TATOEBA_EN]
    return decent(Sentence(line, line) for path in paths for line in read_lines(path))


def decent(sentences: Iterable[Sentence]) -> list[Sentence]:
    """Leave out what is crude."""
    return [sentence for sentence in sentences if not CRUDE.search(sentence.english)]


def read_lines(path: Path) -> list[str]:
    """Read a text file, compressed or not."""
    content = path.read_bytes()
    if path.suffix == ".zst":
        content = zstandard.ZstdDecompressor().decompressobj().decompress(content)
    return [line.strip() for line in content.decode().split("\n") if line.strip()]


def deal(
    documents: list[list[Sentence]], n_sentences: int
) -> tuple[list[Sentence], list[list[Sentence]]]:
    """Take whole documents until there are enough sentences; return the sentences and the rest."""
    taken: list[Sentence] = []
    n_documents = 0
    while n_documents < len(documents) and len(taken) < n_sentences:
        taken += documents[n_documents]
        n_documents += 1
    return taken, documents[n_documents:]


def different(
    candidates: Iterable[Sentence], others: list[Sentence], rarity: Rarity
) -> list[Sentence]:
    """Keep the candidates that say nothing said before, by a candidate or by the others."""
    kept: list[Sentence] = []
    said = [words(sentence.english) for sentence in others]
    for candidate in candidates:
        own = words(candidate.english)
        if own and all(overlap(own, other, rarity) < SAME_MEANING for other in said):
            kept.append(candidate)
            said.append(own)
    return kept


def words(english: str) -> frozenset[str]:
    """Reduce an English sentence to the stems of its words."""
    return frozenset(
        re.sub(r"(?<=...)(e?s|e?d|ing|e)$", "", word)
        for word in re.findall(r"\w+", english.lower().replace("n't", " not"))
    )


def rarity_of_words(sentences: list[Sentence]) -> Rarity:
    """How much a word tells: the logarithm of one in how many sentences has it."""
    english = {sentence.english for sentence in sentences}
    n_sentences = Counter(word for text in english for word in words(text))
    return {word: math.log(len(english) / count) for word, count in n_sentences.items()}


def overlap(one: frozenset[str], other: frozenset[str], rarity: Rarity) -> float:
    """Share of the words of both that both have (Jaccard), rare words counting more."""
    common = one & other
    if not common:
        return 0.0
    # fsum, since the order of a set of words is not the same every time
    shared = math.fsum(rarity[word] for word in common)
    return shared / math.fsum(rarity[word] for word in one | other)


def shuffled(sentences: Iterable[Sentence]) -> list[Sentence]:
    """Bring sentences into an order that says nothing."""
    return sorted(sentences, key=lambda sentence: hashed(sentence.text))


def hashed(text: str) -> bytes:
    """Stand in for a random number: the same on every machine and with every Python."""
    return hashlib.sha256(text.encode()).digest()


def write_sample(
    gold_de: list[Sentence], gold_en: list[Sentence], de: list[Sentence], en: list[Sentence]
) -> None:
    """Write the two sides, and which lines of theirs belong together."""
    compressor = zstandard.ZstdCompressor(level=19, write_checksum=True)
    for language, side in (("de", de), ("en", en)):
        text = "".join(f"{sentence.text}\n" for sentence in side)
        (SAMPLE / f"sample.{language}.zst").write_bytes(compressor.compress(text.encode()))
    de_lines = {sentence.text: line for line, sentence in enumerate(de, start=1)}
    en_lines = {sentence.text: line for line, sentence in enumerate(en, start=1)}
    gold = sorted(
        (de_lines[german.text], en_lines[english.text])
        for german, english in zip(gold_de, gold_en, strict=True)
    )
    rows = "".join(f"{de_line}\t{en_line}\n" for de_line, en_line in gold)
    (SAMPLE / "gold.tsv").write_text(rows, encoding="utf-8")


def write_test_pairs(ntrex: list[Sentence]) -> None:
    """Write a few sentence pairs of ordinary length, spread over all documents."""
    ordinary = [sentence for sentence in ntrex if 40 <= len(sentence.text) <= 150]
    chosen = ordinary[:: len(ordinary) // N_TEST_PAIRS][:N_TEST_PAIRS]
    for language, texts in (
        ("de", [sentence.text for sentence in chosen]),
        ("en", [sentence.english for sentence in chosen]),
    ):
        content = "".join(f"{text}\n" for text in texts)
        (TEST_DATA / f"pairs.{language}").write_text(content, encoding="utf-8")


if __name__ == "__main__":
    main()
