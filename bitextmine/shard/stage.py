"""The stage `shard`: text files -> unique, numbered sentences of both sides."""

import logging

from bitextmine.config import STDIN, ShardConfig, settings_of
from bitextmine.counts import count_shards, side_counts
from bitextmine.engines.engine import Step
from bitextmine.runcard import Run
from bitextmine.shard.build import build_shard, plan_shards
from bitextmine.shard.numbering import number_sentences
from bitextmine.shard.sentences import Sentences, open_sentences
from bitextmine.shard.split import input_bytes, split_file
from bitextmine.workdir import SIDES, Side, Sides

LOG = logging.getLogger(__name__)


def shard(run: Run, config: ShardConfig) -> Sides[Sentences]:
    """Read both sides, normalise, and shard their unique sentences.

    Parameters
    ----------
    run : Run
        Where and with what to work.
    config : ShardConfig
        What to read; globs are expanded.

    Returns
    -------
    Sides of Sentences
        Unique and numbered, their origins kept.

    Raises
    ------
    BitextmineError
        A file cannot be read, has changed, or has no sentence; memory or disk is too small.
    """
    with run.card.finishing(run.workdir, "shard"):
        run.workdir.claim("shard", settings_of(config, ShardConfig))
        for side in SIDES:
            _shard_side(run, side, config)
            LOG.info("%s: %s", side, side_counts(run.workdir, side))
    return open_sentences(run.workdir)


def _shard_side(run: Run, side: Side, config: ShardConfig) -> None:
    """Split all files of a side into buckets, make shards of these, number the sentences."""
    root, paths = run.workdir.root, config.paths(side)
    run.engine.run(
        Step(
            name="split",
            task=split_file,
            arguments=[(root, side, file, config) for file in range(len(paths))],
            # How long stdin is, nobody knows, so with it there is no end of the bar.
            units=[] if STDIN in paths else [input_bytes(path) for path in paths],
            label=f"read {side}",
            unit="B",
            describe=lambda task: f"reading {task[1]} file {task[2]}",
        )
    )
    run.engine.run(Step(name="plan", task=plan_shards, arguments=[(root, side, config.shard_size)]))
    shards = range(count_shards(run.workdir, side))
    run.engine.run(
        Step(
            name="build",
            task=build_shard,
            arguments=[(root, side, number) for number in shards],
            describe=lambda task: f"building {task[1]} shard {task[2]}",
        )
    )
    run.engine.run(Step(name="number", task=number_sentences, arguments=[(root, side)]))
