"""A function that runs compiled for the one shape it was prepared for, and as it is for others."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


class Compiled:
    """Wraps a step of a network whose first argument is (tokens, d).

    Parameters
    ----------
    step : callable
        A pure function of tensors.
    """

    def __init__(self, step: Callable[..., Tensor]) -> None:
        self._step = step
        self._compiled: Callable[..., Tensor] | None = None
        self._tokens = -1

    def prepare(self, *arguments: Any) -> None:
        """Compile for the shapes of these arguments.

        The arguments must be made as those of later calls are, in inference mode too, or the
        compiler takes them for another kind and compiles again.

        Raises
        ------
        RuntimeError
            There is no working compiler here, or memory does not suffice.
        """
        self._tokens = -1
        self._compiled = torch.compile(self._step, dynamic=False, fullgraph=True)
        self._compiled(*arguments)
        self._tokens = len(arguments[0])

    def __call__(self, *arguments: Any) -> Tensor:
        """Run the step."""
        if self._compiled is not None and len(arguments[0]) == self._tokens:
            return self._compiled(*arguments)
        return self._step(*arguments)
