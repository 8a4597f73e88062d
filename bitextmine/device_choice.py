"""Which devices compute, and in which number format."""

from collections.abc import Sequence

from bitextmine.encoders.options import Dtype
from bitextmine.errors import EncoderError, UsageError

CPU = "cpu"


def parse_devices(text: str) -> tuple[str, ...]:
    """Split what ``--devices`` says: "cuda:0,1" means cuda:0 and cuda:1.

    Raises
    ------
    UsageError
        Something is no device.
    """
    devices: list[str] = []
    for part in (part.strip().lower() for part in text.split(",")):
        name = f"cuda:{part}" if part.isdecimal() and devices else part
        kind, _, number = name.partition(":")
        if name != CPU and not (kind == "cuda" and (number.isdecimal() or name == "cuda")):
            raise UsageError(
                f"--devices {text}: {part!r} is no device",
                hint="give cpu, cuda (all GPUs), or a list such as cuda:0,1",
            )
        devices.append(name)
    if CPU in devices and len(set(devices)) > 1:
        raise UsageError(
            f"--devices {text} mixes processor and GPUs",
            hint="their vectors differ in the last digits; give one kind",
        )
    return tuple(devices)


def usable_devices(asked: Sequence[str]) -> tuple[str, ...]:
    """Return the devices to use: those asked for, else every visible GPU, else the CPU.

    Raises
    ------
    EncoderError
        A GPU was asked for that is not there.
    """
    if not asked:
        return visible_gpus() or (CPU,)
    if tuple(asked) == ("cuda",):
        asked = visible_gpus() or ("cuda:0",)
    gpus = visible_gpus()
    for device in asked:
        if device != CPU and device not in gpus:
            raise EncoderError(
                f"there is no {device} here: {_told(gpus)}",
                hint="check nvidia-smi, CUDA_VISIBLE_DEVICES and that torch is a CUDA build,"
                " or give --devices cpu",
            )
    return tuple(asked)


def _told(gpus: Sequence[str]) -> str:
    return f"torch sees {', '.join(gpus)}" if gpus else "torch sees no GPU"


def visible_gpus() -> tuple[str, ...]:
    """Return the GPUs that torch may use in this process: ("cuda:0", …)."""
    import torch

    if not torch.cuda.is_available():
        return ()
    return tuple(f"cuda:{number}" for number in range(torch.cuda.device_count()))


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
