"""Choices are checked as soon as they are made, whoever makes them."""

import json
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from bitextmine.config import (
    EncodeConfig,
    EncoderOptions,
    MineConfig,
    OutputConfig,
    SearchConfig,
    SelectConfig,
    ShardConfig,
    search_method,
    settings_of,
)
from bitextmine.errors import UsageError

STAGES = (ShardConfig, EncodeConfig, SearchConfig, SelectConfig, OutputConfig)
SIDES: dict[str, Any] = {"src": ("a", "b"), "tgt": ("c",)}


def made(config: Callable[..., Any], **given: Any) -> Any:
    """Make a config, with the files that some need."""
    return config(**(SIDES if config in (ShardConfig, MineConfig) else {}) | given)


def test_a_config_loads_nothing_heavy() -> None:
    code = "import sys, bitextmine.config, bitextmine.training.choices, bitextmine.cli.main\n"
    code += "heavy = {'torch', 'numpy', 'transformers', 'zstandard', 'tqdm'} & set(sys.modules)\n"
    code += "print(sorted(heavy))\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


@pytest.mark.parametrize(
    ("stage", "given", "told"),
    [
        (ShardConfig, {"min_chars": 0}, "--min-chars is 0"),
        (ShardConfig, {"min_chars": 9, "max_chars": 3}, "--max-chars is 3"),
        (ShardConfig, {"shard_size": 0}, "--shard-size is 0"),
        (ShardConfig, {"src": ()}, "--src names no file"),
        (ShardConfig, {"src": "-", "tgt": "-"}, "asked for twice"),
        (ShardConfig, {"input_format": "csv"}, "--input-format is 'csv'"),
        (ShardConfig, {"on_invalid": "keep"}, "--on-invalid is 'keep'"),
        (ShardConfig, {"src_field": "2"}, "--src-field is given for --input-format text"),
        (ShardConfig, {"input_format": "tsv", "id_field": "0"}, "--id-field is '0'"),
        (ShardConfig, {"input_format": "parquet", "src": "-"}, "Parquet cannot be read from"),
        (EncodeConfig, {"dtype": "int8"}, "--dtype is 'int8'"),
        (EncodeConfig, {"store": "fp32"}, "--store is 'fp32'"),
        (EncodeConfig, {"pooling": "median"}, "--pooling is 'median'"),
        (EncodeConfig, {"dim": 0}, "--dim is 0"),
        (EncodeConfig, {"max_length": 3}, "--max-length is 3"),
        (EncodeConfig, {"batch_tokens": 255}, "--batch-tokens is 255"),
        (EncodeConfig, {"seed": -1}, "--seed is -1"),
        (EncodeConfig, {"threads": 1025}, "--threads is 1025"),
        (SearchConfig, {"k": 0}, "-k is 0"),
        (SearchConfig, {"k": 65}, "-k is 65"),
        (SearchConfig, {"seed": -1}, "--seed is -1"),
        (SearchConfig, {"threads": -1}, "--threads is -1"),
        (SearchConfig, {"threads": 1025}, "--threads is 1025"),
        (SearchConfig, {"memory": 1 << 20}, "--memory is 1M"),
        (SearchConfig, {"search": " ivf"}, "--search is ' ivf'"),
        (SearchConfig, {"search": ""}, "--search is ''"),
        (SelectConfig, {"margin": "sum"}, "--margin is 'sum'"),
        (SelectConfig, {"retrieval": "all"}, "--retrieval is 'all'"),
        (SelectConfig, {"top": 0}, "--top is 0"),
        (SelectConfig, {"threshold": float("nan")}, "--threshold is nan"),
        (OutputConfig, {"format": "xml"}, "--format is 'xml'"),
    ],
)
def test_a_stage_refuses_what_cannot_be_meant_and_so_does_mining(
    stage: Callable[..., Any], given: dict[str, Any], told: str
) -> None:
    for config in (stage, MineConfig):
        with pytest.raises(UsageError) as raised:
            made(config, **given)
        assert told in str(raised.value)
        assert raised.value.hint


