"""The journey from text files to translation pairs, stage by stage."""

import logging
from dataclasses import dataclass, fields
from math import isfinite
from typing import Any

from bitextmine.config import (
    EncodeConfig,
    MineConfig,
    OutputConfig,
    SearchConfig,
    SelectConfig,
    ShardConfig,
    settings_of,
)
from bitextmine.counts import count_shards, encoded_counts, side_counts
from bitextmine.encode.choice import ModelChoice, choose_model, find_spec, vectors_identity
from bitextmine.encode.projection import (
    check_sample,
    draw_sample,
    encode_sample,
    fit_projection,
    projection_notes,
    remove_sample,
)
from bitextmine.encode.row_format import row_format
from bitextmine.encode.shards import all_encoded, check_usable, encode_shard
from bitextmine.encoders.spec import EncoderSpec
from bitextmine.engines.local import run_tasks
from bitextmine.engines.shown import run_shown
from bitextmine.files import Scratch, read_json, write_json
from bitextmine.languages import load_ahead
from bitextmine.machine import usable_threads, working_memory
from bitextmine.runcard import RunCard
from bitextmine.search.panels import all_found, check_neighbours, note_neighbours, stored_neighbours
from bitextmine.search.stage import (
    check_asked,
    check_vectors,
    search_exactly,
    search_with_index,
    settle_method,
    wanted_method,
)
from bitextmine.select.choose import choose_pairs
from bitextmine.select.threshold import default_threshold
from bitextmine.shard.build import build_shard, plan_shards
from bitextmine.shard.corpus import expand_inputs
from bitextmine.shard.numbering import number_sentences
from bitextmine.shard.split import split_file
from bitextmine.workdir import SIDES, Workdir, opened_workdir
from bitextmine.write.destination import ByteSink
from bitextmine.write.records import Pair
from bitextmine.write.rejects import write_rejects
from bitextmine.write.stage import (
    card_paths,
    check_output,
    output_languages,
    pair_records,
    write_results,
)

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
    spec = _asked_spec(config)
    dim = config.dim or (spec.info.dim if spec else None)
    check_asked(config.search, dim)
    inputs = expanded(config)
    check_output(
        config,
        inputs=(*inputs.src, *inputs.tgt),
        langs=(config.src_lang, config.tgt_lang),
        to_stream=sink is not None,
    )
    card = RunCard()
    with opened_workdir(config.workdir, make=True) as workdir:
        if not (config.src_lang and config.tgt_lang):
            load_ahead()  # needed as soon as the sentences are there
        shard(workdir, config, card)
        if dim is not None:
            wanted_method(workdir, config, dim)  # to refuse it before hours of encoding
        encode(workdir, config, card, spec=spec)
        search(workdir, config, card)
        return select(workdir, config, config, card, sink=sink)


def _asked_spec(config: MineConfig) -> EncoderSpec | None:
    """Find the encoder before any work is done; what is encoded already can do without."""
    if config.model == "auto":
        return None
    encoded = config.workdir is not None and Workdir(config.workdir).done("encode").exists()
    return find_spec(config, None, needed=not encoded)


def shard(workdir: Workdir, config: ShardConfig, card: RunCard) -> None:
    """Read both sides, normalise, and shard their unique sentences."""
    with card.finishing(workdir, "shard"):
        config = expanded(config)
        workdir.claim("shard", settings_of(config, ShardConfig))
        for side in SIDES:
            files = range(len(config.paths(side)))
            run_tasks(split_file, ((workdir.root, side, file, config) for file in files))
            plan_shards(workdir.root, side, config)
            shards = range(count_shards(workdir, side))
            run_tasks(build_shard, ((workdir.root, side, number, config) for number in shards))
            number_sentences(workdir.root, side, working_memory(config.memory))
            LOG.info("%s: %s", side, side_counts(workdir, side))


def expanded(config: ShardConfig) -> ShardConfig:
    """Return the config with globs replaced by the files they match."""
    known = {item.name: getattr(config, item.name) for item in fields(ShardConfig)}
    known |= {side: expand_inputs(config.paths(side)) for side in SIDES}
    return ShardConfig(**known)


