"""Token ids of a batch -> vectors of its sentences: backbone, pooling, head."""

import torch
from torch import Tensor

from bitextmine.checkpoints.description import Description
from bitextmine.encoders.transformer.backbone import Backbone
from bitextmine.encoders.transformer.batches import Groups
from bitextmine.encoders.transformer.heads import Head, pool


class Network:
    """All arithmetic of an encoder.

    Parameters
    ----------
    backbone : Backbone
        Computes hidden states.
    description : Description
        How to pool them, and what follows.
    device : str
        Where the backbone is.
    skip : int
        Leading tokens of every sentence that are not pooled: a prompt's, if it is left out.
    """

    def __init__(
        self, backbone: Backbone, description: Description, device: str, skip: int = 0
    ) -> None:
        self._backbone = backbone
        self._poolings = description.poolings
        self._head = Head.load(description).to(device).eval()
        self._skip = skip
        self.dim = description.dim
        self.device = device

    @property
    def vocabulary(self) -> int:
        """Token ids that there are embeddings for."""
        return self._backbone.vocabulary

    @property
    def static(self) -> bool:
        """Whether batches should always have the same number of tokens."""
        return self._backbone.static

    def compile(self, tokens: int) -> None:
        """Compile for batches of this many tokens."""
        self._backbone.compile(tokens)

    @torch.inference_mode()
    def __call__(self, ids: Tensor, groups: Groups) -> Tensor:
        """Return the vectors of the sentences of a batch.

        Parameters
        ----------
        ids : Tensor of int64, shape (tokens,)
            Sentences end to end, perhaps followed by padding.
        groups : tuple of (int, int)
            How many sentences of how many tokens.

        Returns
        -------
        Tensor of float32, shape (sentences, dim)
        """
        hidden = self._hidden(ids, groups)
        pooled: list[Tensor] = []
        start = 0
        for sentences, length in groups:
            stop = start + sentences * length
            states = hidden[start:stop].view(sentences, length, self._backbone.dim)
            pooled.append(pool(states, self._poolings, skip=self._skip))
            start = stop
        vectors: Tensor = self._head(torch.cat(pooled))
        return vectors

    def _hidden(self, ids: Tensor, groups: Groups) -> Tensor:
        """Last hidden states; a tokenizer without special tokens gives none for an empty text."""
        real = tuple((sentences, length) for sentences, length in groups if length)
        if not real:
            return torch.empty(0, self._backbone.dim, device=self.device)
        return self._backbone(ids, real)