@pytest.mark.parametrize(
    ("given", "told", "hint"),
    [
        ({"k": "4"}, "-k is '4'", "give a whole number"),
        ({"k": True}, "-k is True", "give a whole number"),
        ({"k": 4.0}, "-k is 4.0", "give a whole number"),
        ({"top": "5"}, "--top is '5'", "give a whole number or None"),
        ({"threshold": "1.06"}, "--threshold is '1.06'", "give a number or None"),
        ({"threshold": False}, "--threshold is False", "give a number or None"),
        ({"compile": 1}, "--compile is 1", "give True or False"),
        ({"model": Path("e5")}, "--model is ", "give a string"),
        ({"prompt": 3}, "--prompt is 3", "give a string or None"),
        ({"margin": None}, "--margin is None", "choose one of ratio, distance, absolute"),
        ({"src": None}, "--src is None", "give strings"),
        ({"src": b"a"}, "--src is b'a'", "give strings"),
        ({"columns": ("score", 3)}, "--columns is ('score', 3)", "give strings"),
        ({"workdir": 3}, "--workdir is 3", "give a path or None"),
    ],
)
def test_a_value_of_another_type_is_refused(given: dict[str, Any], told: str, hint: str) -> None:
    with pytest.raises(UsageError) as raised:
        made(MineConfig, **given)
    assert str(raised.value).startswith(told)
    assert raised.value.hint == hint


def test_a_whole_number_will_do_for_a_number() -> None:
    assert SelectConfig(threshold=1).threshold == 1


@pytest.mark.parametrize("config", [ShardConfig, MineConfig])
@pytest.mark.parametrize("files", ["a", Path("a"), ["a"], [Path("a")]])
def test_files_are_one_path_or_several(config: Callable[..., Any], files: Any) -> None:
    assert made(config, src=files).src == ("a",)


def test_paths_may_be_strings() -> None:
    given: dict[str, Any] = {"out": "pairs.tsv", "rejects": "rejects", "workdir": "work"}
    config = made(MineConfig, **given)
    assert (config.out, config.rejects) == (Path("pairs.tsv"), Path("rejects"))
    assert config.workdir == Path("work")


@pytest.mark.parametrize("stage", STAGES)
def test_a_config_made_from_stored_settings_is_the_one_that_was_stored(
    stage: Callable[..., Any],
) -> None:
    config = made(stage)
    stored = json.loads(json.dumps(settings_of(config, type(config))))
    assert stage(**stored) == config


def test_what_cannot_change_a_result_is_no_setting() -> None:
    config = made(MineConfig)
    known = {name for stage in STAGES for name in settings_of(config, stage)}
    fixed = {item.name for stage in STAGES for item in fields(stage)} - known
    assert fixed == {"memory", "devices", "batch_tokens", "compile", "threads"}


def test_mining_has_the_choices_of_all_stages_and_a_place() -> None:
    known = {item.name: item.default for stage in STAGES for item in fields(stage)}
    mining = {item.name: item.default for item in fields(MineConfig)}
    assert mining == known | {"workdir": None}


def test_the_encoders_options_are_those_of_the_config() -> None:
    assert EncodeConfig().options() == EncoderOptions()
    assert EncodeConfig(prompt="query: ", compile=False).options() == EncoderOptions(
        prompt="query: ", compile=False
    )


def test_a_config_travels_to_another_process() -> None:
    config = made(MineConfig, k=7)
    assert pickle.loads(pickle.dumps(config)) == config


def test_methods_are_named_in_any_case_and_factories_are_not() -> None:
    assert [search_method(name) for name in (" IVF", "Exact", "ivf4,Flat")] == [
        "ivf", "exact", "ivf4,Flat",
    ]  # fmt: skip
    with pytest.raises(UsageError, match="--search is ''"):
        SearchConfig(search="")
