"""What a checkpoint's own files say about turning sentences into vectors; reads no weights."""

import importlib
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any, Literal

from bitextmine.encoders.options import Pooling
from bitextmine.errors import EncoderError, UsageError
from bitextmine.languages import normalise_language

# Names in sentence-transformers' files: first the flags of old ones, in the order in which the
# library concatenates their results.
_POOLINGS: dict[str, Pooling] = {
    "pooling_mode_cls_token": "cls",
    "pooling_mode_max_tokens": "max",
    "pooling_mode_mean_tokens": "mean",
    "pooling_mode_mean_sqrt_len_tokens": "mean_sqrt_len",
    "pooling_mode_weightedmean_tokens": "weighted_mean",
    "pooling_mode_lasttoken": "last",
    "cls": "cls",
    "max": "max",
    "mean": "mean",
    "mean_sqrt_len_tokens": "mean_sqrt_len",
    "weightedmean": "weighted_mean",
    "lasttoken": "last",
}
_MODULES = ("Transformer", "Pooling", "Dense", "Normalize", "Dropout")  # Dropout is for training
_ACTIVATIONS = ("identity", "tanh", "relu", "gelu", "sigmoid")

# Types of models. The encoders are those of text with a masked-language-model head in transformers
# 5.23, whose own list takes seconds to import; of decoders, the table has how their types begin.
_TABLE = """
t5 t5 mt5 umt5
encoder albert bert big_bird camembert convbert data2vec-text deberta deberta-v2 distilbert
encoder electra ernie esm esmc eurobert flaubert fnet funnel gte ibert jina_embeddings_v3 layoutlm
encoder longformer luke megatron-bert mobilebert modernbert mpnet mra nomic_bert nystromformer
encoder rembert roberta roberta-prelayernorm roc_bert roformer squeezebert ultrabert xlm
encoder xlm-roberta xlm-roberta-xl xmod yoso
encoder-decoder bart led m2m_100 marian mbart mvp nllb-moe pegasus plbart
decoder apertus bloom codegen cohere deepseek exaone falcon gemma glm gpt granite llama mamba
decoder ministral mistral mixtral modernbert-decoder mpt nemotron olmo openai-gpt opt phi qwen
decoder smollm stablelm starcoder xglm xlnet
after-padding camembert data2vec-text esm ibert longformer luke mpnet roberta roberta-prelayernorm
after-padding xlm-roberta xlm-roberta-xl xmod
"""
_ROWS = [line.split() for line in _TABLE.strip().splitlines()]


def _types(kind: str) -> frozenset[str]:
    """Return the types of a kind of model."""
    return frozenset(name for label, *names in _ROWS if label == kind for name in names)


_T5_TYPES = _types("t5")
_ENCODERS = _types("encoder")
_ENCODER_DECODERS = _types("encoder-decoder")
_DECODERS = tuple(_types("decoder"))
_POSITIONS_AFTER_PADDING = _types("after-padding")  # the first token has position padding_idx + 1
_INCOMPLETE = "the folder is incomplete or damaged: fetch the model again"


@dataclass(frozen=True, kw_only=True)
class DenseLayer:
    """A linear layer with an activation, after pooling.

    Attributes
    ----------
    weights : Path
        Folder with ``model.safetensors`` or ``pytorch_model.bin``: ``linear.weight``
        (out_dim, in_dim) and, if ``bias``, ``linear.bias`` (out_dim).
    activation : str
        Lower-case name: "identity", "tanh", "relu", "gelu", "sigmoid".
    """

    weights: Path
    in_dim: int
    out_dim: int
    bias: bool
    activation: str


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
    folder: Path, *, prompt: str | None = None, max_length: int | None = None,
    pooling: Pooling | None = None, known_prompt: str = "", trust_remote_code: bool = False,
) -> Description:  # fmt: skip
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
    modules = _list_modules(folder)
    transformer = modules[0][1] if modules else folder
    config = _read_config(transformer)
    model_type = _model_type(transformer, config)
    remote_code = _needs_code(transformer, config, trusted=trust_remote_code)
    settings = _transformer_settings(transformer)
    hidden_dim = _number(config, "hidden_size", "d_model", "dim", "emb_dim", "n_embd")
    if hidden_dim is None:
        raise _damaged(transformer / "config.json", "does not tell the size of hidden states")
    poolings, pool_prompt = (
        _read_pooling(modules[1][1]) if modules else ((pooling or "mean",), True)
    )
    if pooling and poolings != (pooling,):
        raise UsageError(
            f"{folder} pools by {' and '.join(poolings)}, not by {pooling}",
            hint="leave the pooling out: the model's own files say it",
        )
    head = tuple(_read_step(name, place) for name, place in modules[2:] if name != "Dropout")
    default_prompt, prompts = _read_prompts(folder)
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
        dim=_out_dim(head, hidden_dim * len(poolings)),
        remote_code=remote_code,
    )


