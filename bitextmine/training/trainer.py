"""The trainer of transformers with our batches, loss, evaluation, and snapshots that are whole.

sentence-transformers' trainer wants the package datasets and tables of texts; ours are read from
disk by number, so its base, the trainer of transformers, is used directly.
"""

import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, Dataset
from transformers import PrinterCallback, Trainer

from bitextmine.arrays import Floats
from bitextmine.files import read_json, write_json
from bitextmine.training.arguments import tensorboard_callback, trainer_arguments
from bitextmine.training.choices import TrainConfig
from bitextmine.training.folder import (
    BEST,
    BEST_SCORES,
    ExplainedSave,
    save_weights,
    snapshot_name,
    snapshots,
)
from bitextmine.training.loss import cached_backward, contrastive_loss, guessing_loss
from bitextmine.training.sampling import BatchSampler
from bitextmine.training.trainee import Vectoriser, embed, encode_sentences
from bitextmine.training.watch import Watch, diverged

Dev = Callable[[Callable[[Sequence[str]], Floats]], dict[str, float]]
"""Evaluates: is given a function from sentences to vectors, returns scores by name, best last."""

_PARTIAL = ".partial"


class TripletDataset(Dataset[tuple[str, str, str]]):
    """Triplets for torch.

    Parameters
    ----------
    triplets : sequence
        Gives (premise, entailment, contradiction) by number.
    numbers : sequence of int
        Which of them.
    """

    def __init__(self, triplets: Any, numbers: Any) -> None:
        self._triplets, self._numbers = triplets, numbers

    def __len__(self) -> int:
        return len(self._numbers)

    def __getitem__(self, place: int) -> tuple[str, str, str]:
        triplet: tuple[str, str, str] = self._triplets[int(self._numbers[place])]
        return triplet


def collate(vectoriser: Vectoriser, triplets: Sequence[tuple[str, str, str]]) -> dict[str, Tensor]:
    """Tokenise a batch: premises, then entailments, then contradictions."""
    return vectoriser.tokens([texts[i] for i in range(3) for texts in triplets])


