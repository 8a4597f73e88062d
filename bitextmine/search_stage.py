"""What the search stage consists of: which tasks, on which devices, within which memory."""

import logging
from itertools import product

from bitextmine.config import SearchConfig
from bitextmine.device_choice import CPU, usable_devices
from bitextmine.encoding import check_embeddings
from bitextmine.engines.local import run_tasks
from bitextmine.engines.shown import run_shown
from bitextmine.machine import usable_threads
from bitextmine.memory import working_memory
from bitextmine.searching import (
    merge_panel,
    remove_merged_blocks,
    search_block,
    set_grid,
    shard_sizes,
    stored_dim,
)
from bitextmine.workdir import SIDES, Workdir

LOG = logging.getLogger(__name__)


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


def search_exactly(workdir: Workdir, config: SearchConfig) -> None:
    """Compare everything with everything, block by block on all devices, and merge the lists."""
    devices = usable_devices(config.devices)
    memory = working_memory(config.memory)
    grid = set_grid(
        workdir, dim=stored_dim(workdir), k=config.k, memory=memory,
        on_gpu=devices[0] != CPU, n_devices=len(devices),
    )  # fmt: skip
    threads = max(usable_threads(config.threads) // len(devices), 1)
    blocks = product(range(len(grid.src)), range(len(grid.tgt)))
    tasks = [(workdir.root, src, tgt, config.k, threads) for src, tgt in blocks]
    LOG.info("searching %d block(s) on %s", len(tasks), ", ".join(devices))
    run_shown(
        search_block, tasks, devices,
        label="search", total=sum(grid.src.shards) * sum(grid.tgt.shards), unit="cosines",
        name=lambda task: f"searching block {task[1]}-{task[2]}",
    )  # fmt: skip
    for side in SIDES:
        panels = range(len(grid.cut(side)))
        run_tasks(merge_panel, ((workdir.root, side, p, config.k, memory) for p in panels))
    remove_merged_blocks(workdir)