def read_licence(folder: Path) -> str:
    """Return the licence that the folder's model card names; "" if it names none."""
    return ", ".join(_from_card(folder, "license"))


def read_languages(folder: Path) -> frozenset[str]:
    """Return the languages that the folder's model card names, as `normalise_language` does."""
    codes = {normalise_language(code) for code in _from_card(folder, "language")}
    return frozenset(codes - {"multilingual", ""})


def _from_card(folder: Path, key: str) -> list[str]:
    """Return what the YAML at the head of README.md has under a key; nothing if it is not YAML."""
    yaml = importlib.import_module("yaml")
    try:
        text = (folder / "README.md").read_text("utf-8-sig", errors="replace")
        matter = re.match(r"---[ \t]*\n(.*?\n)---[ \t]*(?:\n|$)", text, re.DOTALL)
        # BaseLoader leaves strings alone: elsewhere in YAML `no` is not Norwegian, but false.
        card = yaml.load(matter[1], yaml.BaseLoader) if matter else None
    except (OSError, yaml.YAMLError, RecursionError):
        return []
    value = card.get(key) if isinstance(card, dict) else None
    values = value if isinstance(value, list) else [value]
    return [value for value in values if isinstance(value, str) and value]


def _read_config(folder: Path) -> dict[str, Any]:
    """Read the transformer's config.json, or tell what the folder is instead."""
    if (folder / "config.json").is_file():
        return _read_object(folder / "config.json")
    if (folder / "adapter_config.json").is_file():
        raise EncoderError(
            f"{folder} holds an adapter only, without the model that it changes",
            hint="`bitextmine models pull` merges an adapter into its model",
        )
    raise EncoderError(
        f"{folder} holds no model: it has no config.json"
        if folder.is_dir()
        else f"there is no folder {folder}",
        hint="give the folder with the model's config.json, tokenizer and weights",
    )


def _model_type(folder: Path, config: dict[str, Any]) -> str:
    """Return the type of an encoder; a model of another kind is refused by name."""
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise _damaged(folder / "config.json", "names no model_type")
    listed = config.get("architectures")
    classes = [str(name) for name in listed] if isinstance(listed, list) else []
    encodes = model_type in _ENCODERS or any(name.endswith("ForMaskedLM") for name in classes)
    writes = model_type.startswith(_DECODERS) or any(
        name.endswith(("ForCausalLM", "LMHeadModel")) for name in classes
    )
    if model_type in _T5_TYPES:
        return model_type
    if model_type in _ENCODER_DECODERS or config.get("is_encoder_decoder"):
        kind = "an encoder-decoder model"
    elif config.get("is_decoder") or (writes and not encodes):
        kind = "a decoder-only model"
    elif encodes or "auto_map" in config:
        return model_type
    else:
        kind = "which is not an encoder of text that we know"
    raise EncoderError(
        f"{folder} is of type '{model_type}', {kind}",
        hint="choose an encoder: a model of the type of BERT, XLM-R or ModernBERT, or a T5",
    )


def _needs_code(folder: Path, config: dict[str, Any], *, trusted: bool) -> bool:
    """Tell whether model or tokenizer need Python code of their folder; refuse it untrusted."""
    tokenizer = _read_object(folder / "tokenizer_config.json", optional=True)
    needed = bool(config.get("auto_map") or tokenizer.get("auto_map"))
    if needed and not trusted:
        raise EncoderError(
            f"{folder} needs Python code of its own to run",
            hint="--trust-remote-code if you trust its authors",
        )
    return needed


