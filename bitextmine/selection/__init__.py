"""Selection over neighbour lists on disk, in memory that does not grow with the corpus."""

from bitextmine.files import Scratch
from bitextmine.selection.from_disk import StoredSelection, select_from_disk
from bitextmine.selection.records import StoredPairs

__all__ = ["Scratch", "StoredPairs", "StoredSelection", "select_from_disk"]
