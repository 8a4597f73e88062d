"""A checkpoint is found where it was pulled, and m-st5 is merged when its parts are cached."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_t5 import adapted, save_base

from bitextmine.config import M_ST5, M_ST5_ADAPTER, M_ST5_BASE
from bitextmine.encoders import locate as module
from bitextmine.encoders.locate import locate, register_maker, unregister_maker
from bitextmine.encoders.registry import readiness
from bitextmine.errors import EncoderError
from bitextmine.models.pull import pull


@pytest.fixture
def parts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Have the parts of a tiny m-st5 in a cache, and an empty folder for models."""
    adapted(save_base(tmp_path / "base"), tmp_path / "adapter")
    cached = {M_ST5_BASE: tmp_path / "base", M_ST5_ADAPTER: tmp_path / "adapter"}
    monkeypatch.setattr(module, "cached_snapshot", lambda repo, **_: cached.get(repo))
    monkeypatch.setenv("BITEXTMINE_MODELS", str(tmp_path / "models"))
    return tmp_path


@pytest.fixture
def maker(parts: Path) -> Iterator[list[Path]]:
    """Register what the command line does: returns the folders made."""
    made: list[Path] = []

    def merge() -> Path:
        base, adapter = str(parts / "base"), str(parts / "adapter")
        made.append(pull(M_ST5, base=base, adapter=adapter))
        return made[-1]

    register_maker(M_ST5, merge)
    yield made
    unregister_maker(M_ST5)


def test_m_st5_is_merged_once_from_cached_parts(parts: Path, maker: list[Path]) -> None:
    assert readiness(M_ST5) == "ready"
    for _ in range(2):
        located = locate(M_ST5)
        assert (located.name, located.folder) == (M_ST5, parts / "models/m-st5")
    assert maker == [parts / "models/m-st5"]


def test_without_a_maker_the_command_that_merges_is_named(
    parts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_MAKERS", {})
    assert readiness(M_ST5) == "not on this machine: bitextmine models pull m-st5"
    with pytest.raises(EncoderError, match="m-st5 is not on this machine") as told:
        locate(M_ST5)
    assert "run `bitextmine models pull m-st5`" in told.value.hint


@pytest.mark.usefixtures("maker")
@pytest.mark.parametrize("missing", [M_ST5_BASE, M_ST5_ADAPTER])
def test_a_part_that_is_not_cached_is_never_fetched_unasked(
    parts: Path, missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached = {M_ST5_BASE: parts / "base", M_ST5_ADAPTER: parts / "adapter"}
    del cached[missing]
    monkeypatch.setattr(module, "cached_snapshot", lambda repo, **_: cached.get(repo))
    with pytest.raises(EncoderError, match="m-st5 is not on this machine"):
        locate(M_ST5)


def test_a_folder_that_is_not_there_is_told() -> None:
    with pytest.raises(EncoderError, match=r"there is no folder \./nowhere"):
        locate("./nowhere")
