"""`bitextmine models` as a person at a terminal meets it."""

from pathlib import Path

import pytest
from commands import run


@pytest.mark.parametrize("command", ["", "pull", "export", "merge"])
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = run("models", *([command] if command else []), "--help")
    assert result.exit_code == 0
    assert f"bitextmine models {command}".strip() in result.stdout.split("Usage:")[1]
    assert "Options:" in result.stdout


def test_a_damaged_model_does_not_hide_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITEXTMINE_MODELS", str(tmp_path))
    (tmp_path / "labse").mkdir()
    (tmp_path / "labse" / "bitextmine.json").write_text("garbage")
    listed = run("models")
    assert listed.exit_code == 0
    assert "damaged: cannot read" in listed.stdout


def test_models_lists_what_can_be_pulled() -> None:
    listed = run("models").stdout
    for name in ("use-m3", "e5-small", "m-st5", "labse", "bge-m3"):
        assert f"\n{name}: " in f"\n{listed}"
    assert "CC-BY-NC-4.0" in listed
    assert "bitextmine models pull m-st5" in listed
