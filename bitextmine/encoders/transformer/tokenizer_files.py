"""Loading the tokenizer of a model folder, and saying what is wrong with one that does not load."""

import importlib
import json
from pathlib import Path
from typing import Any

from bitextmine.errors import EncoderError

SENTENCEPIECE_FILES = ("spiece.model", "sentencepiece.bpe.model", "tokenizer.model")


def load_sentencepiece(model: Path) -> Any:
    """Read a SentencePiece model; explains a file that is missing or damaged."""
    sentencepiece = importlib.import_module("sentencepiece")
    try:
        content = model.read_bytes()
        if not content:  # which the library takes for a model without pieces
            raise ValueError("the file is empty")
        return sentencepiece.SentencePieceProcessor(model_proto=content)
    except (OSError, RuntimeError, ValueError) as error:
        raise EncoderError(
            f"{model} cannot be read as a SentencePiece model: {_first_line(error)}",
            hint="fetch or copy the file again",
        ) from error


def end_id(processor: Any, model: Path) -> int:
    """Id of the end token that the folder names, else of the SentencePiece model's own."""
    token = _read_json(model.parent / "tokenizer_config.json").get("eos_token")
    if isinstance(token, dict):
        token = token.get("content")
    end: int = processor.piece_to_id(token) if isinstance(token, str) else processor.eos_id()
    if end < 0 or processor.is_unknown(end):
        raise EncoderError(
            f"{model} has no end token ({token or '</s>'})",
            hint="use the tokenizer files that belong to this model",
        )
    return end


def load_auto(folder: Path, trust_remote_code: bool) -> Any:
    """The tokenizer that transformers finds in a folder."""
    if not folder.is_dir():
        raise EncoderError(f"{folder} is not a folder", hint="name the folder of a model")
    transformers = importlib.import_module("transformers")
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
    own_code = _read_json(folder / "tokenizer_config.json").get("auto_map") or {}
    if not trust_remote_code and "AutoTokenizer" in own_code:
        return EncoderError(
            f"the tokenizer in {folder} is Python code of its own, which is not run unasked",
            hint="read the code, then pass --trust-remote-code",
        )
    names = ("tokenizer.json", "vocab.txt", "vocab.json", "tokenizer_config.json")
    if not any((folder / name).exists() for name in (*names, *SENTENCEPIECE_FILES)):
        return _no_tokenizer(folder)
    return EncoderError(
        f"the tokenizer in {folder} cannot be loaded: {_first_line(error)}",
        hint="fetch or copy the tokenizer's files again",
    )


def _no_tokenizer(folder: Path) -> EncoderError:
    return EncoderError(
        f"{folder} holds no tokenizer",
        hint="copy the model's tokenizer files (tokenizer.json or spiece.model) into the folder",
    )


def _read_json(path: Path) -> dict[str, Any]:
    """A JSON object, or an empty one where there is none that can be read."""
    try:
        content = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]
