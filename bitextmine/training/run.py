"""train(): from files of inference data to an adapter, or a model, in a folder."""

import importlib
import logging
import shutil
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bitextmine.checkpoints.layout import MANIFEST
from bitextmine.checkpoints.locate import Located, locate
from bitextmine.checkpoints.manifest import weights_hash
from bitextmine.encoders.options import EncoderOptions
from bitextmine.encoders.transformer.description import Description, describe
from bitextmine.encoders.transformer.encoder import unpooled_tokens
from bitextmine.errors import EncoderError, OutputError, UsageError, WorkdirError
from bitextmine.training.arguments import compute_dtype, require_tensorboard
from bitextmine.training.checkpoints import checkpoints
from bitextmine.training.config import TrainConfig
from bitextmine.training.dev import make_dev
from bitextmine.training.network import load_model, make_pipeline
from bitextmine.training.output import write_output
from bitextmine.training.sampling import BatchSampler
from bitextmine.training.trainer import (
    BEST,
    BEST_SCORES,
    ContrastiveTrainer,
    TripletDataset,
)
from bitextmine.training.triplets import Rows, Triplets, read_all
from bitextmine.writing import explained_write, read_json, write_json

LOG = logging.getLogger(__name__)

WORK, SETTINGS, TEXTS = "work", "settings.json", "texts"


@dataclass(frozen=True)
class Trained:
    """What came of a training.

    Attributes
    ----------
    folder : Path
        The adapter, or the model.
    card : mapping
        Everything about it: ``training.json``; of several processes, only the main one has it.
    """

    folder: Path
    card: Mapping[str, Any]


