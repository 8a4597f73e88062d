"""The journey from text files to translation pairs: all of it, and stage by stage.

`DESIGN.md` beside this file draws the map. Each stage is a folder, its door is `stage.py`; what
flows between stages are handles over the files of a work directory, which a single command opens
again from there.
"""

from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from bitextmine.config import (
    EncodeConfig,
    MineConfig,
    OutputConfig,
    SearchConfig,
    SelectConfig,
    ShardConfig,
    limits_of,
)
from bitextmine.encode.choice import ModelChoice, choose_encoder, find_encoder
from bitextmine.encode.stage import encode
from bitextmine.encode.vectors import open_vectors
from bitextmine.encoders.spec import EncoderSpec
from bitextmine.engines.devices import DevicesEngine
from bitextmine.engines.engine import Engine
from bitextmine.files import ByteSink
from bitextmine.languages import load_ahead
from bitextmine.runcard import opened_run
from bitextmine.search.panels import open_neighbours
from bitextmine.search.stage import check_search, plan_search, search
from bitextmine.select.stage import select
from bitextmine.shard.corpus import expand_inputs
from bitextmine.shard.sentences import open_sentences
from bitextmine.shard.stage import shard
from bitextmine.workdir import Workdir
from bitextmine.write.stage import Mined, check_output, output_languages, write

Reading = TypeVar("Reading", bound=ShardConfig)


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
    engine = engine_for(config)
    spec = asked_encoder(config, engine)
    config = check_before_work(config, spec, to_stream=sink is not None)
    with opened_run(config.workdir, engine, make=True) as run:
        sentences = shard(run, config)
        encoder = choose_encoder(run, config, sentences, spec)
        method = plan_search(run, config, sentences, encoder.dim)
        vectors = encode(run, config, encoder)
        fwd, bwd = search(run, config, vectors, method)
        selected = select(run, config, fwd, bwd)
        return write(run, config, sentences, selected, sink=sink)


def engine_for(config: object) -> Engine:
    """Return what runs the tasks of a run: the one place that names an engine."""
    return DevicesEngine(limits_of(config))


def asked_encoder(config: MineConfig, engine: Engine) -> EncoderSpec | None:
    """Find the encoder before any work is done; what is encoded already can do without.

    Returns
    -------
    EncoderSpec or None
        None if languages are to decide, or it is neither here nor needed.

    Raises
    ------
    BitextmineError
        It is needed, and unknown, not here, or not for these options.
    """
    if config.model == "auto":
        return None
    encoded = config.workdir is not None and Workdir(config.workdir).done("encode").exists()
    return find_encoder(config, None, engine, needed=not encoded)


def check_before_work(
    config: MineConfig, spec: EncoderSpec | None, *, to_stream: bool
) -> MineConfig:
    """Refuse, before hours of work, what would end badly; return the config with its files named.

    Raises
    ------
    BitextmineError
        FAISS is missing or cannot search so, an input is missing, or the output cannot go where
        it should.
    """
    check_search(config.search, config.dim or (spec.info.dim if spec is not None else None))
    config = _expanded(config)
    check_output(
        config,
        inputs=(*config.src, *config.tgt),
        langs=(config.src_lang, config.tgt_lang),
        to_stream=to_stream,
    )
    if not (config.src_lang and config.tgt_lang):
        load_ahead()  # the sentences are there soon, and their languages will be asked for
    return config


def _expanded(config: Reading) -> Reading:
    """Return the config with globs replaced by the files they match."""
    return replace(config, src=expand_inputs(config.src), tgt=expand_inputs(config.tgt))


def shard_workdir(root: Path, config: ShardConfig) -> None:
    """Do the stage `shard` alone, in a work directory that is made if there is none."""
    config = _expanded(config)
    with opened_run(root, engine_for(config), make=True) as run:
        shard(run, config)


def encode_workdir(root: Path, config: EncodeConfig) -> None:
    """Do the stage `encode` alone, over a sharded work directory."""
    with opened_run(root, engine_for(config)) as run:
        sentences = open_sentences(run.workdir)
        encode(run, config, choose_encoder(run, config, sentences, None))


def search_workdir(root: Path, config: SearchConfig) -> None:
    """Do the stage `search` alone, over an encoded work directory."""
    with opened_run(root, engine_for(config)) as run:
        vectors = open_vectors(run.workdir)
        search(run, config, vectors, plan_search(run, config, vectors, vectors.src.dim))


def select_workdir(
    root: Path, config: SelectConfig, output: OutputConfig, *, sink: ByteSink | None = None
) -> Mined:
    """Select and write, over a searched work directory; again and again, in seconds."""
    with opened_run(root, engine_for(config)) as run:
        sentences = open_sentences(run.workdir)
        fwd, bwd = open_neighbours(run.workdir)
        check_output(
            output,
            inputs=(*sentences.src.paths, *sentences.tgt.paths),
            langs=output_languages(output, ModelChoice.of(run.workdir)),
            to_stream=sink is not None,
        )
        for stage in ("shard", "encode", "search"):
            run.card.recall(run.workdir, stage)
        selected = select(run, config, fwd, bwd)
        return write(run, output, sentences, selected, sink=sink)
