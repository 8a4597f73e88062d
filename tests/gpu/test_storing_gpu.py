"""On a real GPU: stored rows have the bits that a processor gives them."""

import numpy as np
import pytest
import torch

from bitextmine.config import Store
from bitextmine.encode.projection import rotation
from bitextmine.encode.row_format import RowFormat, RowMaker

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="torch sees no GPU"),
]


@pytest.mark.parametrize("store", ["fp16", "int8"])
def test_a_gpu_gives_the_same_bits(store: Store) -> None:
    form = RowFormat(300, 1024, store)
    matrix = rotation(1024, seed=3)[:, :300].astype(np.float16)
    drawn = np.random.default_rng(1).standard_normal((5000, 1024)) + 0.5
    vectors = drawn.astype(np.float32)
    rows, there = (
        RowMaker(form, matrix, device).make(vectors, 5000, "toy")[0] for device in ("cpu", "cuda:0")
    )
    assert rows.tobytes() == there.tobytes()
