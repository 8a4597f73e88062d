"""train(): from files of inference data to an adapter, or a model, in a folder."""

import importlib
import logging
import time
import warnings
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bitextmine.checkpoints.description import Description, describe
from bitextmine.checkpoints.manifest import weights_hash
from bitextmine.config import EncoderOptions
from bitextmine.encoders.locate import Located, locate
from bitextmine.encoders.transformer.encoder import unpooled_tokens
from bitextmine.errors import EncoderError, UsageError
from bitextmine.files import read_json
from bitextmine.training.arguments import compute_dtype, require_tensorboard
from bitextmine.training.choices import TrainConfig
from bitextmine.training.dev import make_dev
from bitextmine.training.folder import (
    BEST,
    BEST_SCORES,
    WORK,
    finished_card,
    held_folder,
    snapshots,
    texts_folder,
)
from bitextmine.training.output import write_output
from bitextmine.training.sampling import BatchSampler
from bitextmine.training.trainee import load_trainee, make_vectoriser
from bitextmine.training.trainer import ContrastiveTrainer, TripletDataset
from bitextmine.training.triplets import RowIndices, Triplets, read_all

LOG = logging.getLogger(__name__)


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


@dataclass(frozen=True, kw_only=True)
class _Job:
    """What is trained, on what; ``settings`` is all on which the result depends."""

    config: TrainConfig
    base: Located
    description: Description
    triplets: Triplets
    settings: Mapping[str, Any]
    begun: float  # Seconds, as time.monotonic counts them.


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
        The folder holds a training of other settings, or one is at work in it.
    """
    begun = time.monotonic()
    require_tensorboard(config)
    if config.threads:
        torch.set_num_threads(config.threads)
    processes = _processes(config)
    base = locate(config.model)
    description = _described(base, config)
    with held_folder(config.out, processes):
        job = _read_data(config, base, description, processes, begun)
        with processes.main_process_first():
            card = finished_card(config.out, job.settings, is_main=processes.is_main_process)
        if card is None:
            card = _run(job, processes)
        else:
            LOG.info("%s is trained already", config.out)
    return Trained(config.out, card if processes.is_main_process else {})


def _read_data(
    config: TrainConfig, base: Located, description: Description, processes: Any, begun: float
) -> _Job:
    """Read the data, with which all settings are known."""
    texts = texts_folder(config.out, processes.process_index)
    triplets = read_all(
        config.data, texts, langs=config.langs, setting=config.setting, seed=config.seed
    )
    settings = _settings(config, base, triplets, processes.num_processes)
    return _Job(
        config=config,
        base=base,
        description=description,
        triplets=triplets,
        settings=settings,
        begun=begun,
    )


def _run(job: _Job, processes: Any) -> dict[str, Any]:
    """Train, from the last snapshot if there is one, and write what came of it."""
    known = snapshots(job.config.out / WORK)
    if known:
        LOG.info("going on from %s", known[-1].name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # Libraries warn of one another.
        trainer = _make_trainer(job, processes.num_processes)
        trainer.train(resume_from_checkpoint=str(known[-1]) if known else None)
    card: dict[str, Any] = {}
    if processes.is_main_process:
        card = _card(job, trainer)
        write_output(job.config, job.base, job.description, trainer, card)
    processes.wait_for_everyone()
    return card


def _processes(config: TrainConfig) -> Any:
    """Return accelerate's view of all processes, one of which is this."""
    try:
        accelerate = importlib.import_module("accelerate")  # It has no type hints.
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


def _settings(
    config: TrainConfig, base: Located, triplets: Triplets, processes: int
) -> dict[str, Any]:
    """Return everything on which the result depends."""
    settings = config.settings()
    settings.pop("data")  # A file may be moved.
    return settings | {
        "model": weights_hash(base.folder),
        "data": [file.sha256 for file in triplets.files],  # Their order numbers the triplets.
        "language_order": list(triplets.languages),
        "processes": processes,
    }


def _make_trainer(job: _Job, processes: int) -> ContrastiveTrainer:
    config, description, triplets = job.config, job.description, job.triplets
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
    vectoriser = make_vectoriser(description, config, skip)
    return ContrastiveTrainer(
        load_trainee(description, config, compute_dtype(config)),
        vectoriser=vectoriser,
        config=config,
        dataset=TripletDataset(triplets, train_numbers),
        sampler=sampler,
        steps=steps,
        work=config.out / WORK,
        dev=dev,
    )


def _split(groups: RowIndices, config: TrainConfig) -> tuple[RowIndices, RowIndices]:
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


def _card(job: _Job, trainer: ContrastiveTrainer) -> dict[str, Any]:
    """Return everything about a training that someone might ask later."""
    from bitextmine.machine import describe_machine

    config, triplets, settings = job.config, job.triplets, job.settings
    best = config.out / WORK / BEST / BEST_SCORES
    model: Any = trainer.model
    steps = trainer.state.global_step
    rows = steps * config.batch_size * config.accumulate * settings["processes"]
    return {
        "settings": dict(settings),
        "base": {"name": job.base.name, "origin": job.base.origin, "hash": settings["model"]},
        "files": [asdict(file) for file in triplets.files],
        "languages": list(triplets.languages),
        "triplets": len(triplets),
        "source_rows": len(np.unique(triplets.groups)),
        "unused_rows": triplets.unused,
        "steps": steps,
        "epochs": rows / len(triplets),
        "trained_weights": sum(p.numel() for p in model.parameters() if p.requires_grad),
        "kept": read_json(best) if best.exists() else {"step": steps, "why": "the last step"},
        "warnings": trainer.warnings,
        "encoder": {
            "prompt": job.description.prompt,
            "pooling": job.description.poolings[0],
        },
        "seconds": round(time.monotonic() - job.begun, 1),  # Of this run, if it was resumed.
        "machine": describe_machine(),
    }
