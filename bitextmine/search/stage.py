"""The stage `search`: rows of vectors -> the k nearest sentences of every sentence, both ways."""

import logging
from collections.abc import Iterator, Sized
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from bitextmine.config import SEARCH_METHODS, SearchConfig, settings_of
from bitextmine.encode.vectors import Vectors
from bitextmine.engines.engine import Step
from bitextmine.errors import UsageError, WorkdirError
from bitextmine.files import read_json, write_json
from bitextmine.machine import CPU
from bitextmine.runcard import Run
from bitextmine.search.approximate.factory import check_factory, load_faiss
from bitextmine.search.grid import Grid
from bitextmine.search.method import LONG_S, Method, SearchSize, choose_method
from bitextmine.search.neighbours import StoredNeighbours
from bitextmine.search.panels import (
    all_found,
    missing_blocks,
    note_neighbours,
    open_neighbours,
    planned_grid,
    remove_merged_blocks,
    set_grid,
)
from bitextmine.search.tasks import (
    ask_index,
    exchange_panel,
    index_side,
    merge_panel,
    search_block,
)
from bitextmine.workdir import SIDES, Side, Sides, Workdir

LOG = logging.getLogger(__name__)

COMMON_DIMS = (512, 384, 768, 1024, 4096)  # of encoders
ENDLESS = 1 << 40  # sentences, where it is not known yet how many there are


def check_search(asked: str, dim: int | None) -> None:
    """Refuse, before any work, a search that FAISS could not do for vectors of this width.

    Where it is not known yet, the string is good if it is for any of the common ones.

    Raises
    ------
    UsageError
        FAISS is missing, or cannot read the factory string.
    """
    if asked in ("auto", "exact"):
        return
    load_faiss()
    if asked not in SEARCH_METHODS:
        refusals = []
        widths = COMMON_DIMS if dim is None else (dim,)
        for width in widths:
            try:
                check_factory(asked, ENDLESS, width)
            except UsageError as error:
                refusals.append(error)
        if len(refusals) == len(widths):
            raise refusals[0]


def plan_search(run: Run, config: SearchConfig, sides: Sides[Sized], dim: int) -> Method:
    """Decide how to search vectors of this width, or how an earlier run did; binds nothing.

    Parameters
    ----------
    run : Run
        Sharded, perhaps searched already.
    config : SearchConfig
        What was asked for.
    sides : Sides of sentences or vectors
        How many there are.
    dim : int
        Numbers a stored vector has.

    Raises
    ------
    UsageError
        FAISS is missing, or cannot build what is asked for, or the memory is too small for it.
    """
    if run.workdir.method.exists():
        return _kept_method(run.workdir)
    machine = run.engine.resources("cpu")
    return choose_method(
        config.search,
        SearchSize(len(sides.src), len(sides.tgt), dim=dim, k=config.k),
        devices=run.engine.usable_devices(),
        threads=machine.threads,
        memory=machine.memory,
    )


def search(
    run: Run, config: SearchConfig, vectors: Sides[Vectors], method: Method
) -> tuple[StoredNeighbours, StoredNeighbours]:
    """Find the k nearest neighbours of every sentence, in both directions.

    Parameters
    ----------
    run : Run
        Encoded.
    config : SearchConfig
        What was asked for.
    vectors : Sides of Vectors
        Where to search.
    method : Method
        How to search, from `plan_search`.

    Returns
    -------
    fwd, bwd : StoredNeighbours
        src to tgt and tgt to src, with exact cosines.

    Raises
    ------
    BitextmineError
        Vectors have changed or cannot be used, memory or disk is too small, or the search was
        begun under other settings.
    """
    with run.card.finishing(run.workdir, "search"):
        if not run.workdir.done("search").exists():
            for side in SIDES:
                vectors.of(side).check()
        _bind(run, config, vectors, method)
        if not (run.workdir.done("search").exists() and all_found(run.workdir)):
            find = _search_exactly if method.is_exact else _search_with_index
            find(run, config, set_grid(run.workdir, _plan(run, config, vectors, method)), method)
            note_neighbours(run.workdir)
    return open_neighbours(run.workdir)


