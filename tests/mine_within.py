"""Mines 200,000 x 200,000 sentences within a hard limit of memory, in a process of its own.

    python tests/mine_within.py FOLDER MEMORY LIMIT

MEMORY is what ``--memory`` is told, LIMIT what the operating system allows beyond what the
program takes before it has read a sentence; both in bytes.
"""

import resource
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from bitextmine import MineConfig
from bitextmine.encoders.base import Encoded, EncoderInfo
from bitextmine.encoders.registry import register_encoder
from bitextmine.pipeline import mine
from bitextmine.search.exact.two_way import two_way_neighbours

SENTENCES = 200_000
DIM = 16
THREADS = 1
INFO = EncoderInfo(
    name="waves",
    summary="sines of a number in the sentence",
    dim=DIM,
    languages=frozenset({"de", "en"}),
    package="tests",
    size_mib=0,
    licence="Apache-2.0",
    threshold=1.0,
    threshold_source="chosen for the test",
)


class WaveEncoder:
    """The same number gives the same vector on both sides, neighbours give others."""

    info = INFO

    def encode(self, sentences: Sequence[str]) -> Encoded:
        """Encode the number at the end of each sentence."""
        numbers = np.array([int(text.rpartition(" ")[2]) for text in sentences], np.float64)
        phases = numbers[:, None] * np.sqrt(np.arange(2, 2 + DIM)) + np.arange(DIM)
        return Encoded(np.sin(phases).astype(np.float32))


def write_corpora(folder: Path) -> None:
    """Write two sides that share half of their numbers."""
    for name, first in (("src", 0), ("tgt", SENTENCES // 2)):
        numbers = range(first, first + SENTENCES)
        (folder / name).write_text("".join(f"{name} {n}\n" for n in numbers), "utf-8")


def taken() -> int:
    """Return the address space that this process takes, in bytes."""
    pages = int(Path("/proc/self/statm").read_text("utf-8").split()[0])
    return pages * resource.getpagesize()


def main(folder: Path, memory: int, limit: int) -> None:
    """Mine within the limit, and print the number of pairs."""
    write_corpora(folder)
    register_encoder(INFO, lambda threads, device: WaveEncoder())
    torch.set_num_threads(THREADS)
    ids = np.arange(4)
    few = np.eye(4, DIM, dtype=np.float16)
    two_way_neighbours(few, few, k=1, src_numbers=ids, tgt_numbers=ids)  # loads what is loaded late
    resource.setrlimit(resource.RLIMIT_AS, (taken() + limit,) * 2)
    mined = mine(
        MineConfig(
            src=(str(folder / "src"),),
            tgt=(str(folder / "tgt"),),
            model=INFO.name,
            src_lang="de",
            tgt_lang="en",
            search="exact",
            memory=memory,
            threads=THREADS,
            k=8,
            workdir=folder / "work",
            out=folder / "pairs.tsv",
        )
    )
    print(mined.n_pairs)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
