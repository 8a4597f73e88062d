"""Any other encoder of transformers, run as it is on sentences of equal length."""

from typing import Any

import torch
from torch import Tensor

from bitextmine.encoders.transformer.batches import Groups


class PlainBackbone:
    """Calls a transformers model once a group of equal length, so that nothing is padded.

    Parameters
    ----------
    model : PreTrainedModel
        An encoder.
    device : str
        Where to compute.
    """

    static = False

    def __init__(self, model: Any, device: str) -> None:
        self._model = model.to(device).eval()
        self.dim: int = model.config.hidden_size
        self.vocabulary: int = model.get_input_embeddings().num_embeddings

    def __call__(self, ids: Tensor, groups: Groups) -> Tensor:
        """Return the last hidden states: as `FlatT5.__call__`."""
        hidden: list[Tensor] = []
        start = 0
        for sentences, length in groups:
            stop = start + sentences * length
            tokens = ids[start:stop].view(sentences, length)
            states = self._model(input_ids=tokens, attention_mask=torch.ones_like(tokens))
            hidden.append(states.last_hidden_state.reshape(sentences * length, -1).float())
            start = stop
        return torch.cat(hidden)

    def compile(self, tokens: int) -> None:
        """Do nothing: shapes vary from group to group."""
