"""The tokenizer of multilingual-e5-small for the tokenizers library, id for id the engine's."""

import struct
from collections.abc import Iterable, Mapping

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers import pre_tokenizers as splitters
from tokenizers.processors import TemplateProcessing

from bitextmine.models.packed_e5 import Pieces

MASK = "<mask>"
_SPACE = "▁"  # what a space is in a piece
_NOTHING = "\x01"  # a control character that the table of replacements removes
_BLOCK = 256  # slots: one for every byte


def build_tokenizer(pieces: Pieces) -> Tokenizer:
    """Make the tokenizer that gives the same ids as the package's own.

    Two things would differ in the tokenizer of the original model: it replaces characters by
    whole graphemes, which loses a mark behind a replaced character, and it joins neighbouring
    unknown characters into one token. The vectors we must equal come from one replacement a
    character and one unknown token a character, so both are prevented here.

    Parameters
    ----------
    pieces : Pieces
        Of a model whose pieces have a space, if any, at their start, and whose every character
        is a piece by itself.
    """
    special = [pieces.texts[i] for i in (pieces.begin, pieces.padding, pieces.end, pieces.unknown)]
    special.append(MASK)
    known = {char for text in pieces.texts if text not in special for char in text}
    tokenizer = Tokenizer(
        models.Unigram(list(zip(pieces.texts, pieces.scores, strict=True)), unk_id=pieces.unknown)
    )
    separate = Regex(rf"(?<=[{_ranges(pieces.replacements)}])(?=[^\x00-\x7f])")
    tokenizer.normalizer = normalizers.Sequence(
        [
            normalizers.Replace(separate, _NOTHING),  # ends the grapheme behind each replacement
            normalizers.Precompiled(compile_replacements(pieces.replacements)),
            normalizers.Replace(Regex(" {2,}"), " "),
        ]
    )
    tokenizer.pre_tokenizer = splitters.Sequence(
        [
            splitters.Metaspace(_SPACE, "first"),
            splitters.Split(Regex(f"[^{_ranges(known)}]"), "isolated"),
        ]
    )
    tokenizer.decoder = decoders.Metaspace(_SPACE, "first")
    tokenizer.add_special_tokens([AddedToken(text, special=True) for text in special])
    begin, end = pieces.texts[pieces.begin], pieces.texts[pieces.end]
    tokenizer.post_processor = TemplateProcessing(
        single=f"{begin} $A {end}",
        pair=f"{begin} $A {end} {end} $B {end}",
        special_tokens=[(begin, pieces.begin), (end, pieces.end)],
    )
    return tokenizer


def compile_replacements(replacements: Mapping[str, str]) -> bytes:
    r"""Pack replacements of single characters as SentencePiece's "precompiled charsmap".

    That is the length of a trie in bytes, the trie as a Darts double array of 32-bit units, and
    all replacements, each ended by a NUL. A unit holds its own byte (bits 0 to 7), whether a key
    ends there (bit 8), and the exclusive or of its slot and the slot where its children begin
    (from bit 10); the child for byte b is in that slot exclusive or b. The unit of a value has
    bit 31 set. Each inner node has a block of 256 slots here, which needs no search for gaps.

    Parameters
    ----------
    replacements : mapping of str to str
        From single characters; none may contain a NUL.
    """
    texts = bytearray()
    starts: dict[str, int] = {}
    for text in replacements.values():
        if text not in starts:
            starts[text] = len(texts)
            texts += text.encode() + b"\0"
    keys = {character.encode(): starts[text] for character, text in replacements.items()}
    prefixes = sorted({key[:n] for key in keys for n in range(len(key))} | {b""})
    blocks = {prefix: _BLOCK * i for i, prefix in enumerate(prefixes)}  # b"" is the root, slot 0
    n_values = -(-len(keys) // _BLOCK) * _BLOCK
    units = [0] * (_BLOCK * len(blocks) + n_values)
    for prefix, block in blocks.items():
        slot = _slot(blocks, prefix)
        units[slot] = (slot ^ block) << 10 | (prefix[-1] if prefix else 0)
    for i, (key, start) in enumerate(keys.items()):
        slot, value_slot = _slot(blocks, key), _BLOCK * len(blocks) + i
        units[slot] = (slot ^ value_slot) << 10 | 1 << 8 | key[-1]
        units[value_slot] = 1 << 31 | start
    return struct.pack(f"<{len(units) + 1}I", 4 * len(units), *units) + bytes(texts)


def _slot(blocks: Mapping[bytes, int], key: bytes) -> int:
    """Where the unit of a byte string is: in its parent's block, at its last byte."""
    return blocks[key[:-1]] ^ key[-1] if key else 0


def _ranges(characters: Iterable[str]) -> str:
    """Write a set of characters for the inside of a character class."""
    spans: list[list[int]] = []
    for code in sorted(map(ord, characters)):
        if spans and spans[-1][1] == code - 1:
            spans[-1][1] = code
        else:
            spans.append([code, code])
    return "".join(rf"\x{{{first:x}}}-\x{{{last:x}}}" for first, last in spans)
