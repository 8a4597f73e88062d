"""The folder of a finished training."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import small_models
import torch
from trainings import TRIPLETS, adapter, file_size_limit

from bitextmine.checkpoints.manifest import verify_manifest
from bitextmine.errors import OutputError
from bitextmine.training import run as run_module
from bitextmine.training.choices import TrainConfig
from bitextmine.training.output import write_output
from bitextmine.training.run import train


def test_output_is_a_peft_adapter_with_card_course_and_manifest(
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


def test_a_full_disk_at_the_end_leaves_the_last_snapshot_to_go_on_from(
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


def test_all_weights_can_be_trained(config: TrainConfig, tmp_path: Path) -> None:
    out = tmp_path / "full"
    train(replace(config, out=out, method="full", steps=2, gradient_checkpointing=True))
    assert not (out / "adapter_config.json").exists()
    vectors = small_models.library("sentence_transformers").SentenceTransformer(str(out))
    assert vectors.encode(["bridge"]).shape == (1, 32)
