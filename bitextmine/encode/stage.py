"""The stage `encode`: sentences -> rows of vectors on disk, of both sides."""

import logging

from bitextmine.config import EncodeConfig
from bitextmine.counts import count_shards, encoded_counts, shard_sizes, side_counts
from bitextmine.encode.choice import ModelChoice
from bitextmine.encode.projection import (
    check_no_vectors,
    check_sample,
    draw_sample,
    encode_sample,
    fit_projection,
    remove_sample,
)
from bitextmine.encode.row_format import RowFormat, row_format
from bitextmine.encode.shards import BROKEN_ENCODER, encode_shard
from bitextmine.encode.vectors import Vectors, all_encoded, open_vectors
from bitextmine.encoders.spec import EncoderSpec
from bitextmine.engines.engine import Step, Where
from bitextmine.errors import EncoderError
from bitextmine.runcard import Run
from bitextmine.workdir import SIDES, Side, Sides

LOG = logging.getLogger(__name__)


def encode(run: Run, config: EncodeConfig, choice: ModelChoice) -> Sides[Vectors]:
    """Turn the sentences of both sides into vectors.

    Parameters
    ----------
    run : Run
        Sharded.
    config : EncodeConfig
        What was asked for.
    choice : ModelChoice
        What became of it.

    Returns
    -------
    Sides of Vectors
        Of unit length, one for each sentence.

    Raises
    ------
    BitextmineError
        The encoder is not here, broken, or not the one of the vectors that are there; the
        sample is too small for ``--dim``; the disk is full.
    """
    with run.card.finishing(run.workdir, "encode"):
        for warning in choice.warnings:
            run.card.show(warning)
        LOG.info("encoder %s: %s", choice.info.name, choice.reason)
        form = row_format(config, choice.info)
        check_sample(run.workdir, form)  # before anything is bound
        run.workdir.claim("encode", choice.identity)
        choice.keep(run.workdir)
        if not all_encoded(run.workdir):
            _encode_shards(run, choice.loadable, form)
        for side in SIDES:
            _check_usable(run, side, choice.info.name)
    return open_vectors(run.workdir)


def _encode_shards(run: Run, spec: EncoderSpec, form: RowFormat) -> None:
    """Encode the shards of both sides; before them a sample, where rows need a projection."""
    on = spec.runs_on(run.engine)
    LOG.info("encoding on %s", ", ".join(spec.devices(run.engine)))
    if form.is_projected and not run.workdir.projection.exists():
        _fit_projection(run, spec, form, on)
    remove_sample(run.workdir)
    shards: list[tuple[Side, int]] = [
        (side, shard) for side in SIDES for shard in range(count_shards(run.workdir, side))
    ]
    run.engine.run(
        Step(
            name="encode",
            task=encode_shard,
            arguments=[(run.workdir.root, *each, spec, form) for each in shards],
            units=[n for side in SIDES for n in shard_sizes(run.workdir, side)],
            on=on,
            label="encode",
            unit="sentences",
            describe=lambda task: f"encoding {task[1]} shard {task[2]}",
        )
    )


def _fit_projection(run: Run, spec: EncoderSpec, form: RowFormat, on: Where) -> None:
    """Draw a sample of both sides, encode it, and fit the matrix that rows are multiplied with."""
    root = run.workdir.root
    check_no_vectors(run.workdir)
    if form.is_fitted:
        run.engine.run(
            Step(name="draw", task=draw_sample, arguments=[(root, side, form) for side in SIDES])
        )
        run.engine.run(
            Step(
                name="sample",
                task=encode_sample,
                arguments=[(root, side, spec) for side in SIDES],
                units=[check_sample(run.workdir, form)],
                on=on,
                label="sample",
                unit="sentences",
                describe=lambda task: f"encoding a sample of {task[1]}",
            )
        )
    run.engine.run(Step(name="fit", task=fit_projection, arguments=[(root, form)]))


def _check_usable(run: Run, side: Side, name: str) -> None:
    """Refuse an encoder that failed on most sentences of a side, warn of one that failed on some.

    Raises
    ------
    EncoderError
        Most vectors of a side are zero or not finite.
    """
    unusable = encoded_counts(run.workdir, side)["unusable"]
    n = side_counts(run.workdir, side)["unique"]
    failure = f"{name} gave zero or non-finite vectors for {unusable:,} of {n:,} {side} sentences"
    if 2 * unusable > n:
        raise EncoderError(failure, hint=BROKEN_ENCODER)
    if unusable:
        run.card.show(f"{failure}; they are in no pair")
