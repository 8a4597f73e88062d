"""The journey from text files to translation pairs, stage by stage."""

import logging
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from math import isfinite
from pathlib import Path
from typing import Any

from bitextmine.accounts import count_shards, side_counts
from bitextmine.config import (
    EncodeConfig,
    MineConfig,
    OutputConfig,
    SearchConfig,
    SelectConfig,
    ShardConfig,
    settings_of,
)
from bitextmine.corpus import expand_inputs
from bitextmine.encoding import encode_shard, encoded_counts
from bitextmine.engines.local import run_tasks
from bitextmine.languages import load_ahead
from bitextmine.model_choice import ModelChoice, choose_model, default_threshold
from bitextmine.output import OutputOptions, Pair, check_destination, save_pairs, write_pairs
from bitextmine.output.destination import ByteSink
from bitextmine.rejects import check_rejects, write_rejects
from bitextmine.runcard import RunCard, card_path
from bitextmine.searching import load_neighbours, merge_shard, search_block
from bitextmine.select import Pairs, select_pairs
from bitextmine.sharding import build_shard, number_sentences, plan_shards, split_file
from bitextmine.texts import Sentences
from bitextmine.workdir import SIDES, Side, Workdir, opened_workdir, write_json

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Mined:
    """What a run gives back.

    Attributes
    ----------
    n_pairs : int
        How many pairs were mined.
    pairs : tuple of Pair
        They themselves, best first; empty when they were written elsewhere.
    card : dict
        The run card.
    """

    n_pairs: int
    pairs: tuple[Pair, ...]
    card: dict[str, Any]


def mine(config: MineConfig, *, sink: ByteSink | None = None) -> Mined:
    """Find every translation pair in two piles of sentences.

    Parameters
    ----------
    config : MineConfig
        What to read, how to decide, where to write. Without ``out`` the pairs
        are returned, or written to ``sink``.
    sink : binary stream, optional
        Takes the pairs in ``config.format`` when there is no ``config.out``.

    Returns
    -------
    Mined
        The pairs, or their number if they went to a file or a stream, and the run card.

    Raises
    ------
    BitextmineError
        Anything outside this program that stands in the way, with a remedy.
    """
    check_output(config, to_stream=sink is not None)
    card = RunCard()
    with opened_workdir(config.workdir) as workdir:
        if not (config.src_lang and config.tgt_lang):
            load_ahead()  # needed as soon as the sentences are there
        shard(workdir, config, card)
        encode(workdir, config, card)
        search(workdir, config, card)
        return select(workdir, config, config, card, sink=sink)


def shard(workdir: Workdir, config: ShardConfig, card: RunCard) -> None:
    """Read both sides, normalise, and shard their unique sentences."""
    with card.timed("shard"):
        config = expanded(config)  # so missing files are told before any work is done
        workdir.claim("shard", settings_of(config, ShardConfig))
        for side in SIDES:
            files = range(len(config.paths(side)))
            run_tasks(split_file, ((workdir.root, side, file, config) for file in files))
            plan_shards(workdir.root, side, config)
            shards = range(count_shards(workdir, side))
            run_tasks(build_shard, ((workdir.root, side, number, config) for number in shards))
            number_sentences(workdir.root, side)
            LOG.info("%s: %s", side, side_counts(workdir, side))


def expanded(config: ShardConfig) -> ShardConfig:
    """Return the config with globs replaced by the files they match."""
    known = settings_of(config, ShardConfig)
    known |= {side: expand_inputs(config.paths(side)) for side in SIDES}
    return ShardConfig(**known)


def encode(workdir: Workdir, config: EncodeConfig, card: RunCard) -> None:
    """Turn the sentences of both sides into vectors."""
    sharding = sharded_config(workdir)
    with card.timed("encode"):
        choice = choose_model(workdir, sharding, config)
        for warning in choice.warnings:
            LOG.warning(warning)
            card.warn(warning)
        LOG.info("encoder %s: %s", choice.info.name, choice.reason)
        workdir.claim("encode", choice.settings())
        tasks = (
            (workdir.root, side, number, choice.info.name, config.threads)
            for side in SIDES
            for number in range(count_shards(workdir, side))
        )
        run_tasks(encode_shard, tasks)


def search(workdir: Workdir, config: SearchConfig, card: RunCard) -> None:
    """Find the k nearest neighbours of every sentence, in both directions."""
    workdir.stage_settings("encode")
    with card.timed("search"):
        workdir.claim("search", settings_of(config, SearchConfig))
        shards: dict[Side, range] = {side: range(count_shards(workdir, side)) for side in SIDES}
        blocks = product(shards["src"], shards["tgt"])
        run_tasks(search_block, ((workdir.root, src, tgt, config) for src, tgt in blocks))
        for side in SIDES:
            run_tasks(
                merge_shard, ((workdir.root, side, number, config) for number in shards[side])
            )


