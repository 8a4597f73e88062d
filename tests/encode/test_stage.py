"""The stage encodes both sides on whatever suits the encoder, and refuses what is of no use."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from here import NotingEngine, run_over
from sharded import both_sharded
from toy import ToyEncoder

from bitextmine.config import EncodeConfig
from bitextmine.counts import shard_sizes
from bitextmine.encode import stage as encode_stage
from bitextmine.encode.choice import ModelChoice, choose_encoder
from bitextmine.encode.stage import encode
from bitextmine.encode.vectors import Vectors, open_vectors
from bitextmine.encoders.base import Encoded
from bitextmine.errors import EncoderError, WorkdirError
from bitextmine.files import read_json
from bitextmine.machine import Limits
from bitextmine.runcard import Run
from bitextmine.shard.sentences import open_sentences
from bitextmine.workdir import SIDES, Side, Sides, Workdir

TEXTS: dict[Side, list[str]] = {
    "src": [f"Satz {n} über {n * n % 17}" for n in range(25)],
    "tgt": [f"sentence {n} on {n * n % 19}" for n in range(4)],
}

pytestmark = pytest.mark.usefixtures("toy")


@pytest.fixture
def workdir(tmp_path: Path) -> Workdir:
    """A work directory of several src shards and one tgt shard."""
    src, tgt = ("\n".join(TEXTS[side]) for side in SIDES)
    return both_sharded(tmp_path, src, tgt, shard_size=10)


def config(**flags: Any) -> EncodeConfig:
    return EncodeConfig(model="toy", src_lang="de", tgt_lang="en", **flags)


def choice_of(run: Run, **flags: Any) -> ModelChoice:
    return choose_encoder(run, config(**flags), open_sentences(run.workdir), None)


def encoded(workdir: Workdir, engine: NotingEngine | None = None, **flags: Any) -> Sides[Vectors]:
    """Do the stage in a run of its own."""
    with run_over(workdir.root, engine=engine) as run:
        return encode(run, config(**flags), choice_of(run, **flags))


def test_every_sentence_of_both_sides_gets_its_vector(workdir: Workdir) -> None:
    vectors = encoded(workdir)
    for side in SIDES:
        assert len(vectors.of(side)) == len(TEXTS[side])
        wanted = ToyEncoder().encode(TEXTS[side]).embeddings
        for shard in range(len(shard_sizes(workdir, side))):
            files = workdir.shard(side, shard)
            rows = np.load(files.embeddings, allow_pickle=False)
            np.testing.assert_allclose(rows, wanted[np.load(files.numbers)], atol=5e-4)


def test_a_task_is_a_shard_and_its_units_are_sentences(workdir: Workdir) -> None:
    engine = NotingEngine()
    encoded(workdir, engine)
    (step,) = engine.steps
    sizes = [shard_sizes(workdir, side) for side in SIDES]
    assert len(sizes[0]) > 1
    assert list(step.units) == [*sizes[0], *sizes[1]]
    assert [task[1:3] for task in step.arguments] == [
        (side, shard) for side, rows in zip(SIDES, sizes, strict=True) for shard in range(len(rows))
    ]
    assert step.describe(step.arguments[0]) == "encoding src shard 0"


@pytest.mark.parametrize(("devices", "on"), [((), "cpu"), (("cpu", "cpu"), "device")])
def test_an_embedded_encoder_has_the_whole_machine_unless_devices_are_named(
    workdir: Workdir, devices: tuple[str, ...], on: str
) -> None:
    engine = NotingEngine(Limits(devices))
    with run_over(workdir.root, engine=engine) as run:
        encode(run, config(), choice_of(run))
    assert [step.on for step in engine.steps] == [on]


def test_a_projection_is_fitted_before_any_shard_is_encoded(workdir: Workdir) -> None:
    engine = NotingEngine()
    vectors = encoded(workdir, engine, dim=8)
    assert [step.name for step in engine.steps] == ["draw", "sample", "fit", "encode"]
    assert vectors.src.dim == vectors.tgt.dim == 8
    (units,) = (step.units for step in engine.steps if step.name == "sample")
    assert list(units) == [25 + 4]


def test_what_is_encoded_is_not_encoded_again(workdir: Workdir) -> None:
    encoded(workdir)
    engine = NotingEngine()
    assert len(encoded(workdir, engine).src) == 25
    assert engine.steps == []


def test_only_finished_vectors_can_be_opened(
    workdir: Workdir, monkeypatch: pytest.MonkeyPatch
) -> None:
    def die(*task: object, **where: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(encode_stage, "encode_shard", die)
        encoded(workdir)
    with pytest.raises(WorkdirError, match="no finished results of the stage 'encode'"):
        open_vectors(workdir)
    assert len(encoded(workdir).src) == 25


def test_vectors_of_another_encoder_are_refused(workdir: Workdir) -> None:
    encoded(workdir)
    with run_over(workdir.root) as run:
        choice = choice_of(run)
        other = replace(choice, identity=choice.identity | {"weights": "others"})
        with pytest.raises(WorkdirError, match=r"weights: .* there, 'others' now"):
            encode(run, config(), other)


def test_the_choice_is_kept_and_its_warnings_are_noted(workdir: Workdir) -> None:
    with run_over(workdir.root) as run:
        choice = replace(choice_of(run), warnings=("toy was not trained on Maori (mi)",))
        encode(run, config(), choice)
        assert run.card.facts["warnings"] == ["toy was not trained on Maori (mi)"]
    assert read_json(workdir.done("encode"))["warnings"] == ["toy was not trained on Maori (mi)"]
    assert ModelChoice.of(workdir).info == choice.info


def breaking(monkeypatch: pytest.MonkeyPatch, sentences: Sequence[str]) -> None:
    """Let the toy encoder give zero vectors for these sentences."""
    real = ToyEncoder.encode

    def encode(self: ToyEncoder, texts: Sequence[str]) -> Encoded:
        embeddings = real(self, texts).embeddings
        embeddings[[text in sentences for text in texts]] = 0
        return Encoded(embeddings)

    monkeypatch.setattr(ToyEncoder, "encode", encode)


def test_up_to_half_of_a_side_without_a_vector_is_warned_of(
    workdir: Workdir, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch, [*TEXTS["src"][:1], *TEXTS["tgt"][:2]])
    with run_over(workdir.root) as run:
        encode(run, config(), choice_of(run))
        assert run.card.facts["warnings"] == [
            "toy gave zero or non-finite vectors for 1 of 25 src sentences; they are in no pair",
            "toy gave zero or non-finite vectors for 2 of 4 tgt sentences; they are in no pair",
        ]


def test_more_than_half_of_a_side_without_a_vector_is_refused(
    workdir: Workdir, monkeypatch: pytest.MonkeyPatch
) -> None:
    breaking(monkeypatch, TEXTS["tgt"][:3])
    with pytest.raises(EncoderError, match="for 3 of 4 tgt sentences") as told:
        encoded(workdir)
    assert "the encoder is broken" in told.value.hint
    assert not workdir.done("encode").exists()
