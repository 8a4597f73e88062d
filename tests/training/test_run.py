"""Trainings of small random models, from files to a folder."""

import importlib
import json
import resource
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import small_models
import torch
from safetensors.torch import load_file, save_file

from bitextmine.checkpoints.description import describe
from bitextmine.checkpoints.manifest import verify_manifest
from bitextmine.errors import EncoderError, OutputError, UsageError, WorkdirError
from bitextmine.training import run as run_module
from bitextmine.training.checkpoints import checkpoints
from bitextmine.training.choices import TrainConfig
from bitextmine.training.folder import held_folder
from bitextmine.training.loss import contrastive_loss
from bitextmine.training.output import write_output
from bitextmine.training.run import train
from bitextmine.training.sampling import BatchSampler
from bitextmine.training.trainee import encode, load_model, make_pipeline
from bitextmine.training.trainer import ContrastiveTrainer, TripletDataset

WORDS = ["bridge", "Monday", "children", "village", "yard", "closed"]
WORDS += ["rain", "seit", "Most", "Regen", "enfants", "passent"]
TRIPLETS = [
    (f"{word} {other} {word}", f"{word} {other}", f"{other} is not {word}")
    for word in WORDS
    for other in WORDS[:4]
    if word != other
]


@pytest.fixture(scope="module")
def mt5(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_models.mt5(tmp_path_factory.mktemp("models") / "it's « mT5 »")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("data") / "tri plets.jsonl"
    names = ("premise", "entailment", "contradiction")
    lines = [json.dumps(dict(zip(names, triplet, strict=True))) for triplet in TRIPLETS]
    path.write_text("\n".join(lines) + "\n", "utf-8")
    return path


@pytest.fixture(scope="module")
def config(mt5: Path, data: Path, tmp_path_factory: pytest.TempPathFactory) -> TrainConfig:
    out = tmp_path_factory.mktemp("out") / "ünused"
    return TrainConfig(
        model=str(mt5),
        data=(str(data),),
        out=out,
        steps=8,
        batch_size=4,
        learning_rate=0.01,
        log_steps=1,
        save_steps=4,
        eval_steps=4,
        cpu=True,
    )


@pytest.fixture(scope="module")
def whole(config: TrainConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training that nothing interrupted."""
    out = tmp_path_factory.mktemp("out") / "whole"
    train(replace(config, out=out))
    return out


def stop_at(step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make the next training end at a step as by Ctrl-C."""
    compute = ContrastiveTrainer.compute_loss

    def interrupted(self: ContrastiveTrainer, *arguments: Any, **named: Any) -> Any:
        if self.state.global_step == step:
            raise KeyboardInterrupt
        return compute(self, *arguments, **named)

    monkeypatch.setattr(ContrastiveTrainer, "compute_loss", interrupted)


@contextmanager
def file_size_limit(limit: int) -> Iterator[None]:
    """Let no file grow beyond some bytes: as a full disk, but for the number of the error."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def adapter(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "adapter_model.safetensors")


def test_lora_lowers_the_loss_and_moves_no_frozen_weight(config: TrainConfig) -> None:
    config = replace(config, batch_size=8, learning_rate=0.003)
    description = describe(Path(config.model), max_length=32)
    pipeline = make_pipeline(description, config, 0)
    model = load_model(description, config, torch.float32)
    trainer = ContrastiveTrainer(
        model,
        pipeline=pipeline,
        config=config,
        dataset=TripletDataset(TRIPLETS, range(len(TRIPLETS))),
        sampler=BatchSampler(np.arange(len(TRIPLETS)), 8, 40, 1),
        steps=40,
        work=config.out,
        dev=None,
    )

    def loss() -> float:
        texts = [triplet[part] for part in range(3) for triplet in TRIPLETS]
        return float(contrastive_loss(torch.from_numpy(encode(model, pipeline, texts)), 0.05))

    before, loss_before = _weights(model), loss()
    trainer.train()
    assert loss() < 0.9 * loss_before
    for name, weight in model.named_parameters():
        assert torch.equal(weight, before[name]) != ("lora_" in name), name


def _weights(model: Any) -> dict[str, torch.Tensor]:
    return {name: weight.detach().clone() for name, weight in model.named_parameters()}


def test_output_is_a_peft_adapter_with_card_curves_and_manifest(
    whole: Path, mt5: Path, data: Path
) -> None:
    peft, transformers = (small_models.library(name) for name in ("peft", "transformers"))
    base = transformers.MT5EncoderModel.from_pretrained(mt5)
    assert peft.PeftModel.from_pretrained(base, whole) is not None
    verify_manifest(whole)
    card = json.loads((whole / "training.json").read_bytes())
    assert card["settings"]["seed"] == 42
    assert card["files"][0]["rows"] == len(TRIPLETS)
    assert card["kept"] == {"step": 8, "why": "the last step"}
    assert (whole / "loss.csv").read_text().count("\n") == 9
    assert not (whole / "work").exists()


def test_a_training_that_was_stopped_goes_on_as_if_it_was_not(
    config: TrainConfig, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    resumed = replace(config, out=tmp_path / "re sumed")
    with monkeypatch.context() as patched:
        stop_at(6, patched)
        with pytest.raises(KeyboardInterrupt):
            train(resumed)
    assert [path.name for path in checkpoints(resumed.out / "work")] == ["checkpoint-4"]
    train(resumed)
    assert (resumed.out / "loss.csv").read_bytes() == (whole / "loss.csv").read_bytes()
    expected = adapter(whole)
    for name, weight in adapter(resumed.out).items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=0)


def test_a_full_disk_leaves_the_checkpoint_before_intact(
    config: TrainConfig, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = replace(config, out=tmp_path / "full")
    with monkeypatch.context() as patched:
        stop_at(5, patched)
        with pytest.raises(KeyboardInterrupt):
            train(full)
    with file_size_limit(7000), pytest.raises(OutputError, match="checkpoint-8") as raised:
        train(full)
    assert "checkpoint-4 is whole" in raised.value.hint
    assert [path.name for path in checkpoints(full.out / "work")] == ["checkpoint-4"]
    train(full)
    assert (full.out / "loss.csv").read_bytes() == (whole / "loss.csv").read_bytes()


def test_a_full_disk_at_the_end_leaves_the_last_checkpoint_to_go_on_from(
    config: TrainConfig, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    full = replace(config, out=tmp_path / "full at the end")
    with monkeypatch.context() as patched:

        def limited(*arguments: Any) -> None:
            with file_size_limit(2000):
                write_output(*arguments)

        patched.setattr(run_module, "write_output", limited)
        with pytest.raises(OutputError, match=r"cannot write .*last") as raised:
            train(full)
    assert "checkpoint-8 is whole" in raised.value.hint
    train(full)
    expected = adapter(whole)
    for name, weight in adapter(full.out).items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=0)


def test_a_full_disk_while_texts_are_stored_is_explained(
    config: TrainConfig, tmp_path: Path
) -> None:
    out = tmp_path / "te xts"
    with file_size_limit(200), pytest.raises(OutputError, match=r"cannot write .*texts"):
        train(replace(config, out=out))


def test_a_checkpoint_of_other_settings_is_refused_by_name(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        stop_at(5, patched)
        with pytest.raises(KeyboardInterrupt):
            train(replace(config, out=tmp_path / "out"))
    with pytest.raises(WorkdirError, match=r"temperature: 0\.05 there, 0\.1 now"):
        train(replace(config, out=tmp_path / "out", temperature=0.1))


def test_files_in_another_order_are_other_data(
    config: TrainConfig, data: Path, tmp_path: Path
) -> None:
    more = tmp_path / "mo re.jsonl"
    more.write_text(data.read_text("utf-8").replace("closed", "opened"), "utf-8")
    both = replace(config, out=tmp_path / "out", data=(str(data), str(more)), steps=1)
    train(both)
    assert train(both).card["steps"] == 1
    with pytest.raises(WorkdirError, match=r"other settings \(data: "):
        train(replace(both, data=both.data[::-1]))


def test_of_several_processes_only_the_main_one_has_a_card(
    config: TrainConfig, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    second = SimpleNamespace(
        is_main_process=False, process_index=1, num_processes=1, main_process_first=nullcontext
    )
    monkeypatch.setattr(run_module, "_processes", lambda config: second)
    assert train(replace(config, out=whole)).card == {}


def test_a_finished_training_is_not_repeated(config: TrainConfig, whole: Path) -> None:
    before = (whole / "adapter_model.safetensors").stat()
    with pytest.raises(WorkdirError, match="other settings"):
        train(replace(config, out=whole, seed=7))
    assert train(replace(config, out=whole)).card["steps"] == 8
    assert (whole / "adapter_model.safetensors").stat() == before
    assert not (whole / "work").exists()


def test_the_best_model_is_kept(config: TrainConfig, tmp_path: Path) -> None:
    out = tmp_path / "best"
    card = train(replace(config, out=out, dev_rows=8)).card
    scores = [line.split(",") for line in (out / "scores.csv").read_text().split()]
    assert [row[0] for row in scores] == ["step", "4", "8"]
    best = max(scores[1:], key=lambda row: float(row[1]))
    assert card["kept"]["step"] == int(best[0])
    assert card["source_rows"] == len({triplet[0] for triplet in TRIPLETS})


def test_a_batch_in_parts_trains_as_the_batch_at_once(config: TrainConfig, tmp_path: Path) -> None:
    base = small_models.mt5(tmp_path / "base", dropout_rate=0.0)  # it would fall on other tokens
    settled = replace(config, model=str(base), lora_dropout=0.0, steps=3, accumulate=2)
    curves = []
    for mini_batch in (0, 5):
        each = replace(settled, out=tmp_path / str(mini_batch), mini_batch=mini_batch)
        train(each)
        rows = (each.out / "loss.csv").read_text().split()[1:]
        curves.append([float(cell) for row in rows for cell in row.split(",")])
    assert curves[0] == pytest.approx(curves[1], rel=1e-4)


def test_gradient_checkpointing_changes_no_loss(config: TrainConfig, tmp_path: Path) -> None:
    curves = []
    for on in (False, True):
        out = tmp_path / str(on)
        train(replace(config, out=out, steps=3, gradient_checkpointing=on))
        curves.append((out / "loss.csv").read_bytes())
    assert curves[0] == curves[1]


def test_all_weights_can_be_trained(config: TrainConfig, tmp_path: Path) -> None:
    out = tmp_path / "full"
    train(replace(config, out=out, method="full", steps=2, gradient_checkpointing=True))
    assert not (out / "adapter_config.json").exists()
    vectors = small_models.library("sentence_transformers").SentenceTransformer(str(out))
    assert vectors.encode(["bridge"]).shape == (1, 32)


def test_a_loss_that_is_not_a_number_stops_the_training(
    config: TrainConfig, mt5: Path, tmp_path: Path
) -> None:
    broken = small_models.mt5(tmp_path / "broken")
    weights = load_file(broken / "model.safetensors")
    weights["encoder.final_layer_norm.weight"][3] = float("nan")
    save_file(weights, broken / "model.safetensors", {"format": "pt"})
    with pytest.raises(EncoderError, match="the loss is nan at step 1"):
        train(replace(config, model=str(broken), out=tmp_path / "out"))


def test_a_batch_larger_than_the_data_is_refused(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a batch needs 100 triplets"):
        train(replace(config, out=tmp_path / "out", batch_size=100))


def test_a_refused_attempt_does_not_stand_in_the_way_of_the_next(
    config: TrainConfig, tmp_path: Path
) -> None:
    first = replace(config, out=tmp_path / "first", steps=1)
    with pytest.raises(UsageError):
        train(replace(first, batch_size=100))
    with pytest.raises(UsageError):
        train(replace(first, lora_targets=("no such layer",)))
    assert train(first).card["settings"]["batch_size"] == 4


def test_too_many_dev_rows_are_refused_by_name(config: TrainConfig, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--dev-rows 999") as raised:
        train(replace(config, out=tmp_path / "out", dev_rows=999))
    assert "--dev-rows" in raised.value.hint


def test_tensorboard_is_missed_at_the_start(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("tensorboard", "tensorboardX"):
        monkeypatch.setitem(sys.modules, name, None)  # as if not installed
    with pytest.raises(UsageError, match="tensorboard") as raised:
        train(replace(config, out=tmp_path / "out", tensorboard=True))
    assert "pip install tensorboard" in raised.value.hint
    assert not (tmp_path / "out").exists()


def test_event_files_for_tensorboard_stay_when_the_training_is_finished(
    config: TrainConfig, tmp_path: Path
) -> None:
    pytest.importorskip("tensorboard")
    out = tmp_path / "é vents"
    train(replace(config, out=out, steps=4, dev_rows=8, tensorboard=True))
    verify_manifest(out)
    events = importlib.import_module("tensorboard.backend.event_processing.event_accumulator")
    found = events.EventAccumulator(str(out / "tensorboard")).Reload()
    assert {"train/loss", "eval/triplets"} <= set(found.Tags()["scalars"])
    assert [event.step for event in found.Scalars("train/loss")] == [1, 2, 3, 4]


def test_a_training_beside_another_in_one_folder_is_refused(
    config: TrainConfig, tmp_path: Path
) -> None:
    out = tmp_path / "one for two"
    alone = SimpleNamespace(is_main_process=True, main_process_first=nullcontext)
    with held_folder(out, alone), pytest.raises(WorkdirError, match="another training is at work"):
        train(replace(config, out=out))


def test_a_training_without_incident_has_no_warnings_in_its_card(whole: Path) -> None:
    assert json.loads((whole / "training.json").read_bytes())["warnings"] == []
