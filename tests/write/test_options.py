"""Options of the output that mean nothing are refused before anything is mined."""

from typing import Any

import pytest

from bitextmine.config import OutputFormat
from bitextmine.errors import UsageError
from bitextmine.write.options import OutputOptions


@pytest.mark.parametrize(
    ("columns", "output_format", "problem"),
    [
        (("score",), "laser", "no meaning for --format laser"),
        (("score", "nonsense"), "tsv", "no column 'nonsense'"),
        (("src", "src"), "tsv", "names src twice"),
    ],
)
def test_impossible_columns_are_refused(
    columns: tuple[Any, ...], output_format: OutputFormat, problem: str
) -> None:
    with pytest.raises(UsageError, match=problem):
        OutputOptions(format=output_format, columns=columns)


@pytest.mark.parametrize(
    ("src_lang", "tgt_lang", "problem"),
    [
        ("de", "de", "two files ending in .de"),
        ("tgt", "", "two files ending in .tgt"),
        ("de", "tsv", "two files ending in .tsv"),
        ("../de", "en", "'../de' is not a language code"),
    ],
)
def test_impossible_languages_are_refused(src_lang: str, tgt_lang: str, problem: str) -> None:
    with pytest.raises(UsageError, match=problem):
        OutputOptions(format="moses", src_lang=src_lang, tgt_lang=tgt_lang)
