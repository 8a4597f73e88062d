"""Mining a task of BUCC with the product's own stages, under one of two protocols.

laser
    Equal sentences are one (equal as `bitextmine mine` sees it: after normalisation), and those
    under several ids are dropped from the answer, as LASER's ``bucc.py`` does.
msimcse
    Every line is a sentence of its own, as in mSimCSE, which hands over ids for texts.
"""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bitextmine.arrays import Bools, Halfs, Ids
from bitextmine.config import SelectConfig
from bitextmine.counts import count_shards, encoded_counts, side_counts
from bitextmine.encode.choice import choose_encoder
from bitextmine.encode.stage import encode
from bitextmine.evaluation.bucc import Scored
from bitextmine.evaluation.bucc_task import BuccTask, mining_config
from bitextmine.evaluation.trials import NamedModel
from bitextmine.pipeline import engine_for
from bitextmine.runcard import Run, RunCard, opened_run
from bitextmine.select.choose import choose_pairs
from bitextmine.shard.stage import shard
from bitextmine.workdir import LINE_BITS, SIDES, Side, Workdir

BuccProtocol = Literal["laser", "msimcse"]
K = 4  # neighbours a sentence, in both protocols
_LINE = (1 << LINE_BITS) - 1  # a task has one file a side, so an id is its line


@dataclass(frozen=True)
class _Corpus:
    """The rows to be searched of one side.

    Attributes
    ----------
    vectors : ndarray of float16, shape (n, d)
        Unit rows.
    lines : ndarray of int64, shape (n,)
        Where each was (first) read.
    repeated : ndarray of bool, shape (n,)
        Whether the sentence was read more than once, and was unified.
    """

    vectors: Halfs
    lines: Ids
    repeated: Bools


@dataclass(frozen=True)
class MinedTask:
    """What was mined.

    Attributes
    ----------
    scored : Scored
        All pairs of positive score.
    counts : dict
        What became of the sentences of both sides.
    """

    scored: Scored
    counts: dict[str, Any]


def mine_task(
    model: NamedModel, task: BuccTask, protocol: BuccProtocol, card: RunCard
) -> MinedTask:
    """Shard, encode, search and select, in a private work directory that is removed.

    Raises
    ------
    BitextmineError
        As for `bitextmine.mine`.
    """
    inner = RunCard()
    with opened_run(None, engine_for(model.config), card=inner) as run:
        sentences = shard(run, mining_config(task.src, task.tgt))
        encode(run, model.config, choose_encoder(run, model.config, sentences, model.spec))
        workdir = run.workdir
        src, tgt = (_corpus(workdir, side, protocol) for side in SIDES)
        counts: dict[str, Any] = {
            side: {
                **side_counts(workdir, side),
                "searched": len(corpus.lines),
                "under_several_ids": int(corpus.repeated.sum()),
                **encoded_counts(workdir, side),
            }
            for side, corpus in zip(SIDES, (src, tgt), strict=True)
        }
        with inner.timed("search"):
            scored = _search(run, src, tgt, task)
    known = card.facts["warnings"]
    known += [warning for warning in inner.facts["warnings"] if warning not in known]
    return MinedTask(scored, counts | {"seconds": inner.facts["seconds"]})


def _corpus(workdir: Workdir, side: Side, protocol: BuccProtocol) -> _Corpus:
    """Load a side in the order of its lines, as the protocol sees it."""
    shards = [workdir.shard(side, shard) for shard in range(count_shards(workdir, side))]
    vectors = np.concatenate([np.load(f.embeddings, allow_pickle=False) for f in shards])
    lines = np.concatenate([np.load(f.ids, allow_pickle=False) for f in shards]) & _LINE
    copies = np.concatenate([np.load(f.duplicates, allow_pickle=False) for f in shards]) & _LINE
    order = np.argsort(lines)
    vectors, lines = vectors[order], lines[order]
    if protocol == "laser":
        return _Corpus(vectors, lines, np.isin(lines, copies[:, 1]))
    rows = np.concatenate([np.arange(len(lines)), np.searchsorted(lines, copies[:, 1])])
    all_lines = np.concatenate([lines, copies[:, 0]])
    order = np.argsort(all_lines)
    return _Corpus(vectors[rows[order]], all_lines[order], np.zeros(len(rows), dtype=bool))


def _search(run: Run, src: _Corpus, tgt: _Corpus, task: BuccTask) -> Scored:
    """Find the pairs of all scores, and tell which are gold."""
    from bitextmine.search.exact.two_way import two_way_neighbours

    resources = run.engine.resources("cpu")
    fwd, bwd = two_way_neighbours(
        src.vectors,
        tgt.vectors,
        k=K,
        src_numbers=np.arange(len(src.lines)),
        tgt_numbers=np.arange(len(tgt.lines)),
        threads=resources.threads,
    )
    selection = choose_pairs(run.scratch, fwd, bwd, SelectConfig(), -np.inf, resources.memory)
    pairs = selection.pairs.read()
    scores, s, t = pairs["score"], pairs["src"], pairs["tgt"]
    kept = (scores > 0) & ~src.repeated[s] & ~tgt.repeated[t]
    true = task.are_gold(src.lines[s[kept]], tgt.lines[t[kept]])
    return Scored(scores[kept], true, len(task.gold_pairs))
