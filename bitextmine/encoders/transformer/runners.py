"""Batches on a device: one after another on a GPU, several at a time on a CPU's cores."""

import logging
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from bitextmine.arrays import Floats
from bitextmine.encoders.base import Encoded
from bitextmine.encoders.transformer.batches import Batch, cut_to, make_batches
from bitextmine.encoders.transformer.network import Network
from bitextmine.encoders.transformer.tokens import TokenIds
from bitextmine.errors import EncoderError
from bitextmine.machine import single_threaded_workers

LEAST_TOKENS = 256  # a batch is never made smaller

LOG = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pending:
    """Vectors that are being computed.

    Attributes
    ----------
    wait : callable
        Returns the vectors of the window when they are there.
    cancel : callable
        Forgets what has not begun, where nobody waits any more: after an error or an interrupt.
    """

    wait: Callable[[], Encoded]
    cancel: Callable[[], None]


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

    def start(self, tokens: TokenIds) -> Pending:
        """Have a window of sentences computed; returns at once."""
        batches = list(make_batches(tokens, self._budget))
        computed: list[Future[Tensor]] = []

        def cancel() -> None:
            for future in computed:
                future.cancel()

        def wait() -> Encoded:
            vectors: Floats = np.empty((len(tokens), self._network.dim), dtype=np.float32)
            for batch, found in zip(batches, computed, strict=True):
                vectors[batch.rows] = found.result().numpy()
            return Encoded(vectors, tokens.truncated)

        try:
            computed.extend(self._workers.submit(self._compute, batch) for batch in batches)
        except BaseException:  # an interrupt
            cancel()
            raise
        return Pending(wait, cancel)

    def _compute(self, batch: Batch) -> Tensor:
        return self._network(laid_out(batch, self._network, self._budget), batch.groups)


class DeviceRunner:
    """Computes on a GPU, which is given work ahead, so that it never waits for the host.

    When its memory does not suffice, the budget is halved and the window begun again; from then
    on a sentence is cut to the budget, for a batch of one may not be larger either.

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
        self._cut = False  # whether sentences longer than the budget are cut
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
            fitting = cut_to(tokens, self.budget) if self._cut else tokens
            longest = int(fitting.lengths.max(initial=0))
            try:
                return _arriving(self._launch(fitting), fitting.truncated)
            except torch.OutOfMemoryError as error:
                if self.budget <= LEAST_TOKENS and longest <= self.budget:
                    raise self._too_small() from error
            # Only here: the error holds the tensors of the batch that was too large.
            self._retreat(longest)

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

    def _too_small(self) -> EncoderError:
        return EncoderError(
            f"{self._network.device} is out of memory with batches of {self.budget} tokens",
            hint="free memory on it, or choose a larger one with --devices",
        )

    def _retreat(self, longest: int) -> None:
        """Cut sentences to the budget; where none was longer, halve it. Say so."""
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        out_of_memory = f"{self._network.device} is out of memory"
        self._cut = True
        if longest > self.budget:
            LOG.warning("%s: sentences are cut to %s tokens", out_of_memory, f"{self.budget:,}")
            return
        self.budget = max(self.budget // 2, LEAST_TOKENS)
        LOG.warning("%s: going on with batches of %s tokens", out_of_memory, f"{self.budget:,}")
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
    """Copy vectors to the host behind the work that is under way, which cannot be called back."""
    if vectors.device.type == "cpu":
        return Pending(lambda: Encoded(vectors.numpy(), truncated), _nothing_waits)
    host = torch.empty(vectors.shape, dtype=vectors.dtype, pin_memory=True)
    host.copy_(vectors, non_blocking=True)
    copied = torch.Event(vectors.device)
    copied.record(torch.accelerator.current_stream(vectors.device))

    def wait() -> Encoded:
        copied.synchronize()
        return Encoded(host.numpy(), truncated)

    return Pending(wait, _nothing_waits)


def _nothing_waits() -> None:
    """A device has begun everything."""
