"""The folder of a finished training: adapter or model, card, course, README, manifest."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bitextmine.checkpoints.description import Description
from bitextmine.checkpoints.layout import README, local_files
from bitextmine.checkpoints.manifest import mark_file, write_manifest
from bitextmine.checkpoints.model_card import read_licence
from bitextmine.encoders.locate import Located
from bitextmine.files import atomic_write, explained_write, write_json
from bitextmine.models.companions import companion_files
from bitextmine.training.choices import TrainConfig
from bitextmine.training.course import COURSE_FILES, write_course
from bitextmine.training.folder import (
    BEST,
    BEST_SCORES,
    CARD,
    WORK,
    ExplainedSave,
    save_weights,
    snapshots,
)
from bitextmine.training.trainer import ContrastiveTrainer


def write_output(
    config: TrainConfig,
    base: Located,
    description: Description,
    trainer: ContrastiveTrainer,
    card: Mapping[str, Any],
) -> None:
    """Write everything; the manifest comes last, so that a folder that has one is complete.

    Raises
    ------
    OutputError
        The disk is full, or the folder cannot be written.
    """
    work, out = config.out / WORK, config.out
    weights = work / BEST
    if not weights.exists():
        weights = work / "last"
        model = trainer.accelerator.unwrap_model(trainer.model)
        known = snapshots(work)
        with ExplainedSave(weights, known[-1].name if known else ""):
            save_weights(model, weights)
    if config.method == "lora":
        _name_base(weights, base)
    target = out
    with explained_write(out):
        if config.method == "full":
            companion_files(base.folder, description, out)
            target = out / description.folder.relative_to(base.folder)
        for path in sorted(weights.iterdir()):
            if path.name != BEST_SCORES:
                shutil.copy2(path, target / path.name)
    write_course(out, trainer.state.log_history)
    write_json(out / CARD, card)
    licence = read_licence(base.folder) or "unknown"
    with atomic_write(out / README) as file:
        file.write(_readme(config, base, licence, card).encode())
    _finish(config, base, licence)


def _name_base(weights: Path, base: Located) -> None:
    """Write the base's name into the adapter's config, as one would give it to --base."""
    path = weights / "adapter_config.json"
    content = json.loads(path.read_bytes())
    repo, _, revision = base.origin.partition("@")
    is_folder = Path(base.origin).expanduser().is_dir()
    content["base_model_name_or_path"] = str(base.folder.resolve()) if is_folder else repo
    content["revision"] = None if is_folder else revision or None
    write_json(path, content)


def _finish(config: TrainConfig, base: Located, licence: str) -> None:
    out = config.out
    names = {*local_files(out), CARD, README}
    names |= {path.name for path in out.iterdir() if path.name in COURSE_FILES}
    names |= {path.name for path in out.glob("adapter_*")}
    write_manifest(
        out,
        name=out.resolve().name,
        sources=[{"role": "base", "source": base.origin, "revision": ""}],
        licence=licence,
        dtype="",
        files={name: mark_file(out / name) for name in names},
    )


def _readme(config: TrainConfig, base: Located, licence: str, card: Mapping[str, Any]) -> str:
    lora = config.method == "lora"
    kind = "A LoRA adapter for" if lora else "All weights of"
    front = f"base_model: {base.origin}\nlibrary_name: {'peft' if lora else 'transformers'}\n"
    if "/" in base.origin and not base.origin.startswith(("/", ".", "~")):
        front = f"license: {licence}\n{front}" if licence != "unknown" else front
    else:
        front = front.partition("\n")[2]
    files = "\n".join(
        f"- {Path(file['path']).name}: {file['rows']:,} rows" for file in card["files"]
    )
    use = (
        "`bitextmine models merge` makes a model of it and its base, for `bitextmine mine`."
        if lora
        else "`bitextmine mine --model` takes this folder."
    )
    return f"""---
{front}---
# {config.out.resolve().name}

{kind} {base.name}, trained by `bitextmine train` for {card["steps"]:,} steps on triplets of
inference data (premise, entailment, contradiction):

{files}

The loss is that of mSimCSE: cross-entropy over all entailments and contradictions of a batch,
cosine over temperature. {use} `training.json` has every setting, the hashes of the data, versions
and figures; `loss.csv` has the course of the loss.

Licence of the base: {licence}. The terms of the training data hold as well; XNLI's authors
publish it under CC BY-NC 4.0 (no commercial use).
"""
