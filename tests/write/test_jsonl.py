"""JSON lines: an object a line, from which a pair comes back as it was."""

import json
from dataclasses import replace

import pytest
from hostile_pairs import PAIRS, hostile_pairs, written
from hypothesis import given
from hypothesis import strategies as st

from bitextmine.write.options import OutputOptions
from bitextmine.write.records import FIELDS, Pair


def test_jsonl_keeps_the_text_as_it_was() -> None:
    lines = written(OutputOptions(format="jsonl")).splitlines()
    objects = [json.loads(line) for line in lines]
    assert [found["src"] for found in objects] == [pair.src for pair in PAIRS]
    assert objects[0] == {
        "score": 1.25, "cosine": 0.75, "src": "Guten Tag.", "tgt": "Good day.",
        "src_id": "a b/de.txt:3", "src_file": "a b/de.txt", "src_line": 3,
        "tgt_id": "en.txt:9", "tgt_file": "en.txt", "tgt_line": 9,
    }  # fmt: skip
    assert objects[1]["src_file"] == "de\t\udcff.txt"
    assert '"src": "Größe"' in lines[2]
    assert '"score": 0.0,' in lines[2]


def test_a_nan_is_never_written_as_json() -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        written(OutputOptions(format="jsonl"), (replace(PAIRS[0], score=float("nan")),))


def test_the_order_of_keys_is_pair_texts_src_tgt() -> None:
    keys = list(json.loads(written(OutputOptions(format="jsonl"), PAIRS[:1])))
    assert keys == [
        "score", "cosine", "src", "tgt",
        "src_id", "src_file", "src_line", "tgt_id", "tgt_file", "tgt_line",
    ]  # fmt: skip


@given(pairs=st.lists(hostile_pairs, max_size=3))
def test_objects_come_back(pairs: list[Pair]) -> None:
    lines = written(OutputOptions(format="jsonl"), tuple(pairs)).splitlines()
    assert len(lines) == len(pairs)
    for line, pair in zip(lines, pairs, strict=True):
        found = json.loads(line)
        assert found.keys() == FIELDS.keys()
        for name, field in FIELDS.items():
            value = field.value(pair)
            assert type(found[name]) is field.kind
            assert found[name] == (round(value, 6) if isinstance(value, float) else value)