def _list_modules(folder: Path) -> list[tuple[str, Path]]:
    """List sentence-transformers' modules as (class, folder); none where it has not been.

    A list starts with the transformer and its pooling.
    """
    if not (folder / "modules.json").is_file():
        return []
    listed = _read_json(folder / "modules.json")
    modules = []
    for module in listed if isinstance(listed, list) else [None]:
        if not isinstance(module, dict) or not isinstance(module.get("type"), str):
            raise _damaged(folder / "modules.json", "is not a list of modules")
        package, _, name = module["type"].rpartition(".")
        ours = package.startswith("sentence_transformers.")
        if not ours or name not in _MODULES:
            raise _unsupported(folder, f"a module '{name if ours else module['type']}'")
        place = PurePosixPath(str(module.get("path", "")))
        if place.is_absolute() or ".." in place.parts:
            raise _damaged(folder / "modules.json", f"leads out of the folder, to {place}")
        modules.append((name, folder / place))
    names = [name for name, _ in modules]
    if names[:2] != ["Transformer", "Pooling"] or {"Transformer", "Pooling"} & {*names[2:]}:
        raise _unsupported(folder, f"the modules {', '.join(names) or 'none'}, an order")
    return modules


def _transformer_settings(folder: Path) -> dict[str, Any]:
    """Read what sentence-transformers knows of the transformer, under any name it had for that."""
    for path in sorted(folder.glob("sentence_*_config.json")):
        settings = _read_object(path)
        modalities = _part(settings, "modality_config")
        output = _part(modalities, "text").get("method_output_name", "last_hidden_state")
        if (
            settings.get("transformer_task", "feature-extraction") != "feature-extraction"
            or output not in ("last_hidden_state", ["last_hidden_state"])
            or "message" in modalities
        ):
            raise _unsupported(folder, f"in {path.name} a use of the model")
        return settings
    return {}


def _read_pooling(folder: Path) -> tuple[tuple[Pooling, ...], bool]:
    """Read the poolings in order, and whether they include the prompt."""
    settings = _read_object(folder / "config.json")
    modes = settings.get("pooling_mode")
    if modes is None:
        on = [key for key, value in settings.items() if key.startswith("pooling_mode_") and value]
        modes = sorted(on, key=[*_POOLINGS, *on].index) or ["mean"]
    modes = [modes] if isinstance(modes, str) else modes
    if not isinstance(modes, list) or not modes:
        raise _damaged(folder / "config.json", "names no pooling")
    if strange := [str(mode) for mode in modes if str(mode) not in _POOLINGS]:
        raise _unsupported(folder, f"a pooling '{strange[0]}'")
    return tuple(_POOLINGS[mode] for mode in modes), bool(settings.get("include_prompt", True))


def _read_step(name: str, folder: Path) -> DenseLayer | Literal["normalise"]:
    """Read a module that stands after pooling."""
    settings = _read_object(folder / "config.json", optional=name == "Normalize")
    ends = [settings.get(f"module_{end}_name") for end in ("input", "output")]
    if any(end not in (None, "sentence_embedding") for end in ends):
        raise _unsupported(folder, f"a module '{name}' of something other than sentences")
    if name == "Normalize":
        return "normalise"
    if settings.get("use_residual"):
        raise _unsupported(folder, "a module 'Dense' with a residual connection")
    in_dim, out_dim = _number(settings, "in_features"), _number(settings, "out_features")
    if in_dim is None or out_dim is None:
        raise _damaged(folder / "config.json", "does not tell the size of the layer")
    # Without a word the library takes tanh; a class of torch is the only thing it trusts.
    function = settings.get("activation_function", "torch.nn.modules.activation.Tanh")
    package, _, activation = str(function or "torch.nn.Identity").lower().rpartition(".")
    if not package.startswith("torch.nn") or activation not in _ACTIVATIONS:
        raise _unsupported(folder, f"an activation function '{function}'")
    return DenseLayer(
        weights=folder,
        in_dim=in_dim,
        out_dim=out_dim,
        bias=bool(settings.get("bias", True)),
        activation=activation,
    )


