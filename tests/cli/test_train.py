"""`bitextmine train` as a person at a terminal meets it."""

from pathlib import Path

import small_models
from commands import run

WORDS = ["bridge", "Monday", "children", "village", "yard", "closed"]


def test_the_command_trains_and_merges(tmp_path: Path) -> None:
    base, data = small_models.mt5(tmp_path / "it's « mT5 »"), tmp_path / "tri plets.csv"
    rows = [f"{a} {b} {a},{a} {b},{b} is not {a}" for a in WORDS for b in WORDS[:4] if a != b]
    data.write_text("\n".join(["sent0,sent1,hard_neg", *rows]) + "\n", "utf-8")
    out, model = tmp_path / "a dapter", tmp_path / "mo del"
    flags = ("--steps", 2, "--batch-size", 4, "--cpu")
    told = run("train", "--model", base, "--data", data, "--out", out, *flags)
    assert told.exit_code == 0, told.output
    assert told.stdout == ""
    assert "2 steps" in told.stderr
    told = run("models", "merge", out, "--out", model)
    assert told.exit_code == 0, told.output
    assert (model / "model.safetensors").exists()


def test_help_tells_where_defaults_come_from() -> None:
    told = run("train", "--help").output
    assert told.count("mSimCSE") > 5
    assert "hosen here" in told
