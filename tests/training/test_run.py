"""Trainings of small random models, from files to a folder."""

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import small_models
from safetensors.torch import load_file, save_file
from trainings import stop_at

from bitextmine.errors import EncoderError, UsageError, WorkdirError
from bitextmine.training import run as run_module
from bitextmine.training.choices import TrainConfig
from bitextmine.training.folder import held_folder
from bitextmine.training.run import train


def test_a_snapshot_of_other_settings_is_refused_by_name(
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


def test_a_training_beside_another_in_one_folder_is_refused(
    config: TrainConfig, tmp_path: Path
) -> None:
    out = tmp_path / "one for two"
    alone = SimpleNamespace(is_main_process=True, main_process_first=nullcontext)
    with held_folder(out, alone), pytest.raises(WorkdirError, match="another training is at work"):
        train(replace(config, out=out))


def test_a_training_without_incident_has_no_warnings_in_its_card(whole: Path) -> None:
    assert json.loads((whole / "training.json").read_bytes())["warnings"] == []
