"""What the search stage consists of: which tasks, on which devices, within which memory."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from typing import Any

from bitextmine.config import SEARCH_METHODS, SearchConfig, settings_of
from bitextmine.counts import shard_sizes
from bitextmine.encode.shards import check_embeddings
from bitextmine.engines.local import run_tasks
from bitextmine.engines.shown import run_shown, shown
from bitextmine.errors import UsageError, WorkdirError
from bitextmine.files import read_json, write_json
from bitextmine.machine import CPU, usable_devices, usable_threads, working_memory
from bitextmine.runcard import RunCard
from bitextmine.search.approximate.factory import check_factory, load_faiss
from bitextmine.search.grid import Grid
from bitextmine.search.method import LONG_S, Method, SearchSize, choose_method
from bitextmine.search.panels import (
    missing_blocks,
    planned_grid,
    remove_merged_blocks,
    set_grid,
    stored_dim,
)
from bitextmine.search.tasks import ask_index, exchange_panel, index_side, merge_panel, search_block
from bitextmine.workdir import SIDES, Side, Workdir

LOG = logging.getLogger(__name__)

COMMON_DIMS = (512, 384, 768, 1024, 4096)  # of encoders
ENDLESS = 1 << 40  # sentences, where it is not known yet how many there are


def check_vectors(workdir: Workdir) -> None:
    """Refuse vectors that are not those which were written.

    Raises
    ------
    WorkdirError
        A file is missing or has changed.
    """
    for side in SIDES:
        for shard, rows in enumerate(shard_sizes(workdir, side)):
            check_embeddings(workdir.shard(side, shard), rows)


def check_asked(asked: str, dim: int | None) -> None:
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


def wanted_method(workdir: Workdir, config: SearchConfig, dim: int) -> Method:
    """Decide how to search vectors of this width, and write nothing down.

    Raises
    ------
    UsageError
        FAISS is missing, or cannot build what is asked for, or the memory is too small for it.
    """
    n_src, n_tgt = (sum(shard_sizes(workdir, side)) for side in SIDES)
    return choose_method(
        config.search,
        SearchSize(n_src, n_tgt, dim=dim, k=config.k),
        devices=usable_devices(config.devices),
        threads=usable_threads(config.threads),
        memory=working_memory(config.memory),
    )


def settle_method(workdir: Workdir, config: SearchConfig, card: RunCard) -> Method:
    """Return how to search: as an earlier run decided, or decided now.

    The stage is bound to its settings only after that, so that another method may be tried
    where the first cannot be used.

    Raises
    ------
    UsageError
        FAISS is missing, or cannot build what is asked for, or the memory is too small for it.
    WorkdirError
        The search was begun under other settings.
    """
    if workdir.method.exists():
        method = _kept_method(workdir)
        workdir.claim("search", search_identity(config, method))
        return method
    method = wanted_method(workdir, config, stored_dim(workdir))
    if config.search == "auto" and not method.is_exact:
        card.show(f"the search is approximate: {method.reason}; --search exact finds all")
    elif config.search == "auto" and method.exact_seconds > LONG_S:
        card.show(f"a long search, {method.reason}")
    else:
        LOG.info("search: %s", method.reason)
    _plan(workdir, config, method)  # to fail before anything is written
    workdir.claim("search", search_identity(config, method))
    write_json(workdir.method, asdict(method))
    return method


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


def _plan(workdir: Workdir, config: SearchConfig, method: Method) -> Grid:
    """Plan the grid for this memory and these devices."""
    devices = usable_devices(config.devices) if method.is_exact else (CPU,)
    return planned_grid(
        workdir,
        dim=stored_dim(workdir),
        k=config.k,
        memory=working_memory(config.memory),
        on_gpu=devices[0] != CPU,
        n_devices=len(devices),
    )


def search_with_index(workdir: Workdir, config: SearchConfig, method: Method) -> None:
    """Index both sides, let each ask the index over the other, and put together what they found."""
    devices, threads = usable_devices(config.devices), usable_threads(config.threads)
    memory = working_memory(config.memory)
    grid = set_grid(workdir, _plan(workdir, config, method))
    root, total = workdir.root, sum(grid.src.shards) + sum(grid.tgt.shards)
    factories: dict[Side, str] = {"src": method.src_factory, "tgt": method.tgt_factory}
    asked = [(side, panel) for side in SIDES for panel in range(len(grid.cut(side)))]
    with shown("index", total=total, unit="vectors") as report, _released(workdir):
        for side, factory in factories.items():
            index_side(root, side, factory, config.seed, threads, memory, report=report)
    with shown("search", total=total, unit="sentences") as report:
        for side, panel in asked:
            ask_index(root, side, panel, config.k, threads, devices, report=report)
    run_tasks(exchange_panel, ((root, side, panel) for side, panel in asked))
    for side in SIDES:
        workdir.index(side).unlink(missing_ok=True)
    remove_merged_blocks(workdir)


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


def search_exactly(workdir: Workdir, config: SearchConfig, method: Method) -> None:
    """Compare everything with everything, block by block on all devices, and merge the lists."""
    devices = usable_devices(config.devices)
    memory = working_memory(config.memory)
    grid = set_grid(workdir, _plan(workdir, config, method))
    threads = max(usable_threads(config.threads) // len(devices), 1)
    tasks = [(workdir.root, *block, config.k, threads) for block in missing_blocks(workdir, grid)]
    LOG.info("searching %d block(s) on %s", len(tasks), ", ".join(devices))
    run_shown(
        search_block,
        tasks,
        devices,
        label="search",
        total=sum(grid.src.rows(t[1]) * grid.tgt.rows(t[2]) for t in tasks),
        unit="cosines",
        name=lambda task: f"searching block {task[1]}-{task[2]}",
    )
    for side in SIDES:
        panels = range(len(grid.cut(side)))
        run_tasks(merge_panel, ((workdir.root, side, p, config.k, memory) for p in panels))
    remove_merged_blocks(workdir)
