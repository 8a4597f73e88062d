"""Work directories that are sharded: one side task by task, or both by the stage."""

from pathlib import Path
from typing import Any

import numpy as np
from here import here

from bitextmine.config import ShardConfig
from bitextmine.counts import count_shards
from bitextmine.pipeline import shard_workdir
from bitextmine.shard.build import build_shard, plan_shards
from bitextmine.shard.numbering import number_sentences
from bitextmine.shard.sentences import Sentences
from bitextmine.shard.split import split_file
from bitextmine.workdir import Workdir


def written(root: Path, *contents: str | bytes, **settings: Any) -> tuple[Workdir, ShardConfig]:
    """Write the files of src, and make an empty work directory beside them."""
    root.mkdir(exist_ok=True)
    paths = []
    for number, content in enumerate(contents):
        path = root / f"part {number}.txt"
        path.write_bytes(content.encode() if isinstance(content, str) else content)
        paths.append(str(path))
    config = ShardConfig(src=tuple(paths), tgt=(paths[0],), **settings)
    workdir = Workdir(root / "work")
    workdir.create()
    return workdir, config


def shard_side(workdir: Workdir, config: ShardConfig, memory: int = 64 << 20) -> None:
    """Split, build and number src; ``memory`` is that of numbering, in bytes."""
    for file in range(len(config.src)):
        split_file(workdir.root, "src", file, config, **here())
    plan_shards(workdir.root, "src", config.shard_size, **here())
    for shard in range(count_shards(workdir, "src")):
        build_shard(workdir.root, "src", shard, **here())
    number_sentences(workdir.root, "src", **here(memory=memory))


def sharded(root: Path, *contents: str | bytes, **settings: Any) -> tuple[Workdir, ShardConfig]:
    """Write the files of src, and shard them."""
    workdir, config = written(root, *contents, **settings)
    shard_side(workdir, config)
    return workdir, config


def both_sharded(root: Path, src: str, tgt: str, **settings: Any) -> Workdir:
    """Write a file of each side, and do the stage over them."""
    paths = [root / "src 'é' 語", root / "tgt 'é' 語"]
    for path, text in zip(paths, (src, tgt), strict=True):
        path.write_text(text, "utf-8")
    config = ShardConfig(src=(str(paths[0]),), tgt=(str(paths[1]),), **settings)
    shard_workdir(root / 'work "dir"', config)
    return Workdir(root / 'work "dir"')


def sentences(workdir: Workdir, config: ShardConfig) -> list[str]:
    """Return all sentences of src, in the order of their numbers."""
    found = Sentences(workdir, "src")
    return [text for text, _ in found.fetch(np.arange(len(found)))]