def train(config: TrainConfig) -> Trained:
    """Train an encoder on inference data, or go on with a training that was interrupted.

    Started by torchrun or accelerate, every process runs this function.

    Raises
    ------
    EncoderError
        The base cannot be loaded or trained; the loss or a gradient is not finite.
    InputError
        Data does not parse, or is not aligned.
    OutputError
        The folder holds something else, or cannot be written.
    UsageError
        A choice does not suit base or data.
    WorkdirError
        The folder holds a training of other settings.
    """
    begun = time.monotonic()
    require_tensorboard(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    processes = _processes(config)
    base = locate(config.model)
    description = _described(base, config)
    work = config.out / WORK
    with processes.main_process_first():
        _prepare_folder(config.out, is_main=processes.is_main_process)
    # Every process reads the data; on each, the texts have a folder of their own.
    texts = work / TEXTS / str(processes.process_index)
    with explained_write(texts):
        shutil.rmtree(texts, ignore_errors=True)
        texts.mkdir(parents=True)
    triplets = read_all(
        config.data, texts, langs=config.langs, setting=config.setting, seed=config.seed
    )
    settings = _settings(config, base, triplets, processes.num_processes)
    with processes.main_process_first():
        finished = _check_settings(config.out, settings, is_main=processes.is_main_process)
    if finished is not None:
        LOG.info("%s is trained already", config.out)
        if processes.is_main_process:  # not earlier: the others have read their texts by now
            shutil.rmtree(work, ignore_errors=True)
        return Trained(config.out, finished if processes.is_main_process else {})
    known = checkpoints(work)
    if known:
        LOG.info("going on from %s", known[-1].name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # libraries about one another
        trainer = _make_trainer(config, description, triplets, processes.num_processes)
        trainer.train(resume_from_checkpoint=str(known[-1]) if known else None)
    card: dict[str, Any] = {}
    if processes.is_main_process:
        card = _card(config, base, triplets, settings, trainer)
        card |= {
            "encoder": {"prompt": description.prompt, "pooling": description.poolings[0]},
            "seconds": round(time.monotonic() - begun, 1),  # of this run, if it was resumed
        }
        write_output(config, base, description, trainer, card)
        shutil.rmtree(work, ignore_errors=True)
    processes.wait_for_everyone()
    return Trained(config.out, card)


def _processes(config: TrainConfig) -> Any:
    """Return accelerate's view of all processes, one of which is this."""
    try:
        accelerate = importlib.import_module("accelerate")
    except ImportError as error:
        raise EncoderError(
            "training needs the package accelerate, which is not installed",
            hint="pip install 'bitextmine[train]'",
        ) from error
    return accelerate.PartialState(cpu=config.cpu)


def _described(base: Located, config: TrainConfig) -> Description:
    return describe(
        base.folder,
        prompt=config.prompt,
        max_length=config.max_length,
        pooling=config.pooling,
        known_prompt=base.preset.prompt if base.preset is not None else "",
        trust_remote_code=config.trust_remote_code,
    )


def _prepare_folder(out: Path, *, is_main: bool) -> None:
    """Make the folder, unless it holds something that is not ours."""
    with explained_write(out):
        foreign = out.exists() and not out.is_dir()
        if out.is_dir() and not (out / WORK).exists() and not (out / MANIFEST).exists():
            foreign = any(out.iterdir())
        if foreign:
            raise OutputError(
                f"{out} exists already, and is not a training",
                hint="choose an empty or a new folder with --out",
            )
        if is_main:
            (out / WORK).mkdir(parents=True, exist_ok=True)


def _settings(
    config: TrainConfig, base: Located, triplets: Triplets, processes: int
) -> dict[str, Any]:
    """Return everything on which the result depends."""
    settings = config.settings()
    settings.pop("data")  # a file may be moved
    return settings | {
        "model": weights_hash(base.folder),
        "data": [file.sha256 for file in triplets.files],  # their order numbers the triplets
        "language_order": list(triplets.languages),
        "processes": processes,
    }


def _check_settings(
    out: Path, settings: Mapping[str, Any], *, is_main: bool
) -> Mapping[str, Any] | None:
    """Refuse a folder of other settings; returns the card if it is a finished training.

    Without a checkpoint there is nothing to go on from: a first attempt may have been refused for
    the very setting that is another one now.
    """
    finished = (out / MANIFEST).exists()
    place = out / "training.json" if finished else out / WORK / SETTINGS
    if finished or checkpoints(out / WORK):
        content = read_json(place)
        known = content["settings"]
        for name, value in settings.items():
            if known.get(name) != value:
                raise WorkdirError(
                    f"{out} holds a training with another {name.replace('_', ' ')}:"
                    f" {_shown(known.get(name))} there, {_shown(value)} now",
                    hint="use the settings of before, or choose another folder with --out",
                )
        if finished:
            return content
    elif is_main:
        shutil.rmtree(out / WORK / BEST, ignore_errors=True)  # of settings that may be others
        write_json(place, {"settings": dict(settings)})
    return None


def _shown(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 60 else f"{text[:57]}…"


def _make_trainer(
    config: TrainConfig, description: Description, triplets: Triplets, processes: int
) -> ContrastiveTrainer:
    train_numbers, dev_numbers = _split(triplets.groups, config)
    at_once = config.batch_size * config.accumulate * processes
    steps = config.steps or max(1, int(config.epochs * len(train_numbers)) // at_once)
    sampler = BatchSampler(
        triplets.groups[train_numbers],
        config.batch_size,
        steps * config.accumulate * processes,
        config.seed,
    )
    dev = make_dev(
        config.dev_sts,
        config.dev_tatoeba,
        config.dev_langs,
        [triplets[number] for number in dev_numbers.tolist()],
    )
    skip = unpooled_tokens(description, EncoderOptions(trust_remote_code=config.trust_remote_code))
    pipeline = make_pipeline(description, config, skip)
    return ContrastiveTrainer(
        load_model(description, config, compute_dtype(config)),
        pipeline=pipeline,
        config=config,
        dataset=TripletDataset(triplets, train_numbers),
        sampler=sampler,
        steps=steps,
        work=config.out / WORK,
        dev=dev,
    )


def _split(groups: Rows, config: TrainConfig) -> tuple[Rows, Rows]:
    """Keep some source rows out of training, with one triplet of each for evaluation."""
    rows, firsts = np.unique(groups, return_index=True)
    if len(rows) - config.dev_rows < config.batch_size <= len(rows):
        raise UsageError(
            f"--dev-rows {config.dev_rows} of {len(rows):,} source rows leaves too few for a"
            f" batch of {config.batch_size}",
            hint="give a smaller --dev-rows, a smaller --batch-size, or more data",
        )
    kept = np.random.default_rng(config.seed).permutation(len(rows))[: config.dev_rows]
    train_numbers = np.flatnonzero(~np.isin(groups, rows[kept]))
    return train_numbers, np.sort(firsts[kept])


def _card(
    config: TrainConfig,
    base: Located,
    triplets: Triplets,
    settings: Mapping[str, Any],
    trainer: ContrastiveTrainer,
) -> dict[str, Any]:
    """Return everything about a training that someone might ask later."""
    from bitextmine.machine import describe_machine

    best = config.out / WORK / BEST / BEST_SCORES
    model: Any = trainer.model
    steps = trainer.state.global_step
    return {
        "settings": dict(settings),
        "base": {"name": base.name, "origin": base.origin, "hash": settings["model"]},
        "files": [asdict(file) for file in triplets.files],
        "languages": list(triplets.languages),
        "triplets": len(triplets),
        "source_rows": len(np.unique(triplets.groups)),
        "unused_rows": triplets.unused,
        "steps": steps,
        "epochs": steps
        * config.batch_size
        * config.accumulate
        * settings["processes"]
        / len(triplets),
        "trained_weights": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "kept": read_json(best) if best.exists() else {"step": steps, "why": "the last step"},
        "machine": describe_machine(),
    }