def _out_dim(head: tuple[DenseLayer | Literal["normalise"], ...], dim: int) -> int:
    """Follow the size of a vector through the head."""
    for step in head:
        if isinstance(step, DenseLayer):
            if step.in_dim != dim:
                problem = f"takes vectors of size {step.in_dim}, but gets {dim}"
                raise _damaged(step.weights / "config.json", problem)
            dim = step.out_dim
    return dim


def _read_prompts(folder: Path) -> tuple[str | None, tuple[str, ...]]:
    """Read the default prompt, if there is one, and the names of all that say something."""
    path = folder / "config_sentence_transformers.json"
    settings = _read_object(path, optional=True)
    # The library has these two, empty, whatever the file says.
    prompts = {"query": "", "document": ""} | _part(settings, "prompts")
    default = settings.get("default_prompt_name")
    if default is not None and str(default) not in prompts:
        raise _damaged(path, f"has no prompt '{default}', which it makes the default")
    names = tuple(name for name, text in prompts.items() if text)
    return None if default is None else str(prompts[str(default)] or ""), names


def _max_length(
    folder: Path, config: dict[str, Any], settings: dict[str, Any], asked: int | None
) -> int:
    """Choose how many tokens are read: never more than the model has positions for."""
    positions = _positions(config)
    if asked is not None:
        if asked < 3 or (positions and asked > positions):
            raise UsageError(
                f"{folder} cannot read sentences of up to {asked} tokens",
                hint=f"choose a length from 3 to {positions} tokens"
                if positions
                else "choose a length of 3 tokens or more",
            )
        return asked
    processing = _part(settings, "processing_kwargs")
    tokenizer = _read_object(folder / "tokenizer_config.json", optional=True)
    lengths = (  # the first wins, as in sentence-transformers
        _number(_part(processing, "text"), "max_length"),
        _number(_part(processing, "common"), "max_length"),
        _number(_part(settings, "processor_kwargs"), "model_max_length"),
        _number(_part(settings, "tokenizer_args"), "model_max_length"),
        _number(settings, "max_seq_length"),
        _number(tokenizer, "model_max_length"),
    )
    # A tokenizer without a limit says 10 to the power of 30.
    length = next((n for n in lengths if n and n < 1e6), positions or 512)
    return min(length, positions or length)


def _positions(config: dict[str, Any]) -> int | None:
    """Return the most tokens that the model has positions for; None if there is no such limit."""
    if config["model_type"] in _T5_TYPES:
        return None
    positions = _number(config, "max_position_embeddings", "n_positions")
    if positions is None or config["model_type"] not in _POSITIONS_AFTER_PADDING:
        return positions
    padding = config.get("pad_token_id")
    return max(1, positions - (padding if isinstance(padding, int) else 1) - 1)


def _number(settings: dict[str, Any], *names: str) -> int | None:
    """Return the first of these settings that is a positive number."""
    for name in names:
        value = settings.get(name)
        if isinstance(value, int | float) and 1 <= value < math.inf:
            return int(value)
    return None


def _part(settings: dict[str, Any], name: str) -> dict[str, Any]:
    """Return settings within settings; none if they are not there."""
    part = settings.get(name)
    return part if isinstance(part, dict) else {}


def _read_object(path: Path, *, optional: bool = False) -> dict[str, Any]:
    """Read a JSON object; an optional one may be missing."""
    if optional and not path.is_file():
        return {}
    content = _read_json(path)
    if not isinstance(content, dict):
        raise _damaged(path, "is not a JSON object")
    return content


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise _damaged(path, f"cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "is not JSON") from error


def _damaged(path: Path, problem: str) -> EncoderError:
    return EncoderError(f"{path} {problem}", hint=_INCOMPLETE)


def _unsupported(folder: Path, what: str) -> EncoderError:
    return EncoderError(
        f"{folder} has {what} that is not supported",
        hint="choose a model with pooling, dense layers and normalisation after its transformer",
    )
