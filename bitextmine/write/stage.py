"""The stage `write`: selected pairs -> the files a user asked for, and the run card."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

from bitextmine.config import STDIN, OutputConfig, settings_of
from bitextmine.counts import run_counts
from bitextmine.encode.choice import ModelChoice
from bitextmine.encode.projection import projection_notes
from bitextmine.errors import UsageError
from bitextmine.files import ByteSink, read_json, write_json
from bitextmine.runcard import Run, card_path
from bitextmine.select.pairs import Pairs, StoredPairs
from bitextmine.select.stage import Selected
from bitextmine.shard.sentences import Sentences
from bitextmine.workdir import Sides, Workdir
from bitextmine.write.destination import (
    check_destination,
    check_file,
    destinations,
    is_special,
    save_pairs,
    write_pairs,
)
from bitextmine.write.options import OutputOptions
from bitextmine.write.records import Pair
from bitextmine.write.rejects import write_rejects

Languages = tuple[str, str]  # of src and tgt, as codes; "" if unknown

FETCH_BYTES = 256 << 20  # for texts, where nobody says how much memory there is
PAIR_BYTES = 1200  # that a pair in hand takes beside its texts
TEXT_COPIES = 4  # bytes in memory for each in the files: wide characters, longer texts than most


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


def output_languages(output: OutputConfig, choice: ModelChoice) -> Languages:
    """Return the languages that outputs name: those the user gave, else those identified.

    The names of Moses files are fixed before any sentence is read, so they follow the user only.
    """
    given = choice.asked["src_lang"], choice.asked["tgt_lang"]
    if output.format == "moses":
        return given
    return given[0] or choice.src_lang, given[1] or choice.tgt_lang


def check_output(
    output: OutputConfig, *, inputs: Sequence[str], langs: Languages, to_stream: bool
) -> None:
    """Fail now rather than after hours of work, if the output cannot go where it should.

    Raises
    ------
    UsageError
        The format does not fit the destination, or a file would overwrite an input or another.
    OutputError
        The destination cannot be written.
    """
    options = _options(output, langs)
    if output.out is not None or to_stream:
        check_destination(output.out, options)
    written = (
        {} if output.out is None else dict.fromkeys(destinations(output.out, options), "--out")
    )
    for card in _cards_beside(output):
        written[card] = "the run card"
        check_file(card)
    if output.rejects is not None:
        check_file(output.rejects)
        _refuse_overwriting(output.rejects, "--rejects", [*map(str, written), *inputs])
    for path, what in written.items():
        _refuse_overwriting(path, what, inputs)


def _refuse_overwriting(path: Path, what: str, others: Sequence[str]) -> None:
    if is_special(path):
        return
    same = [other for other in others if other != STDIN and _real(other) == _real(path)]
    if same:
        raise UsageError(f"{what} would overwrite {same[0]}", hint="choose another name")


def _real(path: str | Path) -> str:
    return os.path.realpath(path)


def _options(output: OutputConfig, langs: Languages) -> OutputOptions:
    return OutputOptions(
        format=output.format, columns=output.columns, src_lang=langs[0], tgt_lang=langs[1]
    )


def write(
    run: Run,
    config: OutputConfig,
    sentences: Sides[Sentences],
    selected: Selected,
    *,
    sink: ByteSink | None = None,
) -> Mined:
    """Write the pairs, the rejects if they were asked for, and the run card.

    Parameters
    ----------
    run : Run
        Selected from.
    config : OutputConfig
        Where to write, and how.
    sentences : Sides of Sentences
        Their texts and origins.
    selected : Selected
        Which of them are pairs.
    sink : binary stream, optional
        Takes the pairs in ``config.format`` when there is no ``config.out``.

    Returns
    -------
    Mined
        The pairs, or their number if they went to a file or a stream, and the run card.

    Raises
    ------
    OutputError
        The destination cannot be written, or the disk is full.
    """
    card, choice = run.card, ModelChoice.of(run.workdir)
    card.facts |= _facts(run.workdir, config, choice, selected)
    with card.timed("write"):
        memory = run.engine.resources("cpu").memory
        records = pair_records(sentences, selected.pairs, memory)
        pairs = write_records(records, config, output_languages(config, choice), sink)
        if config.rejects is not None:
            write_rejects(run.workdir, sentences, config.rejects)
    for path in [run.workdir.run_card, *_cards_beside(config)]:
        write_json(path, card.finished())
    return Mined(len(selected.pairs), pairs, card.finished())


def write_records(
    records: Iterator[Pair], config: OutputConfig, langs: Languages, sink: ByteSink | None
) -> tuple[Pair, ...]:
    """Write the pairs to the file or the stream, or return them if there is neither."""
    if config.out is not None:
        save_pairs(records, config.out, _options(config, langs))
        return ()
    if sink is not None:
        write_pairs(records, sink, _options(config, langs))
        return ()
    return tuple(records)


def pair_records(
    sentences: Sides[Sentences], pairs: StoredPairs, memory: int = FETCH_BYTES
) -> Iterator[Pair]:
    """Yield the pairs with their texts and origins, best first.

    The texts of as many pairs as memory holds are read together, shard by shard, so
    that a shard is opened a few times in all, and not once for some thousand pairs.

    Parameters
    ----------
    sentences : Sides of Sentences
        Their texts.
    pairs : StoredPairs
        Sentence numbers and scores.
    memory : int
        Bytes to work in, about.
    """
    src, tgt = sentences
    texts = src.text_bytes / max(len(src), 1) + tgt.text_bytes / max(len(tgt), 1)
    rows = max(int(memory / (PAIR_BYTES + TEXT_COPIES * texts)), 1)
    return chain.from_iterable(_fetched(some, src, tgt) for some in pairs.blocks(rows))


def _fetched(pairs: Pairs, src: Sentences, tgt: Sentences) -> Iterator[Pair]:
    scores = zip(pairs["score"].tolist(), pairs["cosine"].tolist(), strict=True)
    texts = zip(src.fetch(pairs["src"]), tgt.fetch(pairs["tgt"]), strict=True)
    for (score, cosine), ((s, s_origin), (t, t_origin)) in zip(scores, texts, strict=True):
        yield Pair(score, cosine, s, t, s_origin, t_origin)


def _cards_beside(output: OutputConfig) -> list[Path]:
    """A pipe or a device has no place beside it."""
    return [] if output.out is None or is_special(output.out) else [card_path(output.out)]


def _facts(
    workdir: Workdir, config: OutputConfig, choice: ModelChoice, selected: Selected
) -> dict[str, Any]:
    """Collect what a run card tells beside seconds and warnings."""
    stages = ("shard", "encode", "search")
    written = {key: str(value) for key, value in settings_of(config, OutputConfig).items() if value}
    settings = {stage: workdir.stage_settings(stage) for stage in stages}
    notes = projection_notes(workdir)
    return {
        "encoder": choice.described() | ({"projection": notes} if notes else {}),
        "settings": {**settings, "select": selected.facts["select"], "output": written},
        "threshold": selected.facts["threshold"],
        "search": read_json(workdir.method),
        "k": selected.facts["k"],
        "counts": run_counts(workdir, selected.counts) | {"pairs": len(selected.pairs)},
    }
