"""The method is decided once, for reasons a user can read."""

import json
from dataclasses import asdict
from typing import Any

import pytest

from bitextmine.errors import UsageError
from bitextmine.search import method
from bitextmine.search.approximate import factory as index_factory
from bitextmine.search.approximate.factory import HNSW
from bitextmine.search.method import Method, SearchSize, choose_method, format_seconds


@pytest.fixture(autouse=True)
def same_processor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rate every processor alike, whichever runs the tests."""
    monkeypatch.setattr(method, "CORE_FLOPS", dict.fromkeys(("float32", "bfloat16"), 80e9))


def chosen(asked: str = "auto", n: int = 100_000, **changes: Any) -> Method:
    size = SearchSize(changes.pop("n_src", n), changes.pop("n_tgt", n), dim=512, k=4)
    settings: dict[str, Any] = {"devices": ("cpu",), "threads": 2, "memory": 64 << 30}
    return choose_method(asked, size, **(settings | changes))


def test_what_takes_minutes_is_searched_exactly() -> None:
    found = chosen(n=200_000)
    assert found.is_exact
    assert found.reason == "exact: about 4 min for 200,000 x 200,000 sentences"


def test_what_would_take_hours_is_indexed() -> None:
    found = chosen(n=3_000_000)
    assert found.name == "ivf"
    assert found.reason.startswith("ivf: exact would take about 16 h, an index about ")
    assert found.src_factory == found.tgt_factory == "IVF3464,PQ128x4fs"
    assert found.index_seconds is not None
    assert found.exact_seconds > 3 * found.index_seconds


def test_on_a_gpu_millions_are_searched_exactly() -> None:
    assert chosen(n=20_000_000, devices=("cuda:0",)).is_exact


def test_without_faiss_auto_is_exact(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_factory, "find_spec", lambda name: None)
    found = chosen(n=3_000_000)
    assert found.is_exact
    assert found.reason.endswith("needs pip install 'bitextmine[cpu]'")


def test_without_faiss_an_index_that_is_asked_for_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(index_factory, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed"):
        chosen("ivf")


def test_auto_never_chooses_an_index_that_does_not_fit() -> None:
    found = chosen(n=3_000_000, memory=100 << 20)
    assert found.is_exact
    assert "and needs --memory" in found.reason


@pytest.mark.parametrize("n", [100_000, 1_500_000, 2_500_000, 3_500_000, 20_000_000])
def test_what_auto_takes_does_not_depend_on_the_number_of_cores(n: int) -> None:
    assert len({chosen(n=n, threads=threads).src_factory for threads in (1, 2, 16, 128)}) == 1


def test_each_side_has_an_index_of_its_own_size() -> None:
    found = chosen("ivf", n_src=10_000, n_tgt=40_000)
    assert (found.src_factory, found.tgt_factory) == ("IVF200,PQ128x4fs", "IVF400,PQ128x4fs")


@pytest.mark.parametrize(("asked", "name"), [("hnsw", "hnsw"), ("HNSW", "hnsw"), (HNSW, "factory")])
def test_a_graph_is_built_when_asked_for(asked: str, name: str) -> None:
    found = chosen(asked)
    assert (found.name, found.src_factory) == (name, HNSW)


@pytest.mark.parametrize("asked", ["exact", "auto", "ivf", "hnsw"])
def test_a_few_sentences_are_searched_exactly(asked: str) -> None:
    assert chosen(asked, n=900).is_exact


def test_both_sides_must_suffice_for_the_training() -> None:
    with pytest.raises(UsageError, match="the tgt side has 1,500"):
        chosen("IVF2000,Flat", n_tgt=1500)


@pytest.mark.parametrize("asked", ["exact", "ivf", "hnsw"])
def test_a_method_can_be_stored_and_read_again(asked: str) -> None:
    stored = json.dumps(asdict(chosen(asked)), allow_nan=False)
    assert Method(**json.loads(stored)) == chosen(asked)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.1, "1 s"), (40, "40 s"), (89, "89 s"), (180, "3 min"), (9 * 3600, "9 h"), (3e5, "3 days")],
)
def test_durations_are_written_as_people_say_them(seconds: float, text: str) -> None:
    assert format_seconds(seconds) == text
