"""Which number format an encoder multiplies in."""

from collections.abc import Sequence

from bitextmine.config import Dtype
from bitextmine.errors import UsageError
from bitextmine.machine import CPU


def resolve_dtype(asked: Dtype, devices: Sequence[str], *, is_t5: bool) -> Dtype:
    """Return the number format of matrix products.

    Raises
    ------
    UsageError
        float16 for a T5: its activations overflow it.
    """
    if asked == "float16" and is_t5:
        raise UsageError(
            "--dtype float16 with a model of the T5 family, whose activations overflow it",
            hint="use --dtype bfloat16, or float32",
        )
    if asked != "auto":
        return asked
    if devices[0] == CPU:
        return "float32"
    import torch

    if torch.cuda.is_bf16_supported(including_emulation=False):
        return "bfloat16"
    return "float32" if is_t5 else "float16"
