"""Pairs get their texts a few at a time or all at once, to the same effect."""

from pathlib import Path

import numpy as np
import pytest

from bitextmine.config import OutputConfig, ShardConfig
from bitextmine.files import Scratch
from bitextmine.pipeline import shard
from bitextmine.runcard import RunCard
from bitextmine.select.pairs import Pairs, StoredPairs, make_records
from bitextmine.shard.sentences import Sentences
from bitextmine.workdir import Workdir
from bitextmine.write.records import Pair
from bitextmine.write.stage import PAIR_BYTES, pair_records, write_results

N = 50


@pytest.fixture
def sharded(tmp_path: Path) -> tuple[Workdir, ShardConfig]:
    for side in ("src", "tgt"):
        lines = [f"{side} {number} 語" for number in range(N)]
        (tmp_path / f"{side} d'été").write_text("\n".join(lines), "utf-8")
    config = ShardConfig(
        src=(str(tmp_path / "src d'été"),), tgt=(str(tmp_path / "tgt d'été"),), shard_size=9
    )
    workdir = Workdir(tmp_path / "work")
    workdir.create()
    shard(workdir, config, RunCard())
    return workdir, config


def some_pairs() -> Pairs:
    random = np.random.default_rng(0)
    scores = np.sort(random.random(N))[::-1].copy()
    cosines = random.random(N, dtype=np.float32)
    return Pairs(random.permutation(N), random.permutation(N), scores, cosines)


@pytest.mark.parametrize("memory", [0, 7 * PAIR_BYTES, 1 << 30])
def test_texts_of_stored_pairs_are_read_as_memory_allows(
    sharded: tuple[Workdir, ShardConfig], memory: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    pairs, fetched = some_pairs(), []
    wanted = list(pair_records(*sharded, pairs))
    fetch = Sentences.fetch

    def noted(side: Sentences, numbers: np.ndarray) -> object:
        fetched.append(len(numbers))
        return fetch(side, numbers)

    monkeypatch.setattr(Sentences, "fetch", noted)
    with Scratch(sharded[0].root) as scratch:
        stored = StoredPairs(scratch)
        stored.append(make_records(pairs.src, pairs.tgt, pairs.scores, pairs.cosines))
        assert list(pair_records(*sharded, stored, memory)) == wanted
    assert max(fetched) <= max(memory // PAIR_BYTES, 1)
    assert [pair.src for pair in wanted] == [f"src {number} 語" for number in pairs.src]
    assert [pair.tgt_origin.line for pair in wanted] == (pairs.tgt + 1).tolist()


def test_pairs_that_go_nowhere_are_given_back(sharded: tuple[Workdir, ShardConfig]) -> None:
    records = pair_records(*sharded, some_pairs())
    given = write_results(records, OutputConfig(), ("de", "en"), None)
    assert len(given) == N
    assert isinstance(given[0], Pair)
