"""Batches on a device: one after another on a GPU, several at a time on a CPU's cores."""

import logging
from collections.abc import Callable
from concurrent.futures import Future

import numpy as np
import torch
from torch import Tensor

from bitextmine.encoders.base import Encoded
from bitextmine.encoders.transformer.batches import Batch, cut_to, make_batches
from bitextmine.encoders.transformer.network import Network
from bitextmine.encoders.transformer.tokens import TokenIds
from bitextmine.errors import EncoderError
from bitextmine.search.neighbours import Floats
from bitextmine.threads import single_threaded_workers

LEAST_TOKENS = 256  # a batch is never made smaller

LOG = logging.getLogger(__name__)

Pending = Callable[[], Encoded]  # waits for the vectors


class CoresRunner:
    """Computes on the CPU: each core has a batch of its own.

    Cores that share a batch wait for each other after every step; cores with batches of their own
    never do, and a vector does not depend on their number.

    Parameters
    ----------
    network : Network
    budget : int
        Tokens a batch.
    threads : int
        Batches computed at the same time.
    """

    def __init__(self, network: Network, budget: int, threads: int) -> None:
        self._network = network
        self._budget = budget
        self._workers = single_threaded_workers(threads, "encode")
        self._begun: list[Future[Tensor]] = []

    def start(self, tokens: TokenIds) -> Pending:
        """Have a window of sentences computed; returns at once."""
        batches = list(make_batches(tokens, self._budget))
        computed = [self._workers.submit(self._compute, batch) for batch in batches]
        self._begun = [future for future in self._begun if not future.done()] + computed

        def wait() -> Encoded:
            vectors: Floats = np.empty((len(tokens), self._network.dim), dtype=np.float32)
            for batch, found in zip(batches, computed, strict=True):
                vectors[batch.rows] = found.result().numpy()
            return Encoded(vectors, tokens.truncated)

        return wait

    def stop(self) -> None:
        """Forget what nobody waits for any more: after an error or an interrupt there is some."""
        for future in self._begun:
            future.cancel()

    def _compute(self, batch: Batch) -> Tensor:
        return self._network(laid_out(batch, self._network, self._budget), batch.groups)


class DeviceRunner:
    """Computes on a GPU, which is given work ahead, so that it never waits for the host.

    When its memory does not suffice, the budget is halved and the window begun again.

    Parameters
    ----------
    network : Network
    budget : int
        Tokens a batch, at first.
    compiled : bool
        Whether to compile the network for the budget.
    """

    def __init__(self, network: Network, budget: int, *, compiled: bool) -> None:
        self._network = network
        self._compiled = compiled
        self.budget = budget
        self._prepare()

    def start(self, tokens: TokenIds) -> Pending:
        """Have a window of sentences computed; returns when all is under way.

        Raises
        ------
        EncoderError
            Memory does not suffice even for the smallest batch.
        """
        while True:
            try:
                vectors = self._launch(tokens)
            except torch.OutOfMemoryError as error:
                self._retreat(error)
                tokens = cut_to(tokens, self.budget)
            else:
                return _arriving(vectors, tokens.truncated)

    def stop(self) -> None:
        """Nothing is left behind: the device ends with this process."""

    def _launch(self, tokens: TokenIds) -> Tensor:
        network = self._network
        vectors = torch.empty(len(tokens), network.dim, device=network.device)
        for batch in make_batches(tokens, self.budget):
            ids = laid_out(batch, network, self.budget)
            rows = torch.from_numpy(batch.rows)
            if network.device != "cpu":
                ids, rows = ids.pin_memory(), rows.pin_memory()
            found = network(ids.to(network.device, non_blocking=True), batch.groups)
            vectors.index_copy_(0, rows.to(network.device, non_blocking=True), found)
        return vectors

    def _retreat(self, error: torch.OutOfMemoryError) -> None:
        """Halve the budget, and say so."""
        device = self._network.device
        if self.budget <= LEAST_TOKENS:
            raise EncoderError(
                f"{device} is out of memory with batches of {self.budget} tokens",
                hint="free memory on it, or choose a larger one with --devices",
            ) from error
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self.budget = max(self.budget // 2, LEAST_TOKENS)
        LOG.warning(
            "%s is out of memory: going on with batches of %s tokens", device, f"{self.budget:,}"
        )
        self._prepare()

    def _prepare(self) -> None:
        """Compile for the budget, or say why it cannot be done and go on without."""
        if not self._compiled:
            return
        try:
            self._network.compile(self.budget)
        except torch.OutOfMemoryError:
            return  # as a batch of this size will be: the budget is halved then
        except RuntimeError as error:
            self._compiled = False
            reason = str(error).strip().splitlines()[0][:200] if str(error).strip() else "unknown"
            LOG.warning("encoding uncompiled, which is slower; cannot compile: %s", reason)


def laid_out(batch: Batch, network: Network, budget: int) -> Tensor:
    """Return the ids of a batch, filled up to the budget where the network wants one shape."""
    size = max(budget, len(batch.ids)) if network.static else len(batch.ids)
    ids = torch.zeros(size, dtype=torch.int64)
    ids[: len(batch.ids)] = torch.from_numpy(batch.ids)
    return ids


def _arriving(vectors: Tensor, truncated: int) -> Pending:
    """Copy vectors to the host behind the work that is under way."""
    if vectors.device.type == "cpu":
        return lambda: Encoded(vectors.numpy(), truncated)
    host = torch.empty(vectors.shape, dtype=vectors.dtype, pin_memory=True)
    host.copy_(vectors, non_blocking=True)
    copied = torch.Event(vectors.device)
    copied.record(torch.accelerator.current_stream(vectors.device))

    def wait() -> Encoded:
        copied.synchronize()
        return Encoded(host.numpy(), truncated)

    return wait
