"""Pairs get their texts a few at a time or all at once, to the same effect."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from here import run_over

from bitextmine.config import OutputConfig, ShardConfig
from bitextmine.files import Scratch
from bitextmine.select.pairs import StoredPairs, make_pairs
from bitextmine.shard.sentences import Sentences
from bitextmine.shard.stage import shard
from bitextmine.workdir import Sides
from bitextmine.write.records import Pair
from bitextmine.write.stage import PAIR_BYTES, pair_records, write_records

N = 50


@pytest.fixture
def sentences(tmp_path: Path) -> Sides[Sentences]:
    for side in ("src", "tgt"):
        lines = [f"{side} {number} 語" for number in range(N)]
        (tmp_path / f"{side} d'été").write_text("\n".join(lines), "utf-8")
    config = ShardConfig(
        src=(str(tmp_path / "src d'été"),), tgt=(str(tmp_path / "tgt d'été"),), shard_size=9
    )
    with run_over(tmp_path / "work", make=True) as run:
        return shard(run, config)


@pytest.fixture
def pairs(tmp_path: Path) -> Iterator[StoredPairs]:
    random = np.random.default_rng(0)
    scores = np.sort(random.random(N))[::-1].copy()
    cosines = random.random(N, dtype=np.float32)
    with Scratch(tmp_path) as scratch:
        stored = StoredPairs(scratch)
        stored.append(make_pairs(random.permutation(N), random.permutation(N), scores, cosines))
        yield stored


@pytest.mark.parametrize("memory", [0, 7 * PAIR_BYTES, 1 << 30])
def test_texts_of_stored_pairs_are_read_as_memory_allows(
    sentences: Sides[Sentences],
    pairs: StoredPairs,
    memory: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    fetched = []
    wanted = list(pair_records(sentences, pairs))
    fetch = Sentences.fetch

    def noted(side: Sentences, numbers: np.ndarray) -> object:
        fetched.append(len(numbers))
        return fetch(side, numbers)

    monkeypatch.setattr(Sentences, "fetch", noted)
    assert list(pair_records(sentences, pairs, memory)) == wanted
    assert max(fetched) <= max(memory // PAIR_BYTES, 1)
    scores, src, tgt, cosines = zip(*pairs.read().tolist(), strict=True)
    assert [(pair.score, pair.cosine) for pair in wanted] == list(zip(scores, cosines, strict=True))
    assert [pair.src for pair in wanted] == [f"src {number} 語" for number in src]
    assert [pair.tgt_origin.line for pair in wanted] == [number + 1 for number in tgt]


def test_pairs_that_go_nowhere_are_given_back(
    sentences: Sides[Sentences], pairs: StoredPairs
) -> None:
    records = pair_records(sentences, pairs)
    given = write_records(records, OutputConfig(), ("de", "en"), None)
    assert len(given) == N
    assert isinstance(given[0], Pair)
