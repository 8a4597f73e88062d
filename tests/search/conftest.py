"""What the tests of the search over a work directory share."""

from pathlib import Path

import pytest

from bitextmine.config import EncodeConfig, ShardConfig
from bitextmine.pipeline import encode_workdir, shard_workdir
from bitextmine.workdir import Workdir


@pytest.fixture
def encoded(tmp_path: Path, toy: str) -> Workdir:
    """A work directory of three src and two tgt shards, encoded."""
    paths = {}
    for side, words in (("src", 90), ("tgt", 70)):
        paths[side] = tmp_path / f"{side} 'é'.txt"
        lines = (f"word{n % 7} word{n % 11} name{n}" for n in range(words))
        paths[side].write_text("\n".join(lines), "utf-8")
    workdir = Workdir(tmp_path / 'work "dir"')
    workdir.create()
    config = ShardConfig(src=(str(paths["src"]),), tgt=(str(paths["tgt"]),), shard_size=35)
    shard_workdir(workdir.root, config)
    encode_workdir(workdir.root, EncodeConfig(model=toy, src_lang="de", tgt_lang="en"))
    return workdir
