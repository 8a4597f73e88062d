"""A pair's fields are in one table, whose names the command line knows without it."""

import subprocess
import sys
from dataclasses import replace
from typing import get_args

import pytest
from hostile_pairs import PAIRS, file_names, hostile_pairs, written
from hypothesis import given
from hypothesis import strategies as st

from bitextmine.config import COLUMNS, FieldName
from bitextmine.write.options import OutputOptions
from bitextmine.write.records import FIELDS, Pair, Subject, fields_about, one_line


def test_the_names_of_columns_are_those_of_the_fields_in_their_order() -> None:
    assert tuple(FIELDS) == COLUMNS == get_args(FieldName)


def test_the_names_of_columns_are_known_without_numpy() -> None:
    code = "import sys, bitextmine.config; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@given(pair=hostile_pairs)
@pytest.mark.parametrize("name", COLUMNS)
def test_a_field_has_the_type_that_it_says_and_is_shown_as_one_cell(name: str, pair: Pair) -> None:
    field = {str(name): field for name, field in FIELDS.items()}[name]
    value = field.value(pair)
    assert type(value) is field.kind
    cell = field.show(value)
    assert "\t" not in cell
    assert len(cell.splitlines()) <= 1


def test_every_field_is_about_one_subject() -> None:
    shares = [name for subject in get_args(Subject) for name in fields_about(subject)]
    assert sorted(shares) == sorted(FIELDS)


@given(text=file_names)
def test_text_that_is_on_one_line_is_left_alone(text: str) -> None:
    line = one_line(text)
    assert one_line(line) == line
    assert "".join(line.split()) == "".join(text.split())


@given(scores=st.lists(st.floats(-10, 10, width=32), min_size=2))
def test_rounding_keeps_the_order(scores: list[float]) -> None:
    ranked = sorted(scores, reverse=True)
    lines = written(OutputOptions(), tuple(replace(PAIRS[0], score=score) for score in ranked))
    shown = [float(line.split("\t")[0]) for line in lines.splitlines()]
    assert shown == sorted(shown, reverse=True)
