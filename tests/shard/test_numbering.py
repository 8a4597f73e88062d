"""Numbers are ranks by id, whatever the memory; a run that died leaves nothing half done."""

import tempfile
from pathlib import Path

import numpy as np
import pytest
from here import here
from hypothesis import given, settings
from hypothesis import strategies as st
from sharded import sharded

from bitextmine.arrays import Ids
from bitextmine.errors import InputError
from bitextmine.files import write_json
from bitextmine.shard.numbering import NUMBERING_BYTES_A_SENTENCE, number_sentences
from bitextmine.workdir import Workdir


def side_of(root: Path, shards: list[list[int]]) -> Workdir:
    """A side whose shards have these ids."""
    workdir = Workdir(root)
    workdir.create()
    write_json(workdir.shard_plan("src"), {"shards": len(shards)})
    for number, ids in enumerate(shards):
        files = workdir.shard("src", number)
        files.folder.mkdir()
        np.save(files.ids, np.array(ids, dtype=np.int64), allow_pickle=False)
        write_json(files.done, {"unique": len(ids), "duplicates": 0})
    return workdir


def written(workdir: Workdir) -> dict[str, bytes]:
    paths = [workdir.places("src"), *workdir.root.rglob("numbers.npy")]
    return {str(path.relative_to(workdir.root)): path.read_bytes() for path in paths}


@given(
    st.dictionaries(st.integers(0, 2**62), st.integers(0, 5), min_size=1, max_size=60),
    st.integers(0, 70),
)
@settings(max_examples=40, deadline=None)
def test_numbers_and_places_are_those_of_sorting_all_ids(
    shard_of: dict[int, int], rows: int
) -> None:
    shards = [sorted(i for i, shard in shard_of.items() if shard == n) for n in range(6)]
    with tempfile.TemporaryDirectory(prefix="l'été ") as folder:
        workdir = side_of(Path(folder) / "work", shards)
        number_sentences(workdir.root, "src", **here(memory=rows * NUMBERING_BYTES_A_SENTENCE))
        ranks = {sentence: rank for rank, sentence in enumerate(sorted(shard_of))}
        for number, ids in enumerate(shards):
            numbers = np.load(workdir.shard("src", number).numbers)
            assert numbers.tolist() == [ranks[sentence] for sentence in ids]
        places = np.load(workdir.places("src"))
        found = [shards[place >> 32][place & 0xFFFFFFFF] for place in places.tolist()]
        assert found == sorted(shard_of)


def test_memory_does_not_change_a_byte_and_bounds_what_is_held(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    random = np.random.default_rng(0)
    ids, held = random.permutation(10_000), []
    shards = [np.sort(part).tolist() for part in np.array_split(ids, 7)]
    plenty, little = side_of(tmp_path / "a", shards), side_of(tmp_path / "b", shards)
    number_sentences(plenty.root, "src", **here())
    argsort = np.argsort

    def noted(array: Ids) -> Ids:
        held.append(len(array))
        return argsort(array)

    monkeypatch.setattr(np, "argsort", noted)
    number_sentences(little.root, "src", **here(memory=500 * NUMBERING_BYTES_A_SENTENCE))
    assert written(little) == written(plenty)
    assert len(held) > 20
    assert max(held) <= 500


def test_numbering_that_died_is_done_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = side_of(tmp_path / "a", [[1, 4], [2, 3]])
    number_sentences(whole.root, "src", **here())
    died = side_of(tmp_path / "b", [[1, 4], [2, 3]])
    replace, left = Path.replace, [1]

    def replace_once(path: Path, target: Path) -> Path:
        if not left:
            raise KeyboardInterrupt
        left.pop()
        return replace(path, target)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", replace_once)
        with pytest.raises(KeyboardInterrupt):
            number_sentences(died.root, "src", **here())
    assert not died.places("src").exists()
    number_sentences(died.root, "src", **here())
    assert written(died) == written(whole)
    assert list(died.root.rglob(".*.tmp")) == []


@pytest.mark.parametrize("content", ["", "\n \n\n"])
def test_a_side_without_sentences_is_an_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(InputError, match="src has no usable sentence"):
        sharded(tmp_path / "a", content)
