"""Scores during training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bitextmine.errors import InputError
from bitextmine.search.neighbours import Floats
from bitextmine.training.dev import make_dev, spearman


def at_angle(sentences: Sequence[str]) -> Floats:
    """Turn "30" into a vector at 30 degrees."""
    angles = np.radians([float(sentence) for sentence in sentences])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


def test_spearman_shares_ranks_among_equals() -> None:
    # ranks 1, 2.5, 2.5, 4 against 1, 3, 2, 4: covariance 4.5, variances 4.5 and 5
    assert spearman([1, 2, 2, 9], [0.1, 0.7, 0.2, 0.8]) == pytest.approx(4.5 / (4.5 * 5) ** 0.5)


def test_scores_come_in_the_order_of_their_weight(tmp_path: Path) -> None:
    sts = tmp_path / "sts.tsv"
    sts.write_text("5\t10\t11\n3\t10\t40\n0\t10\t95\n", "utf-8")
    for side in ("deu", "eng"):
        (tmp_path / f"tatoeba.deu-eng.{side}").write_text("1\n50\n", "utf-8")
    dev = make_dev([str(sts)], tmp_path, ["deu"], [("1", "2", "50"), ("1", "50", "2")])
    assert dev is not None
    assert list(dev(at_angle).items()) == [
        ("sts", pytest.approx(100)),
        ("tatoeba", 100),
        ("triplets", 50),
    ]


def test_without_test_sets_nothing_is_evaluated() -> None:
    assert make_dev([], None, [], []) is None


def test_scores_that_are_not_numeric_are_named_by_line(tmp_path: Path) -> None:
    sts = tmp_path / "sts.tsv"
    sts.write_text("5\ta\tb\nhigh\ta\tb\n", "utf-8")
    with pytest.raises(InputError, match=r"sts\.tsv:2: "):
        make_dev([str(sts)], None, [], [])
