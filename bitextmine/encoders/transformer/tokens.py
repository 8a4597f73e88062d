"""Sentences to token ids: SentencePiece for T5 models, transformers' tokenizers for all others."""

import itertools
import os
import re
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from tokenizers import normalizers

from bitextmine.arrays import Ids
from bitextmine.checkpoints.model_kinds import T5_TYPES
from bitextmine.checkpoints.tokenizer_files import (
    SENTENCEPIECE_FILES,
    added_tokens,
    end_id,
    load_auto,
    load_sentencepiece,
    load_with_added,
)
from bitextmine.errors import EncoderError

TokenArray = NDArray[np.int32]

_CHUNK = 256  # sentences a thread takes at a time; larger chunks measured slower
_SURROGATES = re.compile("[\ud800-\udfff]")


@dataclass(frozen=True)
class TokenIds:
    """Token ids of a window of sentences, end to end.

    Attributes
    ----------
    ids : ndarray of int32, shape (total,)
        Special tokens included.
    starts : ndarray of int64, shape (n + 1,)
        Sentence i has ``ids[starts[i]:starts[i + 1]]``.
    truncated : int
        Sentences that were longer than the model reads.
    """

    ids: TokenArray
    starts: Ids
    truncated: int

    def __len__(self) -> int:
        """Sentences in the window."""
        return len(self.starts) - 1

    @property
    def lengths(self) -> Ids:
        """Tokens of every sentence, (n,)."""
        return np.diff(self.starts)


class Tokeniser(Protocol):
    """Turns sentences into the token ids that one model was trained on."""

    def encode(self, sentences: Sequence[str]) -> TokenIds:
        """Tokenise a window; the ids of a sentence depend on that sentence alone."""
        ...


def load_tokeniser(
    folder: Path,
    *,
    model_type: str,
    max_length: int,
    prompt: str = "",
    lowercase: bool = False,
    threads: int,
    trust_remote_code: bool = False,
) -> Tokeniser:
    """Load the tokenizer of a model folder; nothing is fetched.

    A T5-type folder with a SentencePiece file is read with the sentencepiece library itself, and
    gives the ids of transformers 4's ``T5Tokenizer`` (``use_fast=False``), byte fallback
    included, with one exception: a special token written out in a sentence ("</s>") is plain
    text here, because a corpus is not a prompt. A folder that adds tokens to that file, beside the
    ``<extra_id_N>`` of T5's training, and every other folder, gives the ids of transformers'
    ``AutoTokenizer``. Text is prepared as sentence-transformers 6 does: the prompt is put
    before the sentence, then both are lower-cased; whitespace is left to the tokenizer.

    Surrogates, which are not text, count as U+FFFD.

    Parameters
    ----------
    folder : Path
        Holds the tokenizer's files.
    model_type : str
        As in ``config.json``.
    max_length : int
        Tokens kept of a sentence, special tokens included.
    prompt : str
        Put before every sentence.
    lowercase : bool
        Whether text is lower-cased first, character by character.
    threads : int
        How many may tokenise at the same time. The tokenizers library is asked, by the variable
        it reads (``TOKENIZERS_PARALLELISM``), not to start threads of its own, unless the
        variable is set already.
    trust_remote_code : bool
        Whether Python code in the folder may run.

    Raises
    ------
    EncoderError
        There is no tokenizer, it is damaged, it needs code that it may not run, no library gives
        its ids (added tokens and byte fallback together), or ``max_length`` leaves no room for
        a sentence.
    """
    prepare = _Preparation(prompt, lowercase)
    if model_type in T5_TYPES:
        for model in (folder / name for name in SENTENCEPIECE_FILES):
            if model.is_file():
                return _load_t5(model, max_length, prepare, threads, trust_remote_code)
    return _wrapped(load_auto(folder, trust_remote_code), max_length, prepare, threads)


def _load_t5(
    model: Path,
    max_length: int,
    prepare: Callable[[Sequence[str]], list[str]],
    threads: int,
    trust_remote_code: bool,
) -> Tokeniser:
    """Take SentencePiece itself, unless the folder has tokens that it does not know."""
    processor = load_sentencepiece(model)
    added = added_tokens(model.parent, processor.get_piece_size())
    if not added:
        end = end_id(processor, model)
        return SentencePieceTokeniser(processor, end, max_length, prepare, threads)
    tokenizer = load_with_added(model.parent, processor, added, trust_remote_code)
    return _wrapped(tokenizer, max_length, prepare, threads)


def _wrapped(
    tokenizer: Any, max_length: int, prepare: Callable[[Sequence[str]], list[str]], threads: int
) -> Tokeniser:
    """Call a tokenizer of transformers in the fastest way it has."""
    special = int(tokenizer.num_special_tokens_to_add())
    _check_room(max_length, special)
    if tokenizer.is_fast:
        return FastTokeniser(tokenizer, max_length, prepare, threads)
    return PythonTokeniser(tokenizer, max_length, prepare)


@dataclass(frozen=True)
class _Preparation:
    """What happens to text before a tokenizer sees it."""

    prompt: str
    lowercase: bool

    def __call__(self, sentences: Sequence[str]) -> list[str]:
        texts = [self.prompt + text for text in sentences] if self.prompt else list(sentences)
        try:
            "".join(texts).encode()
        except UnicodeEncodeError:
            texts = [_SURROGATES.sub("\ufffd", text) for text in texts]
        if self.lowercase:
            lower = normalizers.Lowercase().normalize_str
            texts = [lower(text) for text in texts]
        return texts