def encode(
    workdir: Workdir, config: EncodeConfig, card: RunCard, *, spec: EncoderSpec | None = None
) -> None:
    """Turn the sentences of both sides into vectors."""
    sharding = sharded_config(workdir)
    with card.finishing(workdir, "encode"):
        choice = choose_model(workdir, sharding, config, spec)
        for warning in choice.warnings:
            card.show(warning)
        LOG.info("encoder %s: %s", choice.info.name, choice.reason)
        check_sample(workdir, row_format(config, choice.info))  # before anything is bound
        workdir.claim("encode", choice.identity)
        choice.keep(workdir)
        finished = all_encoded(workdir)
        spec = choice.spec or spec or find_spec(config, choice.info, needed=not finished)
        if spec is not None:
            # The encoder may have changed since it was chosen.
            workdir.claim("encode", vectors_identity(spec, config))
            if not finished:
                _encode_shards(workdir, config, spec)
        for side in SIDES:
            check_usable(workdir, side, choice.info.name, card)


def _encode_shards(workdir: Workdir, config: EncodeConfig, spec: EncoderSpec) -> None:
    """Encode the shards of both sides, sharing them out among the devices."""
    threads = max(usable_threads(config.threads) // len(spec.devices), 1)
    form = row_format(config, spec.info)
    LOG.info("encoding on %s", ", ".join(spec.devices))
    if form.is_projected and not workdir.projection.exists():
        if form.is_fitted:
            total = draw_sample(workdir, sharded_config(workdir), form)
            run_shown(
                encode_sample,
                [(workdir.root, side, spec, threads) for side in SIDES],
                spec.devices,
                label="sample",
                total=total,
                unit="sentences",
                name=lambda task: f"encoding a sample of {task[1]}",
            )
        fit_projection(workdir, form)
    remove_sample(workdir)
    shards = [
        (workdir.root, side, number, spec, threads, form)
        for side in SIDES
        for number in range(count_shards(workdir, side))
    ]
    total = sum(side_counts(workdir, side)["unique"] for side in SIDES)
    run_shown(
        encode_shard,
        shards,
        spec.devices,
        label="encode",
        total=total,
        unit="sentences",
        name=lambda task: f"encoding {task[1]} shard {task[2]}",
    )


def search(workdir: Workdir, config: SearchConfig, card: RunCard) -> None:
    """Find the k nearest neighbours of every sentence, in both directions."""
    workdir.stage_settings("encode")
    with card.finishing(workdir, "search"):
        if not workdir.done("search").exists():
            check_vectors(workdir)
        method = settle_method(workdir, config, card)
        if not (workdir.done("search").exists() and all_found(workdir)):
            run = search_exactly if method.is_exact else search_with_index
            run(workdir, config, method)
            note_neighbours(workdir)


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
    asked_k = workdir.stage_settings("search")["k"]
    choice = ModelChoice.of(workdir)
    langs = output_languages(output, choice)
    check_output(
        output, inputs=(*sharding.src, *sharding.tgt), langs=langs, to_stream=sink is not None
    )
    for stage in ("shard", "encode", "search"):
        card.recall(workdir, stage)
    memory = working_memory(config.memory)
    with Scratch(workdir.root) as scratch:
        with card.timed("select"):
            check_neighbours(workdir)
            fwd, bwd = stored_neighbours(workdir, "src"), stored_neighbours(workdir, "tgt")
            threshold, source = default_threshold(choice.info, config, asked_k, card)
            selection = choose_pairs(scratch, fwd, bwd, config, threshold, memory)
        if min(fwd.k, bwd.k) < asked_k:
            card.show(f"a side has fewer than {asked_k} sentences: margins say little")
        card.facts |= {
            "encoder": choice.described() | _projected(workdir),
            "settings": _all_settings(workdir, config, output),
            "threshold": {"value": threshold if isfinite(threshold) else None, "source": source},
            "search": read_json(workdir.method),
            "k": {"asked": asked_k, "src": fwd.k, "tgt": bwd.k},
            "counts": _counts(workdir, selection.counts) | {"pairs": len(selection.pairs)},
        }
        with card.timed("write"):
            records = pair_records(workdir, sharding, selection.pairs, memory)
            pairs = write_results(records, output, langs, sink)
            if output.rejects is not None:
                write_rejects(workdir, sharding, output.rejects)
    for path in card_paths(workdir, output):
        write_json(path, card.finished())
    return Mined(len(selection.pairs), pairs, card.finished())


def _projected(workdir: Workdir) -> dict[str, Any]:
    """Tell how vectors were projected, if they were."""
    notes = projection_notes(workdir)
    return {"projection": notes} if notes else {}


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
