"""What the tests of encoding share."""

from pathlib import Path

import pytest
from one_shard import SENTENCES, encode, use
from sharded import sharded
from toy import ToyEncoder

from bitextmine.encode.vectors import check_embeddings
from bitextmine.workdir import ShardFiles


@pytest.fixture
def files(tmp_path: Path) -> ShardFiles:
    """A shard of 50 sentences that is not encoded yet."""
    workdir, _ = sharded(tmp_path / "it's « a shard »", "\n".join(SENTENCES))
    return workdir.shard("src", 0)


@pytest.fixture
def encoded(files: ShardFiles, monkeypatch: pytest.MonkeyPatch) -> ShardFiles:
    """The shard with its vectors, all as they were written."""
    use(monkeypatch, ToyEncoder())
    encode(files)
    check_embeddings(files, 50)
    return files
