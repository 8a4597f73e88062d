"""The bundled sample: real German and English sentences, and which of them are translations."""

from dataclasses import dataclass
from pathlib import Path

from bitextmine.config import MineConfig
from bitextmine.pipeline import mine
from bitextmine.write.stage import Mined

SAMPLE = Path(__file__).parent / "sample"


@dataclass(frozen=True)
class DemoOutcome:
    """What mining the sample found, against its answers."""

    mined: Mined
    gold: frozenset[tuple[int, int]]  # Lines of the two files, from 1.

    @property
    def right(self) -> int:
        """How many of the mined pairs are in the answers."""
        lines = ((p.src_origin.line, p.tgt_origin.line) for p in self.mined.pairs)
        return sum(pair in self.gold for pair in lines)

    def format_best(self, best: int) -> list[str]:
        """Return the best pairs in LASER's format."""
        return [f"{pair.score:.6f}\t{pair.src}\t{pair.tgt}" for pair in self.mined.pairs[:best]]

    @property
    def summary(self) -> str:
        """Say in one line how many were found and how many of them are right."""
        counts, found = self.mined.card["counts"], self.mined.n_pairs
        return (
            f"{found:,} pairs from {counts['src']['unique']:,} x {counts['tgt']['unique']:,}"
            f" sentences in {self.mined.card['seconds']['total']:.1f} s"
            f" ({self.mined.card['encoder']['name']}):"
            f" {self.right} of the {len(self.gold)} known translations found,"
            f" {100 * self.right / max(found, 1):.1f} % of the pairs right"
        )


def run_demo(*, threads: int = 0) -> DemoOutcome:
    """Mine the bundled sample with the default settings."""
    config = MineConfig(
        src=(str(SAMPLE / "sample.de.zst"),),
        tgt=(str(SAMPLE / "sample.en.zst"),),
        src_lang="de",
        tgt_lang="en",
        threads=threads,
    )
    return DemoOutcome(mine(config), read_gold(SAMPLE / "gold.tsv"))


def read_gold(path: Path) -> frozenset[tuple[int, int]]:
    """Read pairs of line numbers, ``src_line<TAB>tgt_line``."""
    rows = (line.split("\t") for line in path.read_text("utf-8").splitlines())
    return frozenset((int(src), int(tgt)) for src, tgt in rows)
