"""Licence and languages of a checkpoint, as its model card names them."""

import importlib
import re
from pathlib import Path
from typing import Any

from bitextmine.languages import normalise_language


def read_licence(folder: Path) -> str:
    """Return the licence that the folder's model card names; "" if it names none."""
    return ", ".join(_from_card(folder, "license"))


def read_languages(folder: Path) -> frozenset[str]:
    """Return the languages that the folder's model card names, as `normalise_language` does."""
    codes = {normalise_language(code) for code in _from_card(folder, "language")}
    return frozenset(codes - {"multilingual", ""})


def _from_card(folder: Path, key: str) -> list[str]:
    """Return what the YAML at the head of README.md has under a key; nothing if it is not YAML."""
    yaml: Any = importlib.import_module("yaml")  # which has no types of its own
    try:
        text = (folder / "README.md").read_text("utf-8-sig", errors="replace")
        matter = re.match(r"---[ \t]*\n(.*?\n)---[ \t]*(?:\n|$)", text, re.DOTALL)
        # BaseLoader leaves strings alone: elsewhere in YAML `no` is not Norwegian, but false.
        card = yaml.load(matter[1], yaml.BaseLoader) if matter else None
    except (OSError, yaml.YAMLError, RecursionError):
        return []
    value = card.get(key) if isinstance(card, dict) else None
    values = value if isinstance(value, list) else [value]
    return [value for value in values if isinstance(value, str) and value]
