"""Pairs in a file come back as they were appended."""

from pathlib import Path

import numpy as np

from bitextmine.files import Scratch
from bitextmine.select.pairs import StoredPairs, make_pairs


def test_pairs_come_back_in_the_order_in_which_they_were_appended(tmp_path: Path) -> None:
    random = np.random.default_rng(0)
    src, tgt = random.integers(0, 2**32, (2, 9))
    pairs = make_pairs(src, tgt, random.random(9), random.random(9, np.float32))
    assert pairs["src"].tolist() == src.tolist()
    assert pairs["tgt"].tolist() == tgt.tolist()
    with Scratch(tmp_path) as scratch:
        stored = StoredPairs(scratch)
        assert len(stored.read()) == 0
        assert list(stored.blocks(4)) == []
        for rows in (slice(0, 5), slice(5, 5), slice(5, 9)):
            stored.append(pairs[rows])
        assert len(stored) == 9
        assert stored.read().tolist() == pairs.tolist()
        assert stored.read(2, 4).tolist() == pairs[2:4].tolist()
        assert stored.read(7, 99).tolist() == pairs[7:].tolist()
        assert [block.tolist() for block in stored.blocks(4)] == [
            pairs[:4].tolist(), pairs[4:8].tolist(), pairs[8:].tolist(),
        ]  # fmt: skip