class ContrastiveTrainer(Trainer):
    """Trains an encoder on triplets.

    Parameters
    ----------
    model : PreTrainedModel or PeftModel
    vectoriser : Vectoriser
        What surrounds it.
    config : TrainConfig
    dataset : TripletDataset
    sampler : BatchSampler
        The batches of all processes together.
    work : Path
        Where snapshots go.
    dev : callable or None
        Evaluates every ``config.eval_steps``; the adapter of the highest score is kept.
    """

    def __init__(
        self,
        model: Any,
        *,
        vectoriser: Vectoriser,
        config: TrainConfig,
        dataset: TripletDataset,
        sampler: BatchSampler,
        steps: int,
        work: Path,
        dev: Dev | None,
    ) -> None:
        super().__init__(
            model=model,
            args=trainer_arguments(config, steps, work, evaluate=dev is not None),
            data_collator=partial(collate, vectoriser),
            train_dataset=dataset,
            eval_dataset=dataset if dev else None,  # It insists on one; `evaluate` is ours.
        )
        # It would print to stdout, where data belongs.
        self.remove_callback(PrinterCallback)
        self._watch = Watch(work, steps, guessing=guessing_loss(config.batch_size))
        self.add_callback(self._watch)
        if config.tensorboard:
            self.add_callback(tensorboard_callback(config.out))
        self._vectoriser, self._config = vectoriser, config
        self._dataset, self._sampler = dataset, sampler
        self._scored: tuple[int, dict[str, float]] = (-1, {})  # The step, and the metrics at it.
        self._work, self._dev = work, dev
        self._run_dir = work

    @property
    def warnings(self) -> list[str]:
        """What a person should know about the course of the loss."""
        return self._watch.warnings

    def get_train_dataloader(self) -> Any:
        """Return our batches; accelerate deals them out to the processes."""
        loader = DataLoader(
            self._dataset,
            batch_sampler=self._sampler,
            collate_fn=self.data_collator,
            pin_memory=self.args.dataloader_pin_memory,
        )
        return self.accelerator.prepare(loader)

    def compute_loss(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor | Any],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor | tuple[Tensor, Any]:
        """Return the loss of a batch that fits into memory."""
        return self._loss(embed(model, self._vectoriser, inputs))

    def training_step(
        self,
        model: nn.Module,
        inputs: dict[str, Tensor | Any],
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Compute gradients: of the whole batch at once, or in parts."""
        if not self._config.mini_batch:
            return super().training_step(model, inputs, num_items_in_batch)
        model.train()
        share = self.current_gradient_accumulation_steps
        embedder = partial(embed, model, self._vectoriser)
        return cached_backward(
            self._prepare_inputs(inputs),
            part_rows=self._config.mini_batch,
            embed=embedder,
            loss=lambda vectors: self._loss(vectors) / share,
            backward=self.accelerator.backward,
            unsynced=partial(self.accelerator.no_sync, model),
        )

    def _loss(self, vectors: Tensor) -> Tensor:
        loss = contrastive_loss(vectors, self._config.temperature)
        if not torch.isfinite(loss):
            raise diverged(f"the loss is {float(loss.detach())}", self.state.global_step + 1)
        return loss

    def evaluate(self, *arguments: Any, **named: Any) -> dict[str, float]:
        """Score the encoder as it is, and keep it if it is the best so far."""
        assert self._dev is not None
        step, metrics = self._scored
        if step == self.state.global_step:  # The trainer asks twice at the end.
            return metrics
        metrics = {}
        if self.is_world_process_zero():
            with self.compute_loss_context_manager():
                scores = self._dev(partial(encode_sentences, self.model, self._vectoriser))
            metrics = {f"eval_{name}": value for name, value in scores.items()}
            self._keep_if_best(scores)
        self.accelerator.wait_for_everyone()
        self._scored = (self.state.global_step, metrics)
        self.log(dict(metrics))
        return metrics

    def _keep_if_best(self, scores: Mapping[str, float]) -> None:
        folder = self._work / BEST
        kept = read_json(folder / BEST_SCORES)["best"] if folder.exists() else float("-inf")
        for name, value in scores.items():
            if not isfinite(value):
                raise diverged(f"the score {name} is {value}", self.state.global_step)
        score = next(iter(scores.values()))
        if score <= kept:
            return
        partial_folder = self._work / f"{_PARTIAL}-best"
        with self._explained(BEST):
            shutil.rmtree(partial_folder, ignore_errors=True)
            save_weights(self.accelerator.unwrap_model(self.model), partial_folder)
            scored = {"best": score, "step": self.state.global_step, "scores": dict(scores)}
            write_json(partial_folder / BEST_SCORES, scored)
            shutil.rmtree(folder, ignore_errors=True)
            partial_folder.rename(folder)

    def _get_output_dir(self, trial: Any) -> str:
        return str(self._run_dir)

    def _save_checkpoint(self, model: nn.Module, trial: Any) -> None:
        """Write a snapshot beside the others, and rename it when it is whole."""
        name = snapshot_name(self.state.global_step)
        if (self._work / name).exists():  # The trainer asks twice at the end.
            return
        self._run_dir = self._work / _PARTIAL
        try:
            with self._explained(name):
                if self.is_world_process_zero():
                    shutil.rmtree(self._run_dir, ignore_errors=True)
                self.accelerator.wait_for_everyone()
                super()._save_checkpoint(model, trial)
                self.accelerator.wait_for_everyone()
                if self.is_world_process_zero():
                    (self._run_dir / name).rename(self._work / name)
                    self._run_dir.rmdir()
                    for old in snapshots(self._work)[:-1]:
                        shutil.rmtree(old, ignore_errors=True)
        finally:
            self._run_dir = self._work
        self.accelerator.wait_for_everyone()

    def _explained(self, name: str) -> "ExplainedSave":
        known = snapshots(self._work)
        return ExplainedSave(self._work / name, known[-1].name if known else "")
