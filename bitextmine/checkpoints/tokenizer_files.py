"""Loading the tokenizer of a model folder, and saying what is wrong with one that does not load."""

import json
import re
from pathlib import Path
from typing import Any

from bitextmine.checkpoints.json_files import part, read_object
from bitextmine.errors import EncoderError

SPIECE = "spiece.model"  # of T5 models
SENTENCEPIECE_FILES = (SPIECE, "sentencepiece.bpe.model", "tokenizer.model")

_SENTINEL = re.compile(r"▁?<extra_id_\d+>")  # of T5's training; no sentence has them


def load_sentencepiece(model: Path) -> Any:
    """Read a SentencePiece model; explains a file that is missing or damaged."""
    import sentencepiece  # late, as all libraries here: a folder may need none of them

    try:
        content = model.read_bytes()
        if not content:  # which the library takes for a model without pieces
            raise ValueError("the file is empty")
        return sentencepiece.SentencePieceProcessor(model_proto=content)
    except (OSError, RuntimeError, ValueError) as error:
        raise EncoderError(
            f"{model} cannot be read as a SentencePiece model: {_in_one_line(error)}",
            hint="fetch or copy the file again",
        ) from error


def end_id(processor: Any, model: Path) -> int:
    """Id of the end token that the folder names, else of the SentencePiece model's own."""
    token = _settings(model.parent).get("eos_token")
    if isinstance(token, dict):
        token = token.get("content")
    end: int = processor.piece_to_id(token) if isinstance(token, str) else processor.eos_id()
    if end < 0 or processor.is_unknown(end):
        raise EncoderError(
            f"{model} has no end token ({token or '</s>'})",
            hint="use the tokenizer files that belong to this model",
        )
    return end


def added_tokens(folder: Path, pieces: int) -> list[str]:
    """Tokens that a folder adds behind the pieces of its SentencePiece model, sentinels aside."""
    ids = read_object(folder / "added_tokens.json", optional=True)
    decoder = part(_settings(folder), "added_tokens_decoder")
    listed = read_object(folder / "tokenizer.json", optional=True).get("added_tokens")
    entries = listed if isinstance(listed, list) else []
    found = [
        *((token, place) for token, place in ids.items()),
        *((part(decoder, place).get("content"), place) for place in decoder),
        *((entry.get("content"), entry.get("id")) for entry in entries if isinstance(entry, dict)),
    ]
    added = {
        token
        for token, place in found
        if isinstance(token, str) and str(place).isdecimal() and int(place) >= pieces
    }
    return sorted(token for token in added if not _SENTINEL.fullmatch(token))


def load_with_added(folder: Path, processor: Any, added: list[str], trust_remote_code: bool) -> Any:
    """Load transformers' tokenizer, which knows added tokens; it must keep byte fallback.

    Its own tokenizer of T5 makes unknown whatever the SentencePiece model spells in bytes.
    """
    named = ", ".join(added[:3])
    if not (folder / "tokenizer.json").is_file():  # else what is loaded depends on protobuf
        raise EncoderError(
            f"{folder} adds tokens ({named}) to its SentencePiece file, and has no tokenizer.json",
            hint="write the model's tokenizer.json, or remove the tokens if no sentence has them",
        )
    tokenizer = load_auto(folder, trust_remote_code)
    spells = any(processor.is_byte(i) for i in range(processor.get_piece_size()))
    backend = json.loads(tokenizer.backend_tokenizer.to_str()) if tokenizer.is_fast else {}
    if spells and not part(backend, "model").get("byte_fallback"):
        raise EncoderError(
            f"{folder} adds tokens ({named}) that SentencePiece does not know,"
            " and transformers' tokenizer, which does, turns off the model's byte fallback",
            hint="use a model without added tokens, or remove them if no sentence has them",
        )
    return tokenizer


def load_auto(folder: Path, trust_remote_code: bool) -> Any:
    """The tokenizer that transformers finds in a folder."""
    if not folder.is_dir():
        raise EncoderError(f"{folder} is not a folder", hint="name the folder of a model")
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=trust_remote_code
        )
    except Exception as error:  # the tokenizers library raises nothing narrower
        raise _explain(folder, error, trust_remote_code) from error
    # From a folder without a vocabulary, transformers makes one of special tokens alone.
    if len(tokenizer) <= len(tokenizer.all_special_ids) + 1:
        raise _no_tokenizer(folder)
    return tokenizer


def _explain(folder: Path, error: Exception, trust_remote_code: bool) -> EncoderError:
    """Why a folder's tokenizer could not be loaded."""
    own_code = _settings(folder).get("auto_map") or {}
    if not trust_remote_code and "AutoTokenizer" in own_code:
        return EncoderError(
            f"the tokenizer in {folder} is Python code of its own, which is not run unasked",
            hint="read the code, then pass --trust-remote-code",
        )
    names = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer_config.json")
    if not any((folder / name).exists() for name in (*names, *SENTENCEPIECE_FILES)):
        return _no_tokenizer(folder)
    if _config_is_wrong(folder, trust_remote_code):
        return EncoderError(
            f"{folder / 'config.json'} makes no sense to transformers: {_in_one_line(error)}",
            hint="config.json is wrong, not the tokenizer: correct it, or fetch it again",
        )
    return EncoderError(
        f"the tokenizer in {folder} cannot be loaded: {_in_one_line(error)}",
        hint="fetch or copy the tokenizer's files again",
    )


def _config_is_wrong(folder: Path, trust_remote_code: bool) -> bool:
    """Tell whether transformers stumbles over config.json, which it reads for the tokenizer."""
    if not (folder / "config.json").is_file():
        return False
    import transformers

    try:
        transformers.AutoConfig.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=trust_remote_code
        )
    except Exception:  # a config that makes no sense meets checks of every kind
        return True
    return False


def _settings(folder: Path) -> dict[str, Any]:
    return read_object(folder / "tokenizer_config.json", optional=True)


def _no_tokenizer(folder: Path) -> EncoderError:
    return EncoderError(
        f"{folder} holds no tokenizer",
        hint="copy the model's tokenizer files (tokenizer.json or spiece.model) into the folder",
    )


def _in_one_line(error: Exception) -> str:
    return " ".join(str(error).split())[:300] or type(error).__name__
