"""JSON files of a checkpoint, and the errors that say what is wrong with them."""

import json
import math
from pathlib import Path
from typing import Any

from bitextmine.errors import EncoderError


def read_object(path: Path, *, optional: bool = False) -> dict[str, Any]:
    """Read a JSON object; an optional one may be missing, and is empty then.

    Raises
    ------
    EncoderError
        It cannot be read, or is something else.
    """
    if optional and not path.is_file():
        return {}
    content = read_value(path)
    if not isinstance(content, dict):
        raise damaged_settings(path, "is not a JSON object")
    return content


def read_value(path: Path) -> Any:
    """Read any JSON: as `read_object`."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise damaged_settings(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise damaged_settings(path, "is not JSON") from error


def number(settings: dict[str, Any], *names: str) -> int | None:
    """Return the first of these settings that is a positive number."""
    for name in names:
        value = settings.get(name)
        if isinstance(value, int | float) and 1 <= value < math.inf:
            return int(value)
    return None


def part(settings: dict[str, Any], name: str) -> dict[str, Any]:
    """Return settings within settings; none if they are not there."""
    part = settings.get(name)
    return part if isinstance(part, dict) else {}


def damaged_settings(path: Path, problem: str) -> EncoderError:
    """Return the error of a file that has a problem."""
    return EncoderError(
        f"{path} {problem}", hint="the folder is incomplete or damaged: fetch the model again"
    )


def unsupported(folder: Path, what: str) -> EncoderError:
    """Return the error of a model that has what we have no code for."""
    return EncoderError(
        f"{folder} has {what} that is not supported",
        hint="choose a model with pooling, dense layers and normalisation after its transformer",
    )
