"""The tokenizer of a T5 model for transformers 5, with the ids of its SentencePiece file."""

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers
from tokenizers.processors import TemplateProcessing

from bitextmine.checkpoints.tokenizer_files import SPIECE, load_sentencepiece
from bitextmine.errors import EncoderError
from bitextmine.files import atomic_write

_SPACE = "▁"  # what a space is in a piece
_UNIGRAM = 1  # TrainerSpec.model_type
_NORMAL, _UNKNOWN, _CONTROL, _USER_DEFINED = 1, 2, 3, 4  # SentencePiece.type
# A character that text does not have: Unicode promises never to assign it.
_CUT = "\ufdd0"
# Characters that join the one before them in a grapheme: marks, joiners, half-width voicing, …
_JOINING = Regex(
    r"(?<=[^\n])(?=[\p{M}\p{Cf}\p{Sk}\x{FF9E}\x{FF9F}\x{E33}\x{EB3}\x{1160}-\x{11FF}])"
)


@dataclass(frozen=True)
class _Model:
    """What a SentencePiece file says, by the names of its schema (sentencepiece_model.proto)."""

    pieces: list[tuple[str, float, int]]  # text, score, type
    charsmap: bytes
    add_dummy_prefix: bool
    remove_extra_whitespaces: bool
    escape_whitespaces: bool
    model_type: int
    byte_fallback: bool
    whitespace_as_suffix: bool


def write_t5_tokenizer(spiece: Path, out: Path) -> None:
    """Write a tokenizer that transformers 5 and sentence-transformers load as it is.

    transformers 5 would build its own ``T5Tokenizer`` from ``spiece.model``: without byte
    fallback, and without the model's treatment of whitespace. So the folder names the generic
    class, which takes ``tokenizer.json`` as it stands. Special tokens in the text are plain
    text, as in `bitextmine.encoders.transformer.tokens`.

    Ids equal those of the sentencepiece library but for three kinds of text: unusual
    sequences of combining marks, which the library composes by a table and the tokenizers
    library by the rules of Unicode; two segmentations whose scores differ only by rounding
    (32-bit sums there, 64-bit here); and the name of a special token or byte ("<0x41>") in a
    model in which its characters have no pieces.

    Parameters
    ----------
    spiece : Path
        A SentencePiece unigram model with pieces for padding, end and unknown.
    out : Path
        An existing folder: gets ``spiece.model``, ``tokenizer.json``, ``tokenizer_config.json``
        and ``special_tokens_map.json``.

    Raises
    ------
    EncoderError
        The file is no SentencePiece model, or not of the kind that T5 models have.
    OutputError
        The folder cannot be written.
    """
    processor = load_sentencepiece(spiece)
    content = spiece.read_bytes()
    model = _read_model(content)
    if model.model_type != _UNIGRAM or model.whitespace_as_suffix:
        raise EncoderError(
            f"{spiece} is not a SentencePiece model of T5's kind",
            hint="give the spiece.model of a T5, mT5 or umT5 model",
        )
    ids = {"pad_token": processor.pad_id(), "eos_token": processor.eos_id()}
    ids["unk_token"] = processor.unk_id()
    if min(ids.values()) < 0:
        raise EncoderError(
            f"{spiece} lacks a padding or end token",
            hint="give the spiece.model of a T5, mT5 or umT5 model",
        )
    special = {role: model.pieces[i][0] for role, i in ids.items()}
    tokenizer = _build(model, ids["unk_token"], special["eos_token"], ids["eos_token"])
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special.values()])
    config = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        **special,
        "split_special_tokens": True,
        "clean_up_tokenization_spaces": False,
        "model_input_names": ["input_ids", "attention_mask"],
    }
    _write(out / SPIECE, content)
    _write(out / "tokenizer.json", tokenizer.to_str().encode())
    _write(out / "tokenizer_config.json", _to_json(config))
    _write(out / "special_tokens_map.json", _to_json(special))


def _build(model: _Model, unknown: int, end_token: str, end: int) -> Tokenizer:
    vocabulary = list(zip((text for text, _, _ in model.pieces), _scores(model), strict=True))
    tokenizer = Tokenizer(
        models.Unigram(vocabulary, unk_id=unknown, byte_fallback=model.byte_fallback)
    )
    tokenizer.normalizer = normalizers.Sequence([*_characters(model), *_whitespace(model)])
    tokenizer.post_processor = TemplateProcessing(
        single=["$A", end_token],
        pair=["$A", end_token, "$B", end_token],
        special_tokens=[(end_token, end)],
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.ByteFallback(),
            decoders.Metaspace(_SPACE, "always" if model.add_dummy_prefix else "never"),
        ]
    )
    return tokenizer