def _bind(run: Run, config: SearchConfig, vectors: Sides[Vectors], method: Method) -> None:
    """Bind the stage to its settings; only now, so that until here another method may be tried.

    Raises
    ------
    UsageError
        The memory is too small.
    WorkdirError
        The search was begun under other settings.
    """
    if run.workdir.method.exists():
        run.workdir.claim("search", search_identity(config, method))
        return
    if config.search == "auto" and not method.is_exact:
        run.card.show(f"the search is approximate: {method.reason}; --search exact finds all")
    elif config.search == "auto" and method.exact_seconds > LONG_S:
        run.card.show(f"a long search, {method.reason}")
    else:
        LOG.info("search: %s", method.reason)
    _plan(run, config, vectors, method)  # to fail before anything is written
    run.workdir.claim("search", search_identity(config, method))
    write_json(run.workdir.method, asdict(method))


def _kept_method(workdir: Workdir) -> Method:
    try:
        return Method(**read_json(workdir.method))
    except TypeError as error:
        raise WorkdirError(
            f"{workdir.method} is damaged", hint="delete it, and run `bitextmine search` again"
        ) from error


def search_identity(config: SearchConfig, method: Method) -> dict[str, Any]:
    """Return the settings that the lists depend on."""
    settings = settings_of(config, SearchConfig)
    return settings | ({"seed": None} if method.is_exact else {})


def _plan(run: Run, config: SearchConfig, vectors: Sides[Vectors], method: Method) -> Grid:
    """Plan the grid for the memory and the devices that blocks will have."""
    devices = run.engine.usable_devices() if method.is_exact else (CPU,)
    resources = run.engine.resources("device" if method.is_exact else "cpu")
    return planned_grid(
        run.workdir,
        vectors,
        k=config.k,
        block_memory=resources.memory,
        parallel=len(devices),
        sharing=resources.sharing,
        on_gpu=devices[0] != CPU,
    )


def _search_exactly(run: Run, config: SearchConfig, grid: Grid, method: Method) -> None:
    """Compare everything with everything, block by block on all devices, and merge the lists."""
    root, blocks = run.workdir.root, missing_blocks(run.workdir, grid)
    LOG.info("searching %d block(s) on %s", len(blocks), ", ".join(run.engine.usable_devices()))
    run.engine.run(
        Step(
            name="search",
            task=search_block,
            arguments=[(root, *block, config.k) for block in blocks],
            units=[grid.src.rows(src) * grid.tgt.rows(tgt) for src, tgt in blocks],
            on="device",
            label="search",
            unit="cosines",
            describe=lambda task: f"searching block {task[1]}-{task[2]}",
        )
    )
    run.engine.run(
        Step(
            name="merge",
            task=merge_panel,
            arguments=[(root, *panel, config.k) for panel in _panels(grid)],
            describe=lambda task: f"merging {task[1]} panel {task[2]}",
        )
    )
    remove_merged_blocks(run.workdir)


def _search_with_index(run: Run, config: SearchConfig, grid: Grid, method: Method) -> None:
    """Index both sides, let each ask the index over the other, and put together what they found."""
    root, panels = run.workdir.root, _panels(grid)
    factories: dict[Side, str] = {"src": method.src_factory, "tgt": method.tgt_factory}
    with _released(run.workdir):
        run.engine.run(
            Step(
                name="index",
                task=index_side,
                arguments=[(root, side, each, config.seed) for side, each in factories.items()],
                units=[sum(grid.cut(side).shards) for side in SIDES],
                label="index",
                unit="vectors",
                describe=lambda task: f"indexing {task[1]}",
            )
        )
    run.engine.run(
        Step(
            name="ask",
            task=ask_index,
            arguments=[(root, *panel, config.k) for panel in panels],
            units=[grid.cut(side).rows(panel) for side, panel in panels],
            label="search",
            unit="sentences",
            describe=lambda task: f"asking for {task[1]} panel {task[2]}",
        )
    )
    run.engine.run(
        Step(
            name="exchange",
            task=exchange_panel,
            arguments=[(root, *panel) for panel in panels],
            describe=lambda task: f"exchanging {task[1]} panel {task[2]}",
        )
    )
    for side in SIDES:
        run.workdir.index(side).unlink(missing_ok=True)
    remove_merged_blocks(run.workdir)


def _panels(grid: Grid) -> list[tuple[Side, int]]:
    return [(side, panel) for side in SIDES for panel in range(len(grid.cut(side)))]


@contextmanager
def _released(workdir: Workdir) -> Iterator[None]:
    """Leave the stage free for another method, if no index of this one can be built."""
    try:
        yield
    except UsageError:
        if not any(workdir.index(side).exists() for side in SIDES):
            workdir.release("search")
            workdir.method.unlink()
        raise
