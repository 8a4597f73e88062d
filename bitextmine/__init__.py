"""Find every translation pair in two piles of sentences."""

from bitextmine.version import VERSION as __version__

__all__ = ["__version__"]
