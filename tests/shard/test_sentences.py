"""Sentences by number, wherever their shards are."""

from pathlib import Path

import numpy as np
import pytest
from sharded import sharded

from bitextmine.counts import count_shards
from bitextmine.shard.sentences import Origin, Sentences

LINES = [f"{'é' * (n % 5)} – Satz {n}".strip() for n in range(200)]


@pytest.fixture
def side(tmp_path: Path) -> Sentences:
    workdir, _config = sharded(tmp_path / "l'entrée", "\n".join(LINES), shard_size=30)
    assert count_shards(workdir, "src") == 7
    return Sentences(workdir, "src")


def test_sentences_come_in_the_order_asked_for(side: Sentences) -> None:
    numbers = np.array([7, 199, 7, 0])
    found = side.fetch(numbers)
    assert [text for text, _ in found] == [LINES[number] for number in numbers]
    assert [origin.line for _, origin in found] == [8, 200, 8, 1]
    assert isinstance(found[0][1], Origin)
    assert side.text_bytes == len("".join(LINES).encode())
    assert side.fetch(numbers[:0]) == []


def test_a_sample_is_some_of_the_sentences_in_order_and_always_the_same(side: Sentences) -> None:
    sample = side.sample(20, seed=1)
    assert sample == side.sample(20, seed=1) != side.sample(20, seed=2)
    assert len(set(sample)) == 20
    assert sorted(sample, key=LINES.index) == sample
    assert side.sample(999, seed=1) == LINES
