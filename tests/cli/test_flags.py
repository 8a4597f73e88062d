"""Flags have the type and the default of the field they fill, and make it of what was typed."""

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import click
import pytest
from commands import explained, run

from bitextmine.cli.flags import flag
from bitextmine.cli.main import main
from bitextmine.config import (
    EncodeConfig,
    MineConfig,
    OutputConfig,
    Retrieval,
    SearchConfig,
    SelectConfig,
    ShardConfig,
)
from bitextmine.training.choices import TrainConfig

SIDES = ("--src", "a", "--tgt", "b")
TRAINED = ("--model", "m", "--data", "d", "--out", "o")


def parsed(command: str, *args: str) -> dict[str, Any]:
    """Return the fields that a command's flags fill."""
    told = main.commands[command].make_context(command, list(args)).params
    return {name: value for name, value in told.items() if name not in ("quiet", "verbose")}


def option(name: str, **also: Any) -> click.Option:
    """Return a flag as click knows it."""

    @flag(name, "Help.", **also)
    def command() -> None: ...

    (made,) = click.command(command).params
    assert isinstance(made, click.Option)
    return made


def test_commands_without_flags_make_the_configs_that_python_makes() -> None:
    assert MineConfig(**parsed("mine", *SIDES)) == MineConfig(src=("a",), tgt=("b",))
    trained = TrainConfig(model="m", data=("d",), out=Path("o"))
    assert TrainConfig(**parsed("train", *TRAINED)) == trained


@pytest.mark.parametrize(
    ("command", "configs", "needed"),
    [
        ("mine", [MineConfig], SIDES),
        ("shard", [ShardConfig], SIDES),
        ("encode", [EncodeConfig], ()),
        ("search", [SearchConfig], ()),
        ("select", [SelectConfig, OutputConfig], ()),
        ("train", [TrainConfig], TRAINED),
    ],
)
def test_every_choice_has_a_flag(
    command: str, configs: Sequence[type[Any]], needed: tuple[str, ...]
) -> None:
    workdir = () if command in ("mine", "train") else ("--workdir", "w")
    flags = set(parsed(command, *needed, *workdir)) - ({"workdir"} if workdir else set())
    assert flags == {item.name for config in configs for item in fields(config)}


def test_a_flag_is_drawn_from_its_field() -> None:
    number = option("--max-chars")
    assert (number.type, number.default, number.show_default) == (click.INT, 2000, True)
    choice = option("--retrieval").type
    assert isinstance(choice, click.Choice)
    assert tuple(choice.choices) == get_args(Retrieval)
    switch = option("--compile/--no-compile")
    assert (switch.is_flag, switch.default, switch.secondary_opts) == (True, True, ["--no-compile"])
    several = option("--src")
    assert (several.multiple, several.required) == (True, True)
    assert isinstance(option("--rejects").type, click.Path)
    assert option("--threshold").type is click.FLOAT
    assert option("--epochs", config=TrainConfig).default == TrainConfig.epochs


@pytest.mark.parametrize("name", ["--threads", "--prompt", "--devices", "--compile/--no-compile"])
def test_a_default_that_stands_for_another_choice_is_not_shown(name: str) -> None:
    assert not option(name).show_default


@pytest.mark.parametrize(
    ("args", "name", "value"),
    [
        (("--devices", "cuda:0,1"), "devices", ("cuda:0", "cuda:1")),
        (("--devices", ""), "devices", ()),
        (("--memory", "8G"), "memory", 8 << 30),
        (("--memory", ""), "memory", 0),
        (("--columns", "score, src,"), "columns", ("score", "src")),
        (("--search", " IVF"), "search", "ivf"),
        (("--search", "IVF4,Flat"), "search", "IVF4,Flat"),
        (("-o", "x"), "out", Path("x")),
        (("--no-compile",), "compile", False),
        (("-k", "9"), "k", 9),
    ],
)
def test_text_becomes_the_value_of_a_field(args: tuple[str, ...], name: str, value: object) -> None:
    assert parsed("mine", *SIDES, *args)[name] == value


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("-k", "0"), "-k is 0"),
        (("--min-chars", "9", "--max-chars", "3"), "--max-chars is 3"),
        (("--columns", "score,nothing", "--format", "tsv"), "'nothing'"),
        (("--columns", "score"), "--columns"),
        (("--format", "moses"), "--out PREFIX"),
        (("--threshold", "nan"), "not a finite number"),
        (("--threshold", "inf"), "not a finite number"),
        (("--seed", "-1"), "--seed is -1"),
        (("--threads", "50000"), "--threads is 50000"),
        (("--src-field", "2"), "--src-field"),
        (("--quiet", "--verbose"), "exclude each other"),
        (("--threads", "-1"), "--threads is -1"),
        (("--search", ""), "--search is ''"),
        (("--devices", "gpu"), "'gpu' is no device"),
        (("--memory", "much"), "--memory is 'much'"),
    ],
)
def test_flags_that_contradict_are_usage_errors(
    flags: Sequence[str], told: str, src: Path, tgt: Path
) -> None:
    assert told in explained(run("mine", "--src", src, "--tgt", tgt, *flags), code=2)


def test_unknown_flags_and_missing_ones_are_usage_errors(src: Path) -> None:
    assert run("mine", "--src", src).exit_code == 2
    assert "--retrieval" in run("mine", "--retrieval", "maximal").stderr
    assert run("mine", "--src", "-", "--tgt", "-").exit_code == 2


@pytest.mark.parametrize("command", ["shard", "encode", "search", "select"])
def test_a_stage_needs_a_work_directory(command: str, src: Path) -> None:
    sides = ("--src", src, "--tgt", src) if command == "shard" else ()
    result = run(command, *sides)
    assert result.exit_code == 2
    assert "Missing option '--workdir'" in result.stderr
