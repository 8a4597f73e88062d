"""Spearman's correlation by hand and as scipy has it, and the tracks in both layouts."""

import importlib
from pathlib import Path

import numpy as np
import pytest
import zstandard
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from bitextmine.config import EncodeConfig
from bitextmine.errors import EncoderError, InputError
from bitextmine.evaluation.trials import resolve_models
from bitextmine.evaluation.xsts import (
    TRACKS,
    cosines,
    evaluate_xsts,
    mean_ranks,
    read_track,
    read_tracks,
    spearman,
)
from bitextmine.runcard import RunCard

STATS = importlib.import_module("scipy.stats")  # has no type hints

numbers = st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=2, max_size=40)


def test_equal_values_share_the_mean_of_their_ranks() -> None:
    assert mean_ranks(np.array([3.0, 1.0, 3.0, 2.0, 3.0])).tolist() == [4, 1, 4, 2, 4]


def test_spearman_is_that_of_the_textbook() -> None:
    # Without ties: 1 - 6 * sum(d^2) / (n (n^2 - 1)), here d = 0, 1, 1, 0, 0 and n = 5.
    found = spearman(np.array([1.0, 2, 3, 4, 5]), np.array([1.0, 3, 2, 4, 5]))
    assert found == pytest.approx(1 - 6 * 2 / (5 * 24))


def test_spearman_with_ties_is_pearsons_of_mean_ranks() -> None:
    # Ranks 1, 2.5, 2.5, 4 against 1, 2, 3, 4: covariance 4.5, spreads 4.5 and 5.
    found = spearman(np.array([0.0, 5, 5, 9]), np.array([1.0, 2, 3, 4]))
    assert found == pytest.approx(4.5 / (4.5 * 5) ** 0.5)


@settings(deadline=None)
@given(numbers)
def test_spearman_is_scipys(pairs: list[tuple[int, int]]) -> None:
    first, second = (np.array(side, dtype=np.float64) for side in zip(*pairs, strict=True))
    assume(len(set(first)) > 1 and len(set(second)) > 1)
    expected = STATS.spearmanr(first, second).statistic
    assert spearman(first, second) == pytest.approx(expected)


def test_a_constant_has_no_correlation() -> None:
    assert np.isnan(spearman(np.ones(3), np.arange(3.0)))


def test_cosines_are_of_rows_of_the_same_number() -> None:
    first = np.array([[2, 0], [1, 1], [0, 0]], dtype=np.float32)
    second = np.array([[1, 1], [3, 3], [1, 0]], dtype=np.float32)
    assert cosines(first, second) == pytest.approx([0.5**0.5, 1, 0])


def official(folder: Path, track: str, pairs: int, scores: list[str]) -> None:
    """Write a track as SemEval does, in two folders."""
    names = {"STS2017.eval.v1.1": "input", "STS2017.gs": "gs"}
    for inside, kind in names.items():
        (folder / inside).mkdir(parents=True, exist_ok=True)
        path = folder / inside / f"STS.{kind}.track{track}.{TRACKS[track]}.txt"
        rows = [f"one {n}\ttwo {n}" for n in range(pairs)] if kind == "input" else scores
        path.write_text("".join(f"{row}\n" for row in rows), "utf-8")


def test_only_the_first_250_of_track_6_have_scores(tmp_path: Path) -> None:
    official(tmp_path, "6", 500, [str(n % 6) for n in range(250)])
    track = read_track(tmp_path, "6")
    assert track is not None
    assert (len(track.first), len(track.second), len(track.scores)) == (250, 250, 250)
    assert (track.first[249], track.second[249]) == ("one 249", "two 249")


def test_other_tracks_must_have_a_score_for_every_pair(tmp_path: Path) -> None:
    official(tmp_path, "1", 4, ["1.0", "2.0"])
    with pytest.raises(InputError, match=r"4 pairs, .* 2 scores"):
        read_track(tmp_path, "1")


def test_a_track_may_be_one_table(tmp_path: Path) -> None:
    table = "4.2\tHola.\tHello.\n0\tUno\u2028dos\tHorse\n".encode()
    (tmp_path / "sts2017.track4a.es-en.tsv.zst").write_bytes(zstandard.compress(table))
    tracks = read_tracks(tmp_path)
    assert list(tracks) == ["4a"]
    assert tracks["4a"].second == ["Hello.", "Horse"]
    assert tracks["4a"].scores.tolist() == [4.2, 0]


@pytest.mark.parametrize(
    ("table", "problem"),
    [
        ("high\ta\tb\n", "line 1: the score is 'high', not a number"),
        ("1\ta\tb\nnan\ta\tb\n", "line 2: the score is 'nan'"),
        ("1\ta\n", "line 1 has 2 columns"),
        ("", "is empty"),
        ("1\ta\tb\n1\tc\td\n", "all scores are the same"),
    ],
)
def test_a_damaged_table_is_refused(tmp_path: Path, table: str, problem: str) -> None:
    (tmp_path / "sts2017.track1.ar-ar.tsv").write_text(table, "utf-8")
    with pytest.raises(InputError, match=problem):
        read_track(tmp_path, "1")


def test_a_score_in_words_is_refused_in_the_official_layout_too(tmp_path: Path) -> None:
    official(tmp_path, "1", 2, ["1.0", "much"])
    with pytest.raises(InputError, match=r"track1.*line 2: the score is 'much'"):
        read_track(tmp_path, "1")


def test_scores_without_sentences_are_refused(tmp_path: Path) -> None:
    (tmp_path / "STS.gs.track1.ar-ar.txt").write_text("1\n", "utf-8")
    with pytest.raises(InputError, match=r"no STS\.input file of track 1"):
        read_track(tmp_path, "1")


def test_a_folder_without_tracks_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no track"):
        read_tracks(tmp_path)
    with pytest.raises(InputError, match="is no folder"):
        read_tracks(tmp_path / "missing")


def table(folder: Path, rows: list[str]) -> Path:
    text = "".join(f"{row}\n" for row in rows)
    (folder / "sts2017.track5.en-en.tsv").write_text(text, "utf-8")
    return folder


@pytest.mark.usefixtures("toy")
def test_a_ranking_like_peoples_scores_100(tmp_path: Path) -> None:
    rows = ["5\tthe big red dog\tthe big red dog", "3\tthe big red dog\tthe big red cat"]
    rows += ["2\tthe big red dog\tthe big car dies", "0\tthe big red dog\tfour words not it"]
    card = RunCard()
    models = resolve_models(["toy"], EncodeConfig(), card)
    report = evaluate_xsts(models, read_tracks(table(tmp_path, rows)), card)
    assert report.records == (
        {"model": "toy", "track": "5", "languages": "en-en", "pairs": 4, "spearman": 100.0},
    )
    assert "not there: track 1, 2, 3, 4a, 4b, 6" in report.notes


@pytest.mark.usefixtures("toy")
def test_an_encoder_that_finds_all_pairs_alike_is_refused(tmp_path: Path) -> None:
    card = RunCard()
    models = resolve_models(["toy"], EncodeConfig(), card)
    tracks = read_tracks(table(tmp_path, ["1\ta b\ta c", "2\ta b\ta c"]))
    with pytest.raises(EncoderError, match="same cosine"):
        evaluate_xsts(models, tracks, card)
