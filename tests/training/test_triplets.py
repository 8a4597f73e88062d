"""Triplets of all files: languages aligned, contradictions found, source rows told apart."""

from pathlib import Path

import pytest
from nli_corpus import LANGUAGES, corpus, read

from bitextmine.errors import InputError


def test_each_row_of_entailment_gives_a_triplet_a_language(tmp_path: Path) -> None:
    triplets = read(corpus(tmp_path), tmp_path)
    assert len(triplets) == 4 * 2 * 3
    premises = [triplets[number][0] for number in range(3)]
    assert premises == ["en premise 0.", "de premise 0.", "sw premise 0."]


def test_parts_of_a_triplet_belong_together_across_languages(tmp_path: Path) -> None:
    triplets = read(corpus(tmp_path), tmp_path)
    for number in range(len(triplets)):
        premise, entailment, contradiction = triplets[number]
        block = premise.split()[-1].rstrip(".")
        assert entailment.split()[2:] in ([block, "2."], [block, "4."])
        assert contradiction.split()[2:] == [block, "3."]  # the last of the premise


def test_languages_are_drawn_independently_and_by_seed(tmp_path: Path) -> None:
    paths = corpus(tmp_path, blocks=100)
    triplets, again = read(paths, tmp_path), read(paths, tmp_path / "..", seed=1)
    drawn = [tuple(text[:2] for text in triplets[number]) for number in range(len(triplets))]
    assert drawn == [tuple(text[:2] for text in again[number]) for number in range(len(again))]
    pairs = [(entailed, contradicted) for _, entailed, contradicted in drawn]
    for pair in ((one, other) for one in LANGUAGES for other in LANGUAGES):
        assert pairs.count(pair) == pytest.approx(len(pairs) / 9, rel=0.4)
    other = read(paths, tmp_path, seed=2)
    assert drawn != [tuple(text[:2] for text in other[number]) for number in range(len(other))]


def test_monolingual_triplets_have_one_language(tmp_path: Path) -> None:
    triplets = read(corpus(tmp_path), tmp_path, setting="monolingual")
    for number in range(len(triplets)):
        assert len({text[:2] for text in triplets[number]}) == 1


def test_equal_premises_are_one_source_row_in_all_files(tmp_path: Path) -> None:
    own = tmp_path / "own.csv"
    own.write_text("sent0,sent1,hard_neg\nEN premise 2,b,c\nnew,b,c\n", "utf-8")
    triplets = read([*corpus(tmp_path), str(own)], tmp_path)
    groups = triplets.groups.tolist()
    assert groups[12:18] == [groups[12]] * 6  # two rows of three languages
    assert groups[-2] == groups[12]
    assert len(set(groups)) == 5


def test_a_premise_without_contradiction_has_one_of_another(tmp_path: Path) -> None:
    path = tmp_path / "x.en.tsv"
    path.write_text("entailment\ta\tb\nentailment\tc\td\ncontradiction\tc\te\n", "utf-8")
    triplets = read([str(path)], tmp_path)
    assert [triplets[number][2] for number in range(2)] == ["e", "e"]


def test_rows_without_label_or_sentence_are_left_out_in_all_languages(tmp_path: Path) -> None:
    paths = corpus(tmp_path)
    second = Path(paths[1])
    lines = second.read_text("utf-8").split("\n")
    lines[2] = "entailment\tde premise 0.\t "
    second.write_text("\n".join(lines), "utf-8")
    triplets = read(paths, tmp_path)
    assert triplets.unused == 1
    assert len(triplets) == (4 * 2 - 1) * 3


@pytest.mark.parametrize("label", ["neutral", "contradiction"])
def test_data_without_entailment_is_refused(tmp_path: Path, label: str) -> None:
    path = tmp_path / "x.en.tsv"
    path.write_text(f"{label}\ta\tb\n", "utf-8")
    with pytest.raises(InputError, match="no triplets"):
        read([str(path)], tmp_path)


def test_data_without_contradiction_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.en.tsv"
    path.write_text("entailment\ta\tb\n", "utf-8")
    with pytest.raises(InputError, match="is a contradiction"):
        read([str(path)], tmp_path)
