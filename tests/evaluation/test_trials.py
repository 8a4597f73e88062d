"""Models of an evaluation: found first, named apart, run one after the other."""

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import pytest
from toy import TOY_INFO, ToyEncoder

from bitextmine.config import EncodeConfig
from bitextmine.encoders.base import Encoded
from bitextmine.encoders.registry import register_encoder, unregister_encoder
from bitextmine.errors import EncoderError, UsageError
from bitextmine.evaluation.trials import Trial, resolve_models, run_trials
from bitextmine.runcard import RunCard

NOTED = replace(TOY_INFO, name="noted", licence="CC-BY-NC-4.0")


class NotingEncoder(ToyEncoder):
    """Remembers what it was asked for, and truncates, zeroes or breaks what it is told to."""

    info = NOTED

    def __init__(self) -> None:
        self.asked: list[str] = []

    def encode(self, sentences: Sequence[str]) -> Encoded:
        self.asked += sentences
        vectors = super().encode(sentences).embeddings
        vectors[[sentence == "nothing" for sentence in sentences]] = 0
        vectors[[sentence == "broken" for sentence in sentences]] = np.nan
        return Encoded(vectors, truncated=sum(len(sentence) > 20 for sentence in sentences))


@pytest.fixture
def noting() -> Iterator[NotingEncoder]:
    encoder = NotingEncoder()
    register_encoder(NOTED, lambda threads, device: encoder)
    yield encoder
    unregister_encoder(NOTED.name)


def trial(*sides: list[str], name: str = "t") -> Trial:
    return Trial({"name": name}, sides, lambda *vectors: {"rows": [len(v) for v in vectors]})


@pytest.mark.usefixtures("toy", "noting")
def test_every_model_is_measured_by_every_trial() -> None:
    card = RunCard()
    models = resolve_models(["toy", "noted"], EncodeConfig(), card)
    trials = [trial(["a b"], ["c"], name="first"), trial(["a"] * 3, name="second")]
    records = run_trials(models, trials, card)
    assert records == [
        {"model": model, "name": name, "rows": rows}
        for model in ("toy", "noted")
        for name, rows in (("first", [1, 1]), ("second", [3]))
    ]
    assert card.facts["counts"]["toy"] == {"embedded": 5, "truncated": 0, "zero": 0}


def test_a_side_that_two_trials_share_is_encoded_once(noting: NotingEncoder) -> None:
    english = ["yes", "no"]
    models = resolve_models(["noted"], EncodeConfig(), RunCard())
    run_trials(models, [trial(["ja", "nein"], english), trial(["oui", "non"], english)], RunCard())
    assert noting.asked == ["ja", "nein", "yes", "no", "oui", "non"]


def test_windows_change_nothing(noting: NotingEncoder) -> None:
    sentences = [f"sentence {n}" for n in range(1100)]
    found: list[np.ndarray] = []

    def keep(vectors: np.ndarray) -> dict[str, object]:
        found.append(vectors)
        return {}

    models = resolve_models(["noted"], EncodeConfig(), RunCard())
    run_trials(models, [Trial({}, (sentences,), keep)], RunCard())
    assert noting.asked == sentences
    assert (found[0] == ToyEncoder().encode(sentences).embeddings).all()


@pytest.mark.usefixtures("noting")
def test_what_went_wrong_is_counted_and_warned_of() -> None:
    card = RunCard()
    models = resolve_models(["noted"], EncodeConfig(), card)
    run_trials(models, [trial(["nothing", "much more than twenty characters", "fine"])], card)
    assert card.facts["counts"]["noted"] == {"embedded": 3, "truncated": 1, "zero": 1}
    warnings = " ".join(card.facts["warnings"])
    assert "no commercial use" in warnings
    assert "only the start of 1 sentences" in warnings
    assert "zero vectors for 1 sentences" in warnings


@pytest.mark.usefixtures("noting")
def test_vectors_that_are_not_finite_are_refused() -> None:
    models = resolve_models(["noted"], EncodeConfig(), RunCard())
    with pytest.raises(EncoderError, match="noted gave vectors that are not finite"):
        run_trials(models, [trial(["broken"])], RunCard())


@pytest.mark.usefixtures("toy")
def test_a_model_is_given_once() -> None:
    with pytest.raises(UsageError, match="--model toy is given twice"):
        resolve_models(["toy", "toy"], EncodeConfig(), RunCard())


def test_an_unknown_model_is_named_before_any_is_run() -> None:
    with pytest.raises(EncoderError, match="nonesuch"):
        resolve_models(["nonesuch"], EncodeConfig(), RunCard())
