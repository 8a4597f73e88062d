"""One shard of 50 sentences, encoded by the task itself with whatever encoder a test wants."""

from pathlib import Path

import pytest
from here import here
from toy import TOY_INFO

from bitextmine.config import EncoderOptions
from bitextmine.encode import shards as encoding
from bitextmine.encode.shards import encode_shard
from bitextmine.encoders.spec import EncoderSpec
from bitextmine.workdir import ShardFiles

SPEC = EncoderSpec(info=TOY_INFO, options=EncoderOptions(), description=None, weights="tests")
SENTENCES = [f"sentence number {n}" for n in range(50)]


def root_of(files: ShardFiles) -> Path:
    return files.folder.parents[2]


def use(monkeypatch: pytest.MonkeyPatch, encoder: object) -> None:
    monkeypatch.setattr(encoding, "shared_encoder", lambda spec, threads, device: encoder)


def encode(files: ShardFiles) -> int:
    """Encode the only shard; returns how many sentences were reported."""
    reported: list[int] = []
    encode_shard(root_of(files), "src", 0, SPEC, **here(reported.append))
    return sum(reported)


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
