"""Arrays of a work directory, mapped into memory."""

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bitextmine.errors import WorkdirError


def map_array(path: Path) -> NDArray[Any]:
    """Map an array into memory without reading it.

    Raises
    ------
    WorkdirError
        The file is missing or damaged.
    """
    try:
        array: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        reason = (error.strerror or str(error)) if isinstance(error, OSError) else str(error)
        raise WorkdirError(
            f"cannot read {path}: {reason.lower()}",
            hint="the work directory is damaged: start again in an empty --workdir",
        ) from error
    return array
