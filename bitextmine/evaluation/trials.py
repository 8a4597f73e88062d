"""The models of one evaluation: found first, then loaded one after the other."""

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np

from bitextmine.arrays import Floats
from bitextmine.config import EncodeConfig, limits_of
from bitextmine.encode.choice import licence_warnings
from bitextmine.encoders.base import Encoder, encode_windows
from bitextmine.encoders.registry import version_warnings
from bitextmine.encoders.spec import EncoderSpec, load_spec, resolve_spec
from bitextmine.errors import EncoderError, UsageError
from bitextmine.machine import usable_threads
from bitextmine.progress import bar
from bitextmine.runcard import RunCard

WINDOW_ROWS = 512  # The progress bar steps after so many sentences.


@dataclass(frozen=True)
class NamedModel:
    """A model before it is loaded.

    Attributes
    ----------
    label : str
        What tables call it; unique.
    spec : EncoderSpec
        How to load it.
    config : EncodeConfig
        As the user asked for it.
    """

    label: str
    spec: EncoderSpec
    config: EncodeConfig

    def described(self) -> dict[str, Any]:
        """Return what makes its vectors differ from all others, and their licence."""
        info = self.spec.info
        return {
            "label": self.label,
            "asked": self.config.model,
            "package": info.package,
            "licence": info.licence,
            "identity": self.spec.identity(),
        }


@dataclass(frozen=True)
class Trial:
    """Sentences to encode, and what their vectors are measured by.

    Attributes
    ----------
    keys : dict
        What names it in a table.
    sides : tuple of list of str
        The sentences. A list that the trial before has too is encoded once.
    measure : callable
        From one array of vectors a side, float32 (n, d), to figures by name.
    """

    keys: dict[str, Any]
    sides: tuple[list[str], ...]
    measure: Callable[..., dict[str, Any]]


def resolve_models(
    models: Sequence[str], config: EncodeConfig, card: RunCard
) -> tuple[NamedModel, ...]:
    """Find every model, so that a missing one is named before the first is run.

    Parameters
    ----------
    models : sequence of str
        Names, folders or hub ids.
    config : EncodeConfig
        What holds for all of them.
    card : RunCard
        Takes warnings, and a description of each model.

    Raises
    ------
    BitextmineError
        A model is unknown or not here, is given twice, or cannot do what is asked.
    """
    configs = [replace(config, model=model) for model in models]
    specs = [resolve_spec(c.model, c.options(), limits_of(c)) for c in configs]
    same_name = Counter(spec.info.name for spec in specs)
    found = tuple(
        NamedModel(s.info.name if same_name[s.info.name] == 1 else c.model, s, c)
        for s, c in zip(specs, configs, strict=True)
    )
    for label, count in Counter(model.label for model in found).items():
        if count > 1:
            raise UsageError(f"--model {label} is given twice", hint="give every model once")
    for spec in specs:
        packaged = version_warnings(spec.info.name) if spec.description is None else ()
        for warning in packaged + licence_warnings(spec.info):
            card.show(warning)
    card.facts["models"] = [model.described() for model in found]
    return found


def run_trials(
    models: Sequence[NamedModel], trials: Sequence[Trial], card: RunCard
) -> list[dict[str, Any]]:
    """Measure every model by every trial.

    Returns
    -------
    list of dict
        One record a model and trial: "model", the keys of the trial, its figures.

    Raises
    ------
    EncoderError
        A model is damaged, or gives vectors that nobody can use.
    """
    records = []
    for model in models:
        with card.timed(model.label):
            embedder = _Embedder(model)
            records += list(_measured(embedder, trials))
        embedder.warn(card)
    return records


def _measured(embedder: "_Embedder", trials: Sequence[Trial]) -> Iterator[dict[str, Any]]:
    total = sum({id(side): len(side) for trial in trials for side in trial.sides}.values())
    kept: list[tuple[list[str], Floats]] = []  # The sides of the trial before.
    with bar(embedder.label[:12], total=total, unit="sentences") as progress:
        for trial in trials:
            known = kept
            kept = []
            for side in trial.sides:
                vectors = next((v for s, v in known + kept if s is side), None)
                if vectors is None:
                    vectors = embedder.embed(side, progress.update)
                kept.append((side, vectors))
            figures = trial.measure(*(vectors for _, vectors in kept))
            yield {"model": embedder.label, **trial.keys, **figures}


class _Embedder:
    """A loaded model, and how much went wrong with it so far."""

    def __init__(self, model: NamedModel) -> None:
        threads = usable_threads(model.config.threads)
        (device, *_) = model.spec.devices(limits_of(model.config))
        self.label = model.label
        self._encoder: Encoder = load_spec(model.spec, threads=threads, device=device)
        self._truncated = self._zero = self._embedded = 0

    def embed(self, sentences: Sequence[str], report: Callable[[int], object]) -> Floats:
        """Encode sentences, in windows, on the first device."""
        rows = min(self._encoder.info.chunk_rows, WINDOW_ROWS)
        bounds = [*range(0, len(sentences), rows), len(sentences)]
        windows = (sentences[start:stop] for start, stop in pairwise(bounds))
        parts = []
        with closing(encode_windows(self._encoder, windows)) as stream:
            for encoded in stream:
                parts.append(encoded.embeddings)
                self._truncated += encoded.truncated
                report(len(encoded.embeddings))
        vectors = np.concatenate(parts)
        if not np.isfinite(vectors).all():
            raise EncoderError(
                f"{self.label} gave vectors that are not finite",
                hint="the encoder is broken, or computes in a number format too small for it",
            )
        self._zero += int((~vectors.any(axis=1)).sum())
        self._embedded += len(vectors)
        return vectors

    def warn(self, card: RunCard) -> None:
        """Count what went wrong, and warn of it."""
        counts = {"embedded": self._embedded, "truncated": self._truncated, "zero": self._zero}
        card.facts.setdefault("counts", {})[self.label] = counts
        if self._truncated:
            card.show(f"{self.label} read only the start of {self._truncated:,} sentences")
        if self._zero:
            card.show(f"{self.label} gave zero vectors for {self._zero:,} sentences")
