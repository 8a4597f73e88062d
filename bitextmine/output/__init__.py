"""Writing mined pairs: five formats, any compression, whole files or none."""

from bitextmine.output.destination import check_destination, save_pairs, write_pairs
from bitextmine.output.options import OutputOptions
from bitextmine.output.records import Pair
from bitextmine.shard.sentences import Origin

__all__ = [
    "Origin",
    "OutputOptions",
    "Pair",
    "check_destination",
    "save_pairs",
    "write_pairs",
]
