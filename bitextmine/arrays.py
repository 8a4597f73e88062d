"""The array types that all share."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

Halfs = NDArray[np.float16]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]
Ids = NDArray[np.int64]
Bools = NDArray[np.bool_]

# Vectors on disk: float16 of length 1, or int8 of any length. A cosine does not depend on it.
Stored = NDArray[np.number[Any]]
STORED = (np.dtype(np.float16), np.dtype(np.int8))
