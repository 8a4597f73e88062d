"""Kinds of models: which types are encoders of text, and how many positions they have."""

from pathlib import Path
from typing import Any

from bitextmine.checkpoints.json_files import damaged_settings, number, read_object
from bitextmine.errors import EncoderError

WEIGHTS = "model.safetensors"

# Types of models. The encoders are those of text with a masked-language-model head in transformers
# 5.23, whose own list takes seconds to import; of decoders, the table has how their types begin.
_TABLE = """
encoder albert bert big_bird camembert convbert data2vec-text deberta deberta-v2 distilbert
encoder electra ernie esm esmc eurobert flaubert fnet gte ibert jina_embeddings_v3 layoutlm
encoder longformer luke megatron-bert mobilebert modernbert mpnet mra nomic_bert nystromformer
encoder rembert roberta roberta-prelayernorm roc_bert roformer squeezebert ultrabert xlm
encoder xlm-roberta xlm-roberta-xl xmod yoso
encoder-decoder bart led m2m_100 marian mbart mvp nllb-moe pegasus plbart
decoder apertus bloom codegen cohere deepseek exaone falcon gemma glm gpt granite llama mamba
decoder ministral mistral mixtral modernbert-decoder mpt nemotron olmo openai-gpt opt phi qwen
decoder smollm stablelm starcoder xglm xlnet
pooled funnel
absolute albert bert camembert data2vec-text electra ernie layoutlm megatron-bert mra nystromformer
absolute roberta roberta-prelayernorm roc_bert xlm-roberta xlm-roberta-xl xmod yoso
after-padding camembert data2vec-text esm ibert longformer luke mpnet roberta roberta-prelayernorm
after-padding xlm-roberta xlm-roberta-xl xmod
"""
_ROWS = [line.split() for line in _TABLE.strip().splitlines()]


def _types(kind: str) -> frozenset[str]:
    """Return the types of a kind of model."""
    return frozenset(name for label, *names in _ROWS if label == kind for name in names)


T5_CLASSES = {"t5": "T5EncoderModel", "mt5": "MT5EncoderModel", "umt5": "UMT5EncoderModel"}
T5_TYPES = frozenset(T5_CLASSES)
T5_SHARED_BIAS = ("t5", "mt5")  # whose layers have one position bias; umT5's have one each
_ENCODERS = _types("encoder")
_ENCODER_DECODERS = _types("encoder-decoder")
_DECODERS = tuple(_types("decoder"))
_POOLED = _types("pooled")  # have fewer states than tokens
_ABSOLUTE = _types("absolute")  # had relative positions too, which transformers 5 passes over
_POSITIONS_AFTER_PADDING = _types("after-padding")  # the first token has position padding_idx + 1


def model_type_of(folder: Path, config: dict[str, Any]) -> str:
    """Return the type of an encoder.

    Raises
    ------
    EncoderError
        The model is of another kind, or has what transformers would read from elsewhere or pass
        over; it is named.
    """
    _refuse_other_weights(folder, config)
    model_type = config.get("model_type")
    if not isinstance(model_type, str):
        raise damaged_settings(folder / "config.json", "names no model_type")
    listed = config.get("architectures")
    classes = [str(name) for name in listed] if isinstance(listed, list) else []
    encodes = model_type in _ENCODERS or any(name.endswith("ForMaskedLM") for name in classes)
    writes = model_type.startswith(_DECODERS) or any(
        name.endswith(("ForCausalLM", "LMHeadModel")) for name in classes
    )
    if model_type in T5_TYPES:
        return model_type
    _refuse_relative_positions(folder, config)
    if model_type in _ENCODER_DECODERS or config.get("is_encoder_decoder"):
        kind = "an encoder-decoder model"
    elif config.get("is_decoder") or (writes and not encodes):
        kind = "a decoder-only model"
    elif model_type in _POOLED:
        kind = "which pools its hidden states"
    elif encodes or "auto_map" in config:
        return model_type
    else:
        kind = "which is not an encoder of text that we know"
    raise EncoderError(
        f"{folder} is of type '{model_type}', {kind}",
        hint="choose an encoder: a model of the type of BERT, XLM-R or ModernBERT, or a T5",
    )


def _refuse_other_weights(folder: Path, config: dict[str, Any]) -> None:
    """Refuse a name for the weights: transformers would load a file that nobody has checked."""
    name = config.get("transformers_weights")
    if name is not None and name != WEIGHTS:
        raise EncoderError(
            f"{folder / 'config.json'} names {name!r} under transformers_weights as its weights",
            hint=f"rename the file to {WEIGHTS}, and remove the key from config.json",
        )


def _refuse_relative_positions(folder: Path, config: dict[str, Any]) -> None:
    """Refuse positions of a kind that transformers 5 would silently replace by absolute ones."""
    positions = config.get("position_embedding_type") or "absolute"
    own_code = "auto_map" in config  # which may know them
    if config["model_type"] in _ABSOLUTE and positions != "absolute" and not own_code:
        raise EncoderError(
            f"{folder} has position_embedding_type '{positions}', which transformers no longer has",
            hint="choose a model with absolute positions",
        )


def needs_code(folder: Path, config: dict[str, Any], *, trusted: bool) -> bool:
    """Tell whether model or tokenizer need Python code of their folder; refuse it untrusted."""
    tokenizer = read_object(folder / "tokenizer_config.json", optional=True)
    needed = bool(config.get("auto_map") or tokenizer.get("auto_map"))
    if needed and not trusted:
        raise EncoderError(
            f"{folder} needs Python code of its own to run",
            hint="--trust-remote-code if you trust its authors",
        )
    return needed


def positions_of(config: dict[str, Any]) -> int | None:
    """Return the most tokens that the model has positions for; None if there is no such limit."""
    if config["model_type"] in T5_TYPES:
        return None
    positions = number(config, "max_position_embeddings", "n_positions")
    if positions is None or config["model_type"] not in _POSITIONS_AFTER_PADDING:
        return positions
    padding = config.get("pad_token_id")
    return max(1, positions - (padding if isinstance(padding, int) else 1) - 1)