def _scores(model: _Model) -> Iterator[float]:
    """Scores that choose as the sentencepiece library does, which matches only some types.

    The tokenizers library would match a control, byte or unused piece in text. A score below
    that of all its characters keeps such a piece out. A user-defined one must always win.
    """
    normal = [score for _, score, kind in model.pieces if kind == _NORMAL]
    lowest, highest = min(normal), max(normal)
    longest = max(len(text) for text, _, _ in model.pieces)
    never = (longest + 1) * (min(lowest, 0.0) - 10.0)
    for text, score, kind in model.pieces:
        if kind == _NORMAL:
            yield score
        elif kind == _USER_DEFINED:
            yield len(text.encode()) * highest - 0.1
        else:
            yield never


def _characters(model: _Model) -> list[normalizers.Normalizer]:
    """The model's replacement of characters, such as NFKC.

    The tokenizers library replaces whole graphemes, and loses a mark behind a replaced
    character; cutting graphemes apart prevents that. What the marks then miss, NFC composes,
    if the model's table does.
    """
    if not model.charsmap:
        return []
    replace = normalizers.Precompiled(model.charsmap)
    steps = [normalizers.Replace(_JOINING, _CUT), replace, normalizers.Replace(_CUT, "")]
    composes = replace.normalize_str("e\u0301") == "\u00e9"
    return [*steps, normalizers.NFC()] if composes else steps


def _whitespace(model: _Model) -> list[normalizers.Normalizer]:
    """Spaces as the sentencepiece library treats them, in its order."""
    steps: list[normalizers.Normalizer] = []
    if model.remove_extra_whitespaces:
        trailing = f"[ {_SPACE}]+\\z" if model.escape_whitespaces else r" +\z"
        steps += [
            normalizers.Replace(Regex(" {2,}"), " "),
            normalizers.Replace(Regex(r"\A "), ""),
            normalizers.Replace(Regex(trailing), ""),
        ]
    space = _SPACE if model.escape_whitespaces else " "
    if model.escape_whitespaces:
        steps.append(normalizers.Replace(" ", space))
    if model.add_dummy_prefix:
        steps.append(normalizers.Prepend(space))
    return steps


def _read_model(content: bytes) -> _Model:
    """Read the fields in use; the protobuf library is not needed for so few."""
    pieces: list[tuple[str, float, int]] = []
    trainer: dict[int, int | bytes] = {}
    normalizer: dict[int, int | bytes] = {}
    for field, value in _fields(content):
        if field == 1 and isinstance(value, bytes):
            pieces.append(_read_piece(value))
        elif field == 2 and isinstance(value, bytes):
            trainer.update(_fields(value))
        elif field == 3 and isinstance(value, bytes):
            normalizer.update(_fields(value))
    charsmap = normalizer.get(2, b"")
    return _Model(
        pieces,
        charsmap if isinstance(charsmap, bytes) else b"",
        add_dummy_prefix=bool(normalizer.get(3, 1)),
        remove_extra_whitespaces=bool(normalizer.get(4, 1)),
        escape_whitespaces=bool(normalizer.get(5, 1)),
        model_type=_number(trainer.get(3, _UNIGRAM)),
        byte_fallback=bool(trainer.get(35, 0)),
        whitespace_as_suffix=bool(trainer.get(24, 0)),
    )


def _read_piece(message: bytes) -> tuple[str, float, int]:
    fields = dict(_fields(message))
    text, score = fields.get(1, b""), fields.get(2, b"\0\0\0\0")
    assert isinstance(text, bytes) and isinstance(score, bytes)
    return text.decode(), struct.unpack("<f", score)[0], _number(fields.get(3, _NORMAL))


def _number(value: int | bytes) -> int:
    return value if isinstance(value, int) else 0


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """Number and value of each field of a protobuf message (protobuf.dev, "Encoding")."""
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        wire_type = key & 7
        value: int | bytes
        if wire_type == 0:
            value, at = _varint(message, at)
        else:
            size, at = _varint(message, at) if wire_type == 2 else ({1: 8, 5: 4}[wire_type], at)
            value = message[at : at + size]
            at += size
        yield key >> 3, value


def _varint(message: bytes, at: int) -> tuple[int, int]:
    """An integer of 7 bits a byte, lowest first, and where it ends."""
    value = shift = 0
    while True:
        byte = message[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def _to_json(content: dict[str, object] | dict[str, str]) -> bytes:
    return (json.dumps(content, indent=2, ensure_ascii=False) + "\n").encode()


def _write(path: Path, content: bytes) -> None:
    with atomic_write(path) as file:
        file.write(content)
