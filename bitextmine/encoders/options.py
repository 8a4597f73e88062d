"""What a user may decide about an encoder; imports nothing, as the command line needs it."""

from dataclasses import dataclass
from typing import Literal

Pooling = Literal["mean", "cls", "last", "max", "mean_sqrt_len", "weighted_mean"]
Dtype = Literal["auto", "float32", "bfloat16", "float16"]


@dataclass(frozen=True, kw_only=True)
class EncoderOptions:
    """What a user may decide about a checkpoint; the embedded encoders have no such choices.

    Attributes
    ----------
    prompt : str or None
        Put before every sentence; None is the model's own.
    max_length : int or None
        Tokens read of a sentence; None is the model's own.
    pooling : str
        How token states become a vector, where the model's files do not say.
    dtype : str
        Of the matrix products; "auto" is bfloat16 on a GPU and float32 on a CPU.
    batch_tokens : int
        Tokens computed at once; 0 chooses by device.
    compile : bool
        Whether to compile for the GPU.
    trust_remote_code : bool
        Whether Python code from the model's folder may run.
    """

    prompt: str | None = None
    max_length: int | None = None
    pooling: Pooling | None = None
    dtype: Dtype = "auto"
    batch_tokens: int = 0
    compile: bool = True
    trust_remote_code: bool = False
