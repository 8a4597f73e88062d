"""A model that transformers computes gives each sentence what it would get alone."""

from pathlib import Path

import pytest
import small_models
import torch
from flat_batches import in_a_row, random_ids, states_of
from small_models import library

from bitextmine.encoders.transformer.plain import PlainBackbone


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_states_are_those_of_each_sentence_alone(tmp_path: Path, dtype: torch.dtype) -> None:
    folder = small_models.modernbert(tmp_path / "Modèle 'é'")
    model = library("transformers").AutoModel.from_pretrained(folder, dtype=dtype).eval()
    groups = ((1, 60), (3, 17), (4, 2))
    ids = random_ids(groups, 400)
    backbone = PlainBackbone(model, "cpu")
    found, expected = in_a_row(backbone, ids, groups), states_of(model, ids, groups)
    assert found.dtype == torch.float32
    assert found.shape == (119, backbone.dim)
    exact = dtype == torch.float32
    torch.testing.assert_close(
        found, expected.float(), atol=1e-5 if exact else 0.1, rtol=1e-5 if exact else 0.1
    )


def test_it_is_not_filled_up_and_never_compiled(tmp_path: Path) -> None:
    model = library("transformers").AutoModel.from_pretrained(small_models.modernbert(tmp_path))
    backbone = PlainBackbone(model, "cpu")
    backbone.compile(64)
    assert not backbone.static
