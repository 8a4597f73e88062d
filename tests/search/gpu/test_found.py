"""What is left after a failed search must lead to the same lists as if it had not failed."""

import numpy as np
from brute_force import clustered

from bitextmine.search.exact.shortlists import EMPTY, pack, positions
from bitextmine.search.exact.side import SearchSide
from bitextmine.search.gpu.found import Found


def test_only_rows_that_have_met_everything_are_remembered() -> None:
    cosines = np.array([[0.9, 0.8, 0.7], [0.5, 0.4, 0.3]], np.float32)
    of_streamed = pack(cosines, np.array([[7, 2, 5], [1, 0, 2]]))
    found = Found(3, np.empty((9, 2), np.int64), of_streamed, n_done=4)
    found.forget_unfinished()
    assert positions(found.of_streamed[0, :1]).tolist() == [2]
    assert (found.of_streamed[0, 1:] == EMPTY).all()
    assert positions(found.of_streamed[1]).tolist() == [1, 0, 2]


def test_zero_vectors_are_nearest_to_the_first_there_are() -> None:
    src, tgt = clustered(3, 4, 8)
    src[1] = 0
    resident, streamed = (
        SearchSide.prepare(rows, np.arange(len(rows)), name="") for rows in (src, tgt)
    )
    found = Found.empty(resident, streamed, 2)
    found.of_resident[[0, 2]] = found.of_streamed[:] = 0
    found.complete(resident, streamed)
    assert positions(found.of_resident[1]).tolist() == [0, 1]
