"""The tokens of use-m3: text to piece ids, and long sentences to pieces of bounded length."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bitextmine.arrays import Ids

_UNKNOWN, _BEGIN, _END = 0, 1, 2
_LONGEST = 256  # tokens computed in one piece
_HALO = 4  # tokens on either side that a token's features depend on: two layers, 2 tokens each


class M3Tokeniser:
    """The ids that the package's own tokeniser gives, from the sentencepiece library.

    The library joins neighbouring unknown characters into one token; the package, and so the
    vectors we must equal, has one unknown token a character.
    """

    def __init__(self, model: Path) -> None:
        import sentencepiece  # late: pieces are cut without it

        self._processor = sentencepiece.SentencePieceProcessor(model_file=str(model))

    def encode(self, sentences: Sequence[str]) -> list[list[int]]:
        """Ids of each sentence, between a begin and an end token; never empty between them."""
        tokens: list[list[int]] = self._processor.encode(
            list(sentences), add_bos=True, add_eos=True, num_threads=1
        )
        for i, ids in enumerate(tokens):
            if len(ids) == 2:
                tokens[i] = [_BEGIN, _UNKNOWN, _END]
            elif _UNKNOWN in ids:
                tokens[i] = [_BEGIN, *self._split_unknown(sentences[i], ids[1:-1]), _END]
        return tokens

    def _split_unknown(self, sentence: str, ids: list[int]) -> list[int]:
        """Repeat each unknown id for every character of its piece."""
        pieces = self._processor.encode(sentence, out_type=str, num_threads=1)
        split: list[int] = []
        for token, piece in zip(ids, pieces, strict=True):
            split += [token] * len(piece) if token == _UNKNOWN else [token]
        return split


@dataclass(frozen=True)
class Piece:
    """A sentence, or a part of a long one with the neighbouring tokens that its features need."""

    tokens: Ids
    start: int  # the first token of `tokens` whose features count
    stop: int  # behind the last one
    opens_sentence: bool


def cut_into_pieces(sentences: Sequence[Sequence[int]]) -> list[Piece]:
    """Cut sentences of more than `_LONGEST` tokens; a cut depends on its own sentence alone."""
    pieces: list[Piece] = []
    for ids in sentences:
        tokens = np.array(ids, dtype=np.int64)
        for start in range(0, len(tokens), _LONGEST):
            stop = min(start + _LONGEST, len(tokens))
            first = max(start - _HALO, 0)
            around = tokens[first : stop + _HALO]
            pieces.append(Piece(around, start - first, stop - first, start == 0))
    return pieces
