"""Random sentences end to end, and a transformers model run on them one by one, as an oracle."""

from typing import Any

import torch
from torch import Tensor

from bitextmine.encoders.transformer.batches import Groups


def random_ids(groups: Groups, vocabulary: int, seed: int = 0) -> Tensor:
    """Ids of the sentences of a batch; none is a special token."""
    total = sum(sentences * length for sentences, length in groups)
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(5, vocabulary, (total,), generator=generator)


def states_of(model: Any, ids: Tensor, groups: Groups) -> Tensor:
    """Last hidden states (tokens, dim) by transformers, each sentence alone."""
    lengths = [length for sentences, length in groups for _ in range(sentences)]
    with torch.inference_mode():
        states = [
            model(input_ids=part[None]).last_hidden_state[0] for part in torch.split(ids, lengths)
        ]
    return torch.cat(states)


def in_a_row(backbone: Any, ids: Tensor, groups: Groups, total: int = 0) -> Tensor:
    """The same by a backbone in one batch, filled up with zeros to ``total`` tokens."""
    padded = torch.zeros(max(total, len(ids)), dtype=torch.int64)
    padded[: len(ids)] = ids
    with torch.inference_mode():
        states: Tensor = backbone(padded, groups)
    return states[: len(ids)]
