"""What the machine has: memory, devices."""

from pathlib import Path

import pytest
import torch

from bitextmine import machine as device_choice
from bitextmine import machine as memory
from bitextmine.errors import EncoderError, UsageError
from bitextmine.machine import (
    LEAST_BYTES,
    PROGRAM_BYTES,
    format_bytes,
    memory_budget,
    parse_devices,
    parse_memory,
    usable_devices,
    usable_memory,
    working_memory,
)

GIB = 1 << 30


@pytest.mark.parametrize(
    ("text", "n_bytes"),
    [
        ("8G", 8 * GIB),
        ("8g", 8 * GIB),
        ("1.5GiB", 3 * GIB // 2),
        ("512M", GIB // 2),
        ("700", 700),
        (" 2 TB ", 2048 * GIB),
    ],
)
def test_sizes_are_read_in_powers_of_1024(text: str, n_bytes: int) -> None:
    assert parse_memory(text) == n_bytes


@pytest.mark.parametrize("text", ["", "8 apples", "G", "-1G", "0", "1e9", "8GG"])
def test_what_is_no_size_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match="--memory is") as told:
        parse_memory(text)
    assert "8G" in told.value.hint


@pytest.mark.parametrize(
    ("n_bytes", "told"), [(8 * GIB, "8G"), (1.5 * GIB, "1.5G"), (600 << 20, "600M"), (12, "12")]
)
def test_sizes_are_told_as_people_write_them(n_bytes: float, told: str) -> None:
    assert format_bytes(n_bytes) == told


def test_the_default_is_half_of_what_there_is_and_leaves_room_for_the_program() -> None:
    assert memory_budget(0) == max(LEAST_BYTES, usable_memory() // 2)
    assert memory_budget(3 * GIB) == 3 * GIB
    assert working_memory(3 * GIB) == 3 * GIB - PROGRAM_BYTES


def test_the_smallest_limit_of_the_control_groups_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = tmp_path / "cgroup"
    listing.write_text("4:memory:/job 7/step\n2:cpu:/\n0::/slice/job\n")
    limits = {
        "memory/job 7/memory.limit_in_bytes": str(3 * GIB),
        "memory/job 7/step/memory.limit_in_bytes": "9223372036854771712",
        "slice/job/memory.max": "max",
        "slice/memory.max": str(2 * GIB),
    }
    for name, limit in limits.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{limit}\n")
    monkeypatch.setattr(memory, "_CGROUP", listing)
    monkeypatch.setattr(memory, "_CGROUPS", tmp_path)
    assert usable_memory() <= 2 * GIB
    (tmp_path / "slice/memory.max").write_text("max\n")
    assert usable_memory() <= 3 * GIB


@pytest.mark.parametrize(
    ("job", "gib"),
    [
        ({"SLURM_MEM_PER_NODE": "2048"}, 2),
        ({"SLURM_MEM_PER_CPU": "512", "SLURM_CPUS_ON_NODE": "2"}, 1),
    ],
)
def test_what_slurm_gave_counts(
    job: dict[str, str], gib: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in job.items():
        monkeypatch.setenv(name, value)
    assert usable_memory() <= gib * GIB


def test_a_job_that_got_all_memory_of_a_node_has_no_limit_of_its_own(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    before = usable_memory()
    monkeypatch.setenv("SLURM_MEM_PER_NODE", "0")
    assert usable_memory() == before


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("cpu", ("cpu",)),
        ("cpu,cpu", ("cpu", "cpu")),
        ("cuda", ("cuda",)),
        ("cuda:0,1", ("cuda:0", "cuda:1")),
        ("CUDA:3, cuda:1", ("cuda:3", "cuda:1")),
    ],
)
def test_a_list_of_devices_is_read(text: str, expected: tuple[str, ...]) -> None:
    assert parse_devices(text) == expected


@pytest.mark.parametrize("text", ["", "0", "gpu", "cuda:", "cuda:x", "cpu:0", "cpu,1", "cuda,"])
def test_what_is_no_device_is_refused(text: str) -> None:
    with pytest.raises(UsageError):
        parse_devices(text)


@pytest.mark.usefixtures("two_gpus")
def test_every_visible_gpu_is_used_by_default() -> None:
    assert usable_devices(()) == ("cuda:0", "cuda:1")
    assert usable_devices(("cuda",)) == ("cuda:0", "cuda:1")


def test_the_processor_is_used_where_there_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert usable_devices(()) == (device_choice.CPU,)
    with pytest.raises(EncoderError, match="torch sees no GPU"):
        usable_devices(("cuda",))


@pytest.mark.usefixtures("two_gpus")
def test_a_gpu_that_is_not_there_is_refused() -> None:
    with pytest.raises(EncoderError, match="no cuda:2 here: torch sees cuda:0, cuda:1"):
        usable_devices(("cuda:0", "cuda:2"))
