"""Find every translation pair in two piles of sentences.

>>> from bitextmine import MineConfig, mine
>>> mined = mine(MineConfig(src=("de.txt.zst",), tgt=("en.txt.zst",)))  # doctest: +SKIP
>>> mined.pairs[0].score, mined.pairs[0].src, mined.pairs[0].tgt  # doctest: +SKIP
"""

from typing import TYPE_CHECKING, Any

from bitextmine.config import MineConfig
from bitextmine.errors import BitextmineError
from bitextmine.version import __version__

if TYPE_CHECKING:
    from bitextmine.pipeline import mine
    from bitextmine.shard.sentences import Origin
    from bitextmine.write.records import Pair
    from bitextmine.write.stage import Mined

__all__ = ["BitextmineError", "MineConfig", "Mined", "Origin", "Pair", "__version__", "mine"]

_LATE = {  # imported when first used, so that the command line starts at once
    "mine": "bitextmine.pipeline",
    "Mined": "bitextmine.write.stage",
    "Pair": "bitextmine.write.records",
    "Origin": "bitextmine.shard.sentences",
}


def __getattr__(name: str) -> Any:
    if name not in _LATE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    if name == "mine":
        from bitextmine.models import let_models_be_made

        let_models_be_made()
    return getattr(import_module(_LATE[name]), name)
