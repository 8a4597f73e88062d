"""What cannot be used is refused before work begins, in two lines."""

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from indexed import translations

from bitextmine.errors import UsageError
from bitextmine.search.approximate import factory as index_factory
from bitextmine.search.approximate.factory import (
    HNSW,
    check_factory,
    check_index_memory,
    index_needs,
    ivf_factory,
    lists_read,
    load_faiss,
    make_index,
)


@pytest.mark.parametrize(
    ("factory", "why"),
    [
        ("nonsense", "could not parse index string nonsense$"),
        ("", "could not parse"),
        ("LSH", "cannot make it"),
        ("IVF0,Flat", "no lists"),
        ("IDMap,Flat", "cannot be built or searched.*add_with_ids"),
        ("PQ7", "multiple of the number of subquantizers"),
        ("PCA600,Flat", "cannot be built or searched"),
        ("IVF4096,Flat", "needs 4,096 sentences to be trained on, and the src side has 3,000"),
        ("PQ8x12", "needs 4,096 sentences"),
        ("OPQ8_32,IVF3001_HNSW32,PQ8", "needs 3,001 sentences"),
    ],
)
def test_useless_factories_are_refused(factory: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as refusal:
        check_factory(factory, 3000, 64, side="src")
    assert "\n" not in str(refusal.value) + refusal.value.hint
    assert "exact" in refusal.value.hint


@pytest.mark.parametrize(
    "factory",
    [
        "Flat",
        "SQ8",
        HNSW,
        "IVF64,Flat",
        "IVF64,PQ16x4fs",
        "PCA16,IVF64,SQfp16",
        "PQ8",
        "OPQ8_32,IVF64_HNSW8,PQ8x4fs",
        "RR64,IVF64,RaBitQ",
        "IVF64,SQ4,RFlat",
    ],
)
def test_useful_factories_are_accepted(factory: str) -> None:
    check_factory(factory, 3000, 64)


@settings(deadline=None, max_examples=30)
@given(st.integers(1000, 10**9), st.integers(1, 300))
def test_the_default_index_can_be_made_for_every_size_and_width(n: int, dim: int) -> None:
    factory = ivf_factory(n, dim)
    make_index(factory, dim)
    needs = index_needs(factory, n, dim)
    assert needs.training_rows <= needs.sample_rows <= n


@given(st.integers(1, 10**6))
def test_some_lists_are_read_and_no_more_than_there_are(lists: int) -> None:
    assert 1 <= lists_read(lists) <= lists


@pytest.mark.parametrize("factory", ["Flat", "SQfp16", HNSW, "IVF16,Flat", "IVF16,PQ16x4fs"])
def test_an_index_takes_no_more_than_predicted(factory: str) -> None:
    faiss = load_faiss()
    rows = translations(3000, 1, 64)[0].astype(np.float32)
    index = make_index(factory, 64)
    index.train(rows)
    index.add(rows)
    assert len(faiss.serialize_index(index)) <= index_needs(factory, 3000, 64).bytes


def test_too_little_memory_names_an_index_that_fits() -> None:
    with pytest.raises(UsageError, match="IVF1000,Flat over 10,000,000 sentences") as refusal:
        check_index_memory("IVF1000,Flat", 10_000_000, 256, 8 << 30)
    assert "--memory" in refusal.value.hint
    assert "PQ64x4fs" in refusal.value.hint


def test_where_no_index_fits_exact_search_is_named() -> None:
    with pytest.raises(UsageError) as refusal:
        check_index_memory("Flat", 10_000_000, 256, 1 << 20)
    assert "--search exact" in refusal.value.hint


def test_a_missing_faiss_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_factory, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="not installed") as refusal:
        check_factory("Flat", 10, 4)
    assert "bitextmine[cpu]" in refusal.value.hint


def test_a_method_is_planned_without_importing_faiss_or_torch_beforehand() -> None:
    code = (
        "import sys, bitextmine.search.method;"
        "sys.exit('faiss' in sys.modules or 'torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_faiss_works_where_torch_is_imported_after_it() -> None:
    code = (
        "import faiss, torch, numpy as np;"
        "rows = np.random.default_rng(0).standard_normal((2000, 32), np.float32);"
        "index = faiss.index_factory(32, 'IVF8,Flat', 0); index.train(rows); index.add(rows);"
        "found = index.search(rows[:50], 1)[1];"
        "assert (torch.from_numpy(rows) @ torch.from_numpy(rows).t()).shape == (2000, 2000)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_side_of_a_few_sentences_is_pointed_to_exact_search() -> None:
    with pytest.raises(UsageError) as refusal:
        check_factory("IVF50,Flat", 30, 8)
    assert refusal.value.hint == "give --search exact"
