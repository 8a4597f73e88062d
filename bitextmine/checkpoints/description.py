"""What a checkpoint's own files say about turning sentences into vectors; reads no weights."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from bitextmine.checkpoints.json_files import damaged_settings, number, part, read_object
from bitextmine.checkpoints.model_kinds import model_type_of, needs_code, positions_of
from bitextmine.checkpoints.st_files import (
    DenseLayer,
    list_modules,
    out_dim,
    read_pooling,
    read_prompts,
    read_step,
    read_transformer_settings,
)
from bitextmine.config import Pooling
from bitextmine.errors import EncoderError, UsageError

__all__ = ["DenseLayer", "Description", "describe"]


@dataclass(frozen=True, kw_only=True)
class Description:
    """How sentences become vectors, in the order in which it happens.

    Attributes
    ----------
    folder : Path
        Holds ``config.json``, tokenizer and weights of the transformer.
    model_type : str
        As in ``config.json``: "bert", "xlm-roberta", "modernbert", "mt5", …
    hidden_dim : int
        Of a token's last hidden state.
    lowercase : bool
        Whether text is lower-cased first.
    prompt : str
        Put before every sentence; may be empty.
    prompts : tuple of str
        Names of the prompts that the files know.
    pool_prompt : bool
        Whether the tokens of the prompt take part in pooling.
    max_length : int
        Tokens read of a sentence, special tokens included.
    poolings : tuple of str
        Their results are concatenated.
    head : tuple
        Dense layers, and "normalise" where the files have it.
    dim : int
        Of the vectors that come out.
    remote_code : bool
        Whether the model needs Python code from its own folder.
    """

    folder: Path
    model_type: str
    hidden_dim: int
    lowercase: bool
    prompt: str
    prompts: tuple[str, ...]
    pool_prompt: bool
    max_length: int
    poolings: tuple[Pooling, ...]
    head: tuple[DenseLayer | Literal["normalise"], ...]
    dim: int
    remote_code: bool


def describe(
    folder: Path,
    *,
    prompt: str | None = None,
    max_length: int | None = None,
    pooling: Pooling | None = None,
    known_prompt: str = "",
    trust_remote_code: bool = False,
) -> Description:
    """Read how a checkpoint turns sentences into vectors.

    Parameters
    ----------
    folder : Path
        A model of transformers, perhaps with the files that sentence-transformers adds.
    prompt : str or None
        Wins over the files' default prompt, which wins over ``known_prompt``; "" is no prompt.
    max_length : int or None
        Wins over the files.
    pooling : str or None
        For a folder whose files do not say; None is the mean.
    known_prompt : str
        What the model is known to need.
    trust_remote_code : bool
        Whether Python code of the folder may run.

    Raises
    ------
    EncoderError
        The folder is damaged, or not an encoder, or does what we have no code for.
    UsageError
        ``max_length`` is out of range, or the files pool in another way than ``pooling``.
    """
    modules = list_modules(folder)
    transformer = modules[0][1] if modules else folder
    config = _read_config(transformer)
    model_type = model_type_of(transformer, config)
    remote_code = needs_code(transformer, config, trusted=trust_remote_code)
    settings = read_transformer_settings(transformer)
    hidden_dim = number(config, "hidden_size", "d_model", "dim", "emb_dim", "n_embd")
    if hidden_dim is None:
        raise damaged_settings(
            transformer / "config.json", "does not tell the size of hidden states"
        )
    poolings, pool_prompt = _poolings(folder, modules, pooling)
    head = tuple(read_step(name, place) for name, place in modules[2:] if name != "Dropout")
    default_prompt, prompts = read_prompts(folder)
    return Description(
        folder=transformer,
        model_type=model_type,
        hidden_dim=hidden_dim,
        lowercase=bool(settings.get("do_lower_case")),
        prompt=next(text for text in (prompt, default_prompt, known_prompt) if text is not None),
        prompts=prompts,
        pool_prompt=pool_prompt,
        max_length=_max_length(transformer, config, settings, max_length),
        poolings=poolings,
        head=head,
        dim=out_dim(head, hidden_dim * len(poolings)),
        remote_code=remote_code,
    )


def _read_config(folder: Path) -> dict[str, Any]:
    """Read the transformer's config.json, or tell what the folder is instead."""
    if (folder / "config.json").is_file():
        return read_object(folder / "config.json")
    if (folder / "adapter_config.json").is_file():
        raise EncoderError(
            f"{folder} holds an adapter only, without the model that it changes",
            hint="`bitextmine models merge` makes a model of it and its base",
        )
    raise EncoderError(
        f"{folder} holds no model: it has no config.json"
        if folder.is_dir()
        else f"there is no folder {folder}",
        hint="give the folder with the model's config.json, tokenizer and weights",
    )


def _poolings(
    folder: Path, modules: list[tuple[str, Path]], asked: Pooling | None
) -> tuple[tuple[Pooling, ...], bool]:
    """Return the poolings, and whether they include the prompt; the files win."""
    poolings, pool_prompt = read_pooling(modules[1][1]) if modules else ((asked or "mean",), True)
    if asked and poolings != (asked,):
        raise UsageError(
            f"{folder} pools by {' and '.join(poolings)}, not by {asked}",
            hint="leave the pooling out: the model's own files say it",
        )
    return poolings, pool_prompt


def _max_length(
    folder: Path, config: dict[str, Any], settings: dict[str, Any], asked: int | None
) -> int:
    """Choose how many tokens are read: never more than the model has positions for."""
    positions = positions_of(config)
    if asked is not None:
        if asked < 3 or (positions and asked > positions):
            raise UsageError(
                f"{folder} cannot read sentences of up to {asked} tokens",
                hint=f"choose a length from 3 to {positions} tokens"
                if positions
                else "choose a length of 3 tokens or more",
            )
        return asked
    processing = part(settings, "processing_kwargs")
    tokenizer = read_object(folder / "tokenizer_config.json", optional=True)
    lengths = (  # the first wins, as in sentence-transformers
        number(part(processing, "text"), "max_length"),
        number(part(processing, "common"), "max_length"),
        number(part(settings, "processor_kwargs"), "model_max_length"),
        number(part(settings, "tokenizer_args"), "model_max_length"),
        number(settings, "max_seq_length"),
        number(tokenizer, "model_max_length"),
    )
    # A tokenizer without a limit says 10 to the power of 30.
    length = next((n for n in lengths if n and n < 1e6), positions or 512)
    return min(length, positions or length)
