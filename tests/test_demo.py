"""The bundled sample is what its README says."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import zstandard

import bitextmine
from bitextmine.demo import DemoOutcome, read_gold

SAMPLE = Path(bitextmine.__file__).parent / "sample"


def side(language: str) -> list[str]:
    """The sentences of one side."""
    packed = (SAMPLE / f"sample.{language}.zst").read_bytes()
    return zstandard.ZstdDecompressor().decompress(packed).decode().split("\n")[:-1]


def gold() -> list[tuple[int, int]]:
    """Which German line has which English line as its translation."""
    rows = (SAMPLE / "gold.tsv").read_text().splitlines()
    return [(int(de), int(en)) for de, en in (row.split("\t") for row in rows)]


def test_the_sample_is_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) < 400_000


@pytest.mark.parametrize("language", ["de", "en"])
def test_a_side_has_about_two_thousand_sentences_and_no_duplicates(language: str) -> None:
    sentences = side(language)
    assert 1600 < len(sentences) < 2300
    assert len({" ".join(sentence.casefold().split()) for sentence in sentences}) == len(sentences)
    assert all(sentence.strip() == sentence for sentence in sentences)
    assert all(len(sentence.splitlines()) == 1 for sentence in sentences)


def test_gold_lines_exist_and_are_one_to_one() -> None:
    de_lines, en_lines = zip(*gold(), strict=True)
    assert len(set(de_lines)) == len(set(en_lines)) == len(gold())
    assert min(de_lines) >= 1
    assert max(de_lines) <= len(side("de"))
    assert min(en_lines) >= 1
    assert max(en_lines) <= len(side("en"))


def test_a_fifth_or_so_of_the_sentences_has_a_translation() -> None:
    assert 0.18 < len(gold()) / len(side("de")) < 0.25


def test_order_says_nothing_about_the_pairs() -> None:
    assert sum(abs(de - en) < 20 for de, en in gold()) < len(gold()) / 20


def test_the_readme_names_both_sources_and_licences() -> None:
    readme = (SAMPLE / "README.md").read_text(encoding="utf-8")
    for name in ("NTREX-128", "CC BY-SA 4.0", "Tatoeba", "CC BY 2.0 FR"):
        assert name in readme


def outcome(*lines: tuple[int, int]) -> DemoOutcome:
    """What mining pairs of these lines would be."""
    pairs = [
        SimpleNamespace(
            score=1.5 - 0.25 * n,
            src=f"src {src}",
            tgt=f"tgt {tgt}",
            src_origin=SimpleNamespace(line=src),
            tgt_origin=SimpleNamespace(line=tgt),
        )
        for n, (src, tgt) in enumerate(lines)
    ]
    card = {
        "counts": {"src": {"unique": 1200}, "tgt": {"unique": 1300}},
        "seconds": {"total": 2.04},
        "encoder": {"name": "toy"},
    }
    mined: Any = SimpleNamespace(pairs=pairs, n_pairs=len(pairs), card=card)
    return DemoOutcome(mined, frozenset({(1, 1), (2, 3), (9, 9)}))


def test_the_best_pairs_are_shown_as_laser_writes_them() -> None:
    found = outcome((1, 1), (2, 2), (2, 3))
    assert found.format_best(2) == ["1.500000\tsrc 1\ttgt 1", "1.250000\tsrc 2\ttgt 2"]


def test_the_summary_counts_what_is_right() -> None:
    assert outcome((1, 1), (2, 2), (2, 3)).summary == (
        "3 pairs from 1,200 x 1,300 sentences in 2.0 s (toy):"
        " 2 of the 3 known translations found, 66.7 % of the pairs right"
    )
    assert outcome().summary.endswith(
        "0 of the 3 known translations found, 0.0 % of the pairs right"
    )


def test_gold_is_read_as_pairs_of_lines() -> None:
    assert read_gold(SAMPLE / "gold.tsv") == set(gold())