class SentencePieceTokeniser:
    """The ids of a SentencePiece model, and an end token behind every sentence.

    The library computes several sentences at a time by itself and lets other Python threads run.
    """

    def __init__(
        self,
        processor: Any,
        end: int,
        max_length: int,
        prepare: Callable[[Sequence[str]], list[str]],
        threads: int,
    ) -> None:
        _check_room(max_length, 1)
        self._processor = processor
        self._end = end
        self._keep = max_length - 1
        self._prepare = prepare
        self._threads = threads

    def encode(self, sentences: Sequence[str]) -> TokenIds:
        """Tokenise; of a long sentence the first tokens are kept, and the end token."""
        pieces: list[TokenArray] = self._processor.encode(
            self._prepare(sentences), out_type="numpy", num_threads=self._threads
        )
        lengths = np.fromiter(map(len, pieces), np.int64, len(pieces))
        truncated = int((lengths > self._keep).sum())
        if truncated:
            pieces = [ids[: self._keep] for ids in pieces]
            lengths = np.minimum(lengths, self._keep)
        starts = _starts(lengths)
        ids = np.insert(_join(pieces), starts[1:], self._end)
        return TokenIds(ids, starts + np.arange(len(starts)), truncated)


class FastTokeniser:
    """A tokenizer of the tokenizers library, called below transformers, which only adds time."""

    def __init__(
        self,
        tokenizer: Any,
        max_length: int,
        prepare: Callable[[Sequence[str]], list[str]],
        threads: int,
    ) -> None:
        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        self._backend = tokenizer.backend_tokenizer
        self._backend.no_padding()
        self._backend.enable_truncation(max_length, direction=tokenizer.truncation_side)
        self._max_length = max_length
        self._prepare = prepare
        self._threads = threads

    def encode(self, sentences: Sequence[str]) -> TokenIds:
        """Tokenise on several threads, each with the interpreter's lock released."""
        texts = self._prepare(sentences)
        chunks = (texts[at : at + _CHUNK] for at in range(0, len(texts), _CHUNK))
        if self._threads == 1 or len(texts) <= _CHUNK:
            return _concatenate(map(self._encode_chunk, chunks))
        with ThreadPoolExecutor(self._threads, "tokenise") as executor:
            return _concatenate(executor.map(self._encode_chunk, chunks))

    def _encode_chunk(self, texts: list[str]) -> TokenIds:
        encodings = self._backend.encode_batch_fast(texts)
        ids = [encoding.ids for encoding in encodings]
        truncated = sum(
            len(of_one) >= self._max_length and bool(encoding.overflowing)
            for of_one, encoding in zip(ids, encodings, strict=True)
        )
        return _flatten(ids, truncated)


class PythonTokeniser:
    """A tokenizer that transformers has in Python only, such as ByT5's; one thread."""

    def __init__(
        self, tokenizer: Any, max_length: int, prepare: Callable[[Sequence[str]], list[str]]
    ) -> None:
        self._tokenizer = tokenizer
        self._max_length = max_length
        self._prepare = prepare

    def encode(self, sentences: Sequence[str]) -> TokenIds:
        """Tokenise; full sentences are tokenised once more to see whether any of them was cut."""
        texts = self._prepare(sentences)
        if not texts:
            return _flatten([], 0)
        ids = self._tokenizer(texts, truncation=True, max_length=self._max_length)["input_ids"]
        full = [
            text for text, of_one in zip(texts, ids, strict=True) if len(of_one) >= self._max_length
        ]
        whole = self._tokenizer(full, truncation=False, verbose=False)["input_ids"] if full else []
        return _flatten(ids, sum(len(of_one) > self._max_length for of_one in whole))


def _check_room(max_length: int, special: int) -> None:
    if max_length <= special:
        raise EncoderError(
            f"{max_length} tokens a sentence leave no room beside {special} special ones",
            hint=f"read at least {special + 1} tokens a sentence",
        )


def _flatten(ids: list[list[int]], truncated: int) -> TokenIds:
    """Token ids of sentences, end to end."""
    starts = _starts(np.fromiter(map(len, ids), np.int64, len(ids)))
    joined = np.fromiter(itertools.chain.from_iterable(ids), np.int32, int(starts[-1]))
    return TokenIds(joined, starts, truncated)


def _concatenate(chunks: Iterator[TokenIds]) -> TokenIds:
    """One window of several, in their order."""
    parts = list(chunks)
    lengths = [part.lengths for part in parts]
    starts = _starts(np.concatenate(lengths) if lengths else np.zeros(0, np.int64))
    ids = _join([part.ids for part in parts])
    return TokenIds(ids, starts, sum(part.truncated for part in parts))


def _join(arrays: list[TokenArray]) -> TokenArray:
    return np.concatenate(arrays) if arrays else np.zeros(0, np.int32)


def _starts(lengths: Ids) -> Ids:
    """Where each sentence starts, and the last one ends, (n + 1,)."""
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths, dtype=np.int64)])
