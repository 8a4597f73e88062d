"""The tasks of the search, each of which does nothing when its result is there already.

Exact: ``search_block`` (a src panel against a tgt panel, both directions at once) and
``merge_panel`` (all blocks of one panel). With an index: ``index_side`` (all vectors of a side),
``ask_index`` (a panel of the other side) and ``exchange_panel`` (what both directions found).
"""

from pathlib import Path

from bitextmine.machine import Resources, usable_devices
from bitextmine.progress import Advance
from bitextmine.search.neighbours import (
    StoredNeighbours,
    as_neighbours,
    merge_files,
    open_lists,
    save_lists,
)
from bitextmine.search.panels import Panel, panel_lists, read_grid, whole_side
from bitextmine.workdir import OTHER, Side, Workdir

_OFFERED_ROWS = 1 << 17  # lists of the other side in hand at a time


def index_side(
    root: Path,
    side: Side,
    factory: str,
    seed: int,
    *,
    resources: Resources,
    advance: Advance,
) -> None:
    """Build the index over all vectors of a side.

    Parameters
    ----------
    root : Path
        The work directory.
    side
        Whose vectors are indexed.
    factory : str
        What FAISS calls the kind of index.
    seed : int
        Of the sample that it is trained on.
    resources, advance
        What to use, and what is told how many more vectors are in the index.

    Raises
    ------
    UsageError
        FAISS cannot build it, or the memory is too small.
    OutputError
        The disk is full.
    """
    from bitextmine.search.approximate.index import build_index  # imports torch

    workdir = Workdir(root)
    rows = whole_side(workdir, side)
    answered = all(path.exists() for path in _found(workdir, OTHER[side]).files)
    if workdir.index(side).exists() or answered:
        advance(len(rows))
        return
    build_index(
        workdir.index(side),
        rows.vectors(),
        rows[:],
        factory=factory,
        seed=seed,
        threads=resources.threads,
        memory=resources.memory,
        progress=advance,
    )


def ask_index(
    root: Path,
    side: Side,
    panel: int,
    k: int,
    *,
    resources: Resources,
    advance: Advance,
) -> None:
    """Find the neighbours of a panel of one side in the index over the other.

    Parameters
    ----------
    root : Path
        The work directory.
    side, panel
        Who asks.
    k : int
        Neighbours a sentence.
    resources, advance
        What to use (a GPU where FAISS can), and what is told how many more sentences are
        answered, those of earlier runs included.

    Raises
    ------
    WorkdirError
        The index cannot be read.
    OutputError
        The disk is full.
    """
    from bitextmine.search.approximate.lookup import search_index  # imports torch

    workdir = Workdir(root)
    queries = Panel(workdir, side, read_grid(workdir).cut(side).pieces(panel))
    path = workdir.found(side, panel)
    if path.exists():
        advance(len(queries))
        return
    others = whole_side(workdir, OTHER[side])
    found = search_index(
        workdir.index(OTHER[side]),
        queries.vectors(),
        queries[:],
        others.vectors(),
        others[:],
        k=k,
        threads=resources.threads,
        devices=usable_devices(resources.allowed_devices),
        progress=advance,
    )
    save_lists(path, found)


def exchange_panel(
    root: Path, side: Side, panel: int, *, resources: Resources, advance: Advance
) -> None:
    """Offer the sentences of a panel what the other direction has found as well."""
    from bitextmine.search.approximate.lookup import exchange  # imports torch

    workdir = Workdir(root)
    path = workdir.neighbours(side, panel)
    if path.exists():
        return
    own = _found(workdir, side)
    lists = as_neighbours(open_lists(own.files[panel], rows=len(own.numbers[panel])))
    offered = _found(workdir, OTHER[side]).blocks(_OFFERED_ROWS)
    save_lists(path, exchange(own.numbers[panel][:], lists, offered))


def _found(workdir: Workdir, side: Side) -> StoredNeighbours:
    """Return what all panels of a side found in the index over the other."""
    return panel_lists(workdir, side, workdir.found)


def search_block(
    root: Path,
    src_panel: int,
    tgt_panel: int,
    k: int,
    *,
    resources: Resources,
    advance: Advance,
) -> None:
    """Find the k nearest neighbours between two panels, in both directions.

    Parameters
    ----------
    root : Path
        The work directory.
    src_panel, tgt_panel : int
        Which block of the grid.
    k : int
        Neighbours a sentence.
    resources, advance
        What to use, and what is told how many more pairs of sentences are compared, those of
        earlier runs included.

    Raises
    ------
    EncoderError
        A vector is not finite.
    OutputError
        The disk is full.
    """
    workdir = Workdir(root)
    fwd_path = workdir.block(src_panel, tgt_panel, "fwd")
    bwd_path = workdir.block(src_panel, tgt_panel, "bwd")
    grid = read_grid(workdir)
    if fwd_path.exists() and bwd_path.exists():
        advance(grid.src.rows(src_panel) * grid.tgt.rows(tgt_panel))
        return
    from bitextmine.search.exact.two_way import two_way_neighbours  # imports torch

    src = Panel(workdir, "src", grid.src.pieces(src_panel))
    tgt = Panel(workdir, "tgt", grid.tgt.pieces(tgt_panel))
    fwd, bwd = two_way_neighbours(
        src.vectors(),
        tgt.vectors(),
        k=k,
        src_numbers=src[:],
        tgt_numbers=tgt[:],
        device=resources.device,
        threads=resources.threads,
        progress=advance,
    )
    save_lists(fwd_path, fwd)
    save_lists(bwd_path, bwd)


def merge_panel(
    root: Path, side: Side, panel: int, k: int, *, resources: Resources, advance: Advance
) -> None:
    """Merge what the blocks of one panel found into the k nearest of the whole other side."""
    workdir = Workdir(root)
    path = workdir.neighbours(side, panel)
    if path.exists():
        return
    grid = read_grid(workdir)
    if side == "src":
        blocks = [workdir.block(panel, other, "fwd") for other in range(len(grid.tgt))]
    else:
        blocks = [workdir.block(other, panel, "bwd") for other in range(len(grid.src))]
    merge_files(blocks, k, path, n=grid.cut(side).rows(panel), memory=resources.memory)
