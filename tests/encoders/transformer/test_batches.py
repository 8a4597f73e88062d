"""Every sentence is in one batch, whole, and batches are full."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from bitextmine.encoders.transformer.batches import Batch, cut_to, make_batches
from bitextmine.encoders.transformer.tokens import TokenIds

LENGTHS = st.lists(st.integers(0, 40), max_size=60)


def window(lengths: list[int], truncated: int = 0) -> TokenIds:
    """Sentences of these lengths; no two tokens are the same, so that none can be mistaken."""
    starts = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    return TokenIds(np.arange(starts[-1], dtype=np.int32), starts, truncated)


def sentences_of(batch: Batch) -> dict[int, list[int]]:
    """Take a batch apart: the ids of each row."""
    lengths = [length for sentences, length in batch.groups for _ in range(sentences)]
    parts = np.split(batch.ids, np.cumsum(lengths))
    assert len(lengths) == len(batch.rows) and len(parts[-1]) == 0
    return {row: part.tolist() for row, part in zip(batch.rows.tolist(), parts[:-1], strict=True)}


@given(LENGTHS, st.integers(1, 100))
def test_every_sentence_is_in_one_batch_with_its_own_ids(lengths: list[int], budget: int) -> None:
    tokens = window(lengths)
    batches = [sentences_of(batch) for batch in make_batches(tokens, budget)]
    assert sorted(row for batch in batches for row in batch) == list(range(len(lengths)))
    for row, ids in (item for batch in batches for item in batch.items()):
        assert ids == tokens.ids[tokens.starts[row] : tokens.starts[row + 1]].tolist()


@given(LENGTHS, st.integers(1, 100))
def test_no_batch_is_over_the_budget_but_a_long_sentence_alone(
    lengths: list[int], budget: int
) -> None:
    for batch in make_batches(window(lengths), budget):
        real = [sentences for sentences, length in batch.groups if length]
        assert len(batch.ids) <= budget or real == [1]


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 100))
def test_a_batch_leaves_no_room_for_a_sentence_of_a_later_one(
    lengths: list[int], budget: int
) -> None:
    batches = list(make_batches(window(lengths), budget))
    for number, batch in enumerate(batches):
        later = [length for other in batches[number + 1 :] for _, length in other.groups]
        assert len(batch.ids) + min(later, default=budget + 1) > budget


@given(st.lists(st.integers(1, 40), max_size=60), st.integers(1, 100))
def test_groups_are_of_one_length_each_the_longest_first(lengths: list[int], budget: int) -> None:
    for batch in make_batches(window(lengths), budget):
        found = [length for _, length in batch.groups]
        assert found == sorted(set(found), reverse=True)
        assert sorted(found) == sorted({lengths[row] for row in batch.rows})


def test_batches_of_real_lengths_are_nearly_full() -> None:
    rng = np.random.default_rng(4)
    lengths = np.clip(rng.lognormal(3.2, 0.6, 4096), 3, 512).astype(int).tolist()
    sizes = [len(batch.ids) for batch in make_batches(window(lengths), 4096)]
    assert min(sizes[:-1]) >= 0.99 * 4096


def test_a_window_without_sentences_has_no_batch() -> None:
    assert list(make_batches(window([]), 10)) == []


@given(LENGTHS, st.integers(1, 45), st.integers(0, 5))
def test_cutting_keeps_the_first_tokens_and_the_last(
    lengths: list[int], most: int, truncated: int
) -> None:
    tokens = window(lengths, truncated)
    cut = cut_to(tokens, most)
    assert cut.lengths.tolist() == [min(length, most) for length in lengths]
    for row, length in enumerate(lengths):
        ids = tokens.ids[tokens.starts[row] : tokens.starts[row + 1]].tolist()
        expected = ids if length <= most else [*ids[: most - 1], ids[-1]]
        assert cut.ids[cut.starts[row] : cut.starts[row + 1]].tolist() == expected


def test_sentences_that_are_cut_are_counted_once() -> None:
    tokens = window([9, 4, 9, 7], truncated=2)  # the two of 9 tokens had been longer
    assert cut_to(tokens, 9).truncated == 2
    assert cut_to(tokens, 8).truncated == 2
    assert cut_to(cut_to(tokens, 8), 5).truncated == 3
