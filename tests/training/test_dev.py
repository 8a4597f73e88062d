"""Scores during training."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from bitextmine.arrays import Floats
from bitextmine.errors import EncoderError, InputError
from bitextmine.training.dev import make_dev


def at_angle(sentences: Sequence[str]) -> Floats:
    """Turn "30" into a vector at 30 degrees."""
    angles = np.radians([float(sentence) for sentence in sentences])
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)


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


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (b"high\ta\tb", "line 2: the score is 'high'"),
        (b"nan\ta\tb", "line 2: the score is 'nan'"),
        (b"5\ta", "line 2: it is not score<TAB>"),
        (b"5\t\xe4\tb", "line 2: not valid UTF-8"),
    ],
)
def test_lines_of_sts_that_do_not_parse_are_named(tmp_path: Path, line: bytes, said: str) -> None:
    sts = tmp_path / "s ts.tsv"
    sts.write_bytes(b"5\ta\tb\n" + line + b"\n")
    with pytest.raises(InputError, match=said):
        make_dev([str(sts)], None, [], [])


def test_an_encoder_that_finds_all_pairs_equally_alike_is_refused(tmp_path: Path) -> None:
    sts = tmp_path / "sts.tsv"
    sts.write_text("5\t10\t11\n3\t10\t40\n", "utf-8")
    dev = make_dev([str(sts)], None, [], [])
    assert dev is not None
    with pytest.raises(EncoderError, match="the same cosine"):
        dev(lambda sentences: np.ones((len(sentences), 2), np.float32))
