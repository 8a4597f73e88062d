"""How much memory a run may take, and how much of it there is."""

import os
import re
from pathlib import Path

from bitextmine.errors import UsageError

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


def told_bytes(n_bytes: float) -> str:
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
