"""Strings come back from disk as they went in."""

import tempfile
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trainings import file_size_limit

from bitextmine.errors import OutputError
from bitextmine.training.choices import TrainConfig
from bitextmine.training.run import train
from bitextmine.training.text_store import TextReader, TextWriter


@given(st.lists(st.text(max_size=20), max_size=30))
@settings(deadline=None)
def test_texts_come_back_by_number(texts: list[str]) -> None:
    with tempfile.TemporaryDirectory(prefix="l'été ") as folder:
        path = Path(folder) / "te xts"
        with TextWriter(path) as writer:
            for text in texts:
                writer.add(text)
        reader = TextReader(path)
        assert len(reader) == len(texts)
        assert [reader[number] for number in range(len(texts))] == texts


def test_a_full_disk_while_texts_are_stored_is_explained(
    config: TrainConfig, tmp_path: Path
) -> None:
    out = tmp_path / "te xts"
    with file_size_limit(200), pytest.raises(OutputError, match=r"cannot write .*texts"):
        train(replace(config, out=out))