def select(
    workdir: Workdir,
    config: SelectConfig,
    output: OutputConfig,
    card: RunCard,
    *,
    sink: ByteSink | None = None,
) -> Mined:
    """Choose the pairs among the neighbours, and write them with their run card."""
    sharding = sharded_config(workdir)
    choice = ModelChoice.of(workdir)
    searching = workdir.stage_settings("search")
    with card.timed("select"):
        fwd, bwd = load_neighbours(workdir, "src"), load_neighbours(workdir, "tgt")
        threshold, source = default_threshold(choice.info, config, searching["k"], card)
        selection = select_pairs(fwd, bwd, config, threshold)
    card.facts |= {
        "encoder": choice.described(),
        "settings": _all_settings(workdir, config, output),
        "threshold": {"value": threshold if isfinite(threshold) else None, "source": source},
        "k": {"asked": searching["k"], "src": fwd.k, "tgt": bwd.k},
        "counts": _counts(workdir, selection.counts) | {"pairs": len(selection.pairs)},
    }
    with card.timed("write"):
        records = pair_records(workdir, sharding, selection.pairs)
        pairs = _write(records, output, choice, sink)
        if output.rejects is not None:
            write_rejects(workdir, sharding, output.rejects)
    _save_card(workdir, output, card)
    return Mined(len(selection.pairs), pairs, card.finished())


def _write(
    records: Iterator[Pair], output: OutputConfig, choice: ModelChoice, sink: ByteSink | None
) -> tuple[Pair, ...]:
    options = output_options(output, choice.src_lang, choice.tgt_lang)
    if output.out is not None:
        save_pairs(records, output.out, options)
        return ()
    if sink is not None:
        write_pairs(records, sink, options)
        return ()
    return tuple(records)


def output_options(output: OutputConfig, src_lang: str, tgt_lang: str) -> OutputOptions:
    """Return how pairs are to be written."""
    return OutputOptions(
        format=output.format, columns=output.columns, src_lang=src_lang, tgt_lang=tgt_lang
    )


def check_output(config: OutputConfig, *, to_stream: bool) -> None:
    """Fail now rather than after hours of work, if the output cannot go where it should.

    Raises
    ------
    UsageError, OutputError
        The format does not fit the destination, or the destination cannot be written.
    """
    languages = getattr(config, "src_lang", ""), getattr(config, "tgt_lang", "")
    options = output_options(config, *languages)
    if config.out is not None or to_stream:
        check_destination(config.out, options)
    if config.rejects is not None:
        check_rejects(config.rejects)


def pair_records(workdir: Workdir, config: ShardConfig, pairs: Pairs) -> Iterator[Pair]:
    """Yield the pairs with their texts and origins, read from disk one by one."""
    src = Sentences(workdir, "src", config.src)
    tgt = Sentences(workdir, "tgt", config.tgt)
    columns = (pairs.src, pairs.tgt, pairs.scores, pairs.cosines)
    for s, t, score, cosine in zip(*columns, strict=True):
        yield Pair(float(score), float(cosine), src[s], tgt[t], src.origin(s), tgt.origin(t))


def sharded_config(workdir: Workdir) -> ShardConfig:
    """Return the config under which a work directory was sharded."""
    settings = workdir.stage_settings("shard")
    paths: dict[str, Any] = {side: tuple(settings[side]) for side in SIDES}
    return ShardConfig(**(settings | paths))


def _all_settings(workdir: Workdir, config: SelectConfig, output: OutputConfig) -> dict[str, Any]:
    stages = {stage: workdir.stage_settings(stage) for stage in ("shard", "encode", "search")}
    asked: dict[str, Any] = settings_of(output, OutputConfig)
    written = {key: str(value) for key, value in asked.items() if value}
    return {**stages, "select": settings_of(config, SelectConfig), "output": written}


def _counts(workdir: Workdir, selected: dict[str, Any]) -> dict[str, Any]:
    """Add up every stage: read = rejected + duplicates + unique; unique = paired + unpaired."""
    sides: dict[str, Any] = {
        side: side_counts(workdir, side) | encoded_counts(workdir, side) | selected[side]
        for side in SIDES
    }
    return selected | sides


def _save_card(workdir: Workdir, output: OutputConfig, card: RunCard) -> None:
    paths = [workdir.run_card]
    if output.out is not None and not _is_special(output.out):
        paths.append(card_path(output.out))
    for path in paths:
        write_json(path, card.finished())


def _is_special(path: Path) -> bool:
    """A pipe or a device has no place beside it for a run card."""
    return path.exists() and not path.is_file()
