"""Files of inference data in all their layouts, and what is said of those that do not parse."""

from pathlib import Path

import pytest
import zstandard

from bitextmine.errors import InputError
from bitextmine.training.nli_files import (
    CONTRADICTION,
    ENTAILMENT,
    NliRow,
    language_of,
    layout_of,
    read_nli,
    read_triplets,
)


def write(folder: Path, name: str, text: str) -> str:
    path = folder / "it's « data »" / name
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(text.encode())
    return str(path)


def rows_of(path: str) -> list[NliRow]:
    return list(read_nli(path, layout_of(path)))


def test_plain_rows_have_a_label_and_two_sentences(tmp_path: Path) -> None:
    path = write(tmp_path, "xnli.dev.de.tsv", 'entailment\tSie sagte "ja".\tJa.\r\n')
    assert rows_of(path) == [NliRow("de", ENTAILMENT, 'Sie sagte "ja".', "Ja.")]


def test_machine_translated_multinli_has_a_header_and_its_own_label(tmp_path: Path) -> None:
    text = "premise\thypo\tlabel\nA cat.\tA dog.\tcontradictory\n"
    path = write(tmp_path, "multinli.train.en.tsv", text)
    assert rows_of(path) == [NliRow("en", CONTRADICTION, "A cat.", "A dog.")]


def test_xnli_has_all_languages_in_one_file(tmp_path: Path) -> None:
    header = "language\tgold_label\tsentence1_binary_parse\tsentence1\tsentence2\tpairID\n"
    lines = "zh\tentailment\t\t猫\t动物\t1\nde\tentailment\t\tKatze\tTier\t1\n"
    found = rows_of(write(tmp_path, "xnli.dev.tsv", header + lines))
    assert [(row.language, row.premise) for row in found] == [("zh", "猫"), ("de", "Katze")]


def test_compressed_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "xnli.dev.sw.tsv.zst"
    path.write_bytes(zstandard.compress(b"entailment\tPaka.\tMnyama.\n"))
    assert rows_of(str(path))[0].language == "sw"


def test_triplets_come_from_csv_with_quotes_and_breaks(tmp_path: Path) -> None:
    text = 'sent0,sent1,hard_neg\n"One, two",Two,Three\n\n"a\nb",c,d\n'
    path = write(tmp_path, "nli_for_simcse.csv", text)
    found = list(read_triplets(path, layout_of(path)))
    assert [triplet[:3] for triplet in found] == [("One, two", "Two", "Three"), ("a\nb", "c", "d")]


def test_triplets_come_from_json_lines(tmp_path: Path) -> None:
    text = '{"premise": "a", "entailment": "b", "contradiction": "c", "group": 7}\n'
    path = write(tmp_path, "own.jsonl", text)
    assert list(read_triplets(path, layout_of(path))) == [("a", "b", "c", "7")]


def test_a_group_of_null_is_as_none_at_all(tmp_path: Path) -> None:
    row = '{"premise": "a", "entailment": "b", "contradiction": "c"}\n'
    path = write(tmp_path, "own.jsonl", row + row.replace("}", ', "group": null}'))
    assert list(read_triplets(path, layout_of(path))) == [("a", "b", "c", "")] * 2


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("a.de.tsv", "entailment\ta\tb\nmaybe\ta\tb\n", ":2: there is no label 'maybe'"),
        ("a.de.tsv", "entailment\ta\tb\n\nentailment\ta\n", ":3: it has 2 columns instead of 3"),
        ("a.csv", "sent0,sent1,hard_neg\na,b,c\na,b\n", ":3: it has 2 columns instead of 3"),
        ("a.csv", 'sent0,sent1,hard_neg\na,,"c"\n', ":2: its entailment is empty"),
        ("a.jsonl", '{"premise": "a", "entailment": "b"}\n', ":1: it is not an object with"),
        ("a.jsonl", '{"sent0": "a", "sent1": "b", "hard_neg": "c"}\n{"a\n', ":2: it is not JSON"),
        *(
            (
                "a.jsonl",
                f'{{"premise": "a", "entailment": "b", "contradiction": "c", "group": {group}}}\n',
                f":1: its group is {group}, not a string or an integer",
            )
            for group in ("true", "1.5", "[1]")
        ),
        ("a.tsv", "one\ttwo\n", ":1: 'one\\ttwo' is in no known layout"),
        ("a.tsv", "", " is empty"),
    ],
)
def test_errors_name_file_and_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    path = write(tmp_path, name, text)
    with pytest.raises(InputError) as raised:
        layout = layout_of(path)
        list((read_triplets if layout in ("csv", "jsonl") else read_nli)(path, layout))
    assert str(raised.value).startswith(path + said)
    assert raised.value.hint


@pytest.mark.parametrize(
    ("name", "language"),
    [
        ("xnli.dev.de.tsv.zst", "de"),
        ("multinli.train.zh.tsv", "zh"),
        ("train.tsv", ""),
        ("xnli.dev.tsv.zst", ""),
    ],
)
def test_a_name_tells_the_language(name: str, language: str) -> None:
    assert language_of(f"/some.en.where/{name}") == language
