"""What this machine, or the job's share of it, has: cores, memory, devices.

Asked where a task runs, never carried there from somewhere else: on a cluster the node that
starts a run is seldom like those that do the work.
"""

import os
import platform
import re
import resource
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from bitextmine.errors import EncoderError, UsageError

_PACKAGES = ("torch", "numpy", "transformers", "peft", "click", "zstandard", "sentencepiece")


def usable_threads(asked: int) -> int:
    """Return the number of threads to use: what was asked for, or every core of this job."""
    return asked or len(os.sched_getaffinity(0))


def allow_open_files() -> None:
    """Let this process open as many files as it may: a side has up to some thousand shards."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def describe_machine() -> dict[str, Any]:
    """Tell what hardware and which versions computed a result."""
    return {
        "platform": platform.platform(),
        "processor": _processor(),
        "cores": usable_threads(0),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _version(name))},
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.processor())


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


SHARE = 0.5  # of what the machine or the job has, when nothing is asked for

PROGRAM_BYTES = 320 << 20  # Python with torch and numpy loaded, before any sentence

LEAST_BYTES = 512 << 20

_UNITS = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}

_CGROUP = Path("/proc/self/cgroup")

_CGROUPS = Path("/sys/fs/cgroup")


def parse_memory(text: str) -> int:
    """Read a size such as 8G, 512M or 1.5GiB, in powers of 1024.

    Raises
    ------
    UsageError
        It is no size.
    """
    found = re.fullmatch(r"\s*(\d{1,15}(?:\.\d{1,9})?)\s*([KMGT]?)(?:i?B)?\s*", text, re.IGNORECASE)
    if not found or not float(found[1]):
        raise UsageError(f"--memory is {text!r}", hint="give a size such as 8G or 512M")
    return int(float(found[1]) * _UNITS[found[2].upper()])


def format_bytes(n_bytes: float) -> str:
    """Say a size as people do: 1.5G."""
    for unit in ("T", "G", "M", "K"):
        if n_bytes >= _UNITS[unit]:
            amount = n_bytes / _UNITS[unit]
            return f"{amount:.0f}{unit}" if amount >= 100 else f"{amount:.3g}{unit}"
    return f"{n_bytes:.0f}"


def memory_budget(asked: int) -> int:
    """Return the bytes that a run may take in all: those asked for, or a share of what there is."""
    return asked or max(LEAST_BYTES, int(SHARE * usable_memory()))


def working_memory(asked: int) -> int:
    """Return the bytes that are left of the budget for sentences, vectors and lists."""
    return memory_budget(asked) - PROGRAM_BYTES


def usable_memory() -> int:
    """Return the bytes that this process could take: of the machine, or of its job if less."""
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([physical, *_cgroup_limits(), *_slurm_limits(os.environ)])


def _cgroup_limits() -> list[int]:
    """Limits of the control groups that this process is in, and of those around them."""
    try:
        lines = _CGROUP.read_text("utf-8").splitlines()
    except OSError:
        return []
    limits = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        version_1 = "memory" in controllers.split(",")
        if version_1 or not controllers:
            root = _CGROUPS / "memory" if version_1 else _CGROUPS
            name = "memory.limit_in_bytes" if version_1 else "memory.max"
            group = root / path.lstrip("/")
            limits += [_limit(folder / name) for folder in (group, *group.parents)]
    return [limit for limit in limits if limit]


def _limit(path: Path) -> int:
    """Read one limit; 0 if there is none."""
    try:
        text = path.read_text("utf-8").strip()
    except OSError:
        return 0
    return int(text) if text.isdecimal() else 0


def _slurm_limits(environment: "os._Environ[str] | dict[str, str]") -> list[int]:
    """What Slurm has given this job on this node, in megabytes."""
    limits = []
    if environment.get("SLURM_MEM_PER_NODE", "").isdecimal():
        limits.append(int(environment["SLURM_MEM_PER_NODE"]) << 20)
    per_core = environment.get("SLURM_MEM_PER_CPU", "")
    cores = environment.get("SLURM_CPUS_ON_NODE", "")
    if per_core.isdecimal() and cores.isdecimal():
        limits.append((int(per_core) << 20) * int(cores))
    return [limit for limit in limits if limit]


def single_threaded_workers(count: int, name: str) -> ThreadPoolExecutor:
    """Start threads in which torch uses one thread, leaving all other threads as they are."""
    import torch

    before = torch.get_num_threads()
    all_started = threading.Barrier(count + 1)
    workers = ThreadPoolExecutor(count, name, initializer=_use_one_thread)
    for _ in range(count):
        workers.submit(all_started.wait)
    all_started.wait()
    torch.set_num_threads(before)
    return workers


def _use_one_thread() -> None:
    """Give torch one thread in the calling thread."""
    import torch

    torch.set_num_threads(1)
    # A thread takes the setting over at its first look, and keeps it from then on.
    torch.get_num_threads()


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


@dataclass(frozen=True)
class Resources:
    """What a task may use where it runs.

    Attributes
    ----------
    device : str
        Where it computes: "cpu" or "cuda:0".
    threads : int
        Processor cores.
    memory : int
        Bytes for sentences, vectors and lists; the program itself comes on top.
    sharing : int
        How many tasks share the machine, each with as much.
    allowed_devices : tuple of str
        Those that the user named, for a task on the CPU that can also use a GPU; () is all.
    """

    device: str
    threads: int
    memory: int
    sharing: int = 1
    allowed_devices: tuple[str, ...] = ()


class Hardware(Protocol):
    """The devices that something will run on: of this machine, or of others that do the work."""

    @property
    def devices(self) -> tuple[str, ...]:
        """Those that the user named; () is every GPU, or the CPU where there is none."""
        ...

    def usable_devices(self) -> tuple[str, ...]:
        """Return the devices that may be used.

        Raises
        ------
        EncoderError
            One was named that is not there.
        """
        ...

    def has_bfloat16(self) -> bool:
        """Tell whether all GPUs among them multiply in bfloat16."""
        ...


@dataclass(frozen=True)
class Limits:
    """What the user allows a run to take of each machine that it works on.

    Attributes
    ----------
    devices : tuple of str
        As `parse_devices` gives them; () is every GPU, or the CPU where there is none.
    threads : int
        Processor cores; 0 is all of the job.
    memory : int
        Bytes in all; 0 is half of what the machine or the job has.
    """

    devices: tuple[str, ...] = ()
    threads: int = 0
    memory: int = 0

    def usable_devices(self) -> tuple[str, ...]:
        """Return the devices of this machine that may be used.

        Raises
        ------
        EncoderError
            One was named that is not there.
        """
        return usable_devices(self.devices)

    def has_bfloat16(self) -> bool:
        """Tell whether the GPUs of this machine multiply in bfloat16."""
        import torch

        return bool(torch.cuda.is_bf16_supported(including_emulation=False))

    def resources(self, device: str, *, sharing: int = 1) -> Resources:
        """Return what one of several equal tasks has, if they share this machine.

        Parameters
        ----------
        device : str
            The one it has to itself.
        sharing : int
            How many tasks run here at once.
        """
        return Resources(
            device,
            max(usable_threads(self.threads) // sharing, 1),
            working_memory(self.memory) // sharing,
            sharing,
            self.devices,
        )
