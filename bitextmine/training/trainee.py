"""The encoder while it is trained: loaded by transformers, adapted by peft, pooled as in use."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from bitextmine.arrays import Floats
from bitextmine.checkpoints.description import Description
from bitextmine.encoders.transformer.backbone import is_unused, load_transformer
from bitextmine.encoders.transformer.heads import Head
from bitextmine.encoders.transformer.tokens import Tokeniser, load_tokeniser
from bitextmine.errors import UsageError
from bitextmine.machine import CPU
from bitextmine.training.choices import TrainConfig

# Names of the matrices that make queries and values, in the families of encoders.
_TARGETS = (
    ("q", "v"),
    ("query", "value"),
    ("query_proj", "value_proj"),
    ("q_lin", "v_lin"),
    ("Wqkv",),  # ModernBERT makes keys with them, in one matrix.
)
_DEV_BATCH_SENTENCES = 64


@dataclass(frozen=True)
class Vectoriser:
    """Everything about sentence vectors but the transformer: tokens before it, pooling behind.

    Attributes
    ----------
    tokeniser : Tokeniser
        The same as in use, so that training and mining see the same tokens.
    pooling : str
        "mean" or "cls".
    head : Head
        What follows pooling in the model's files; frozen.
    padding : int
        Token id.
    skip : int
        Leading tokens that are not pooled.
    """

    tokeniser: Tokeniser
    pooling: str
    head: Head
    padding: int
    skip: int = 0

    def tokens(self, sentences: Sequence[str]) -> dict[str, Tensor]:
        """Return ``input_ids`` and ``attention_mask``, int64 (n, longest), padded at the end."""
        encoded = self.tokeniser.encode(list(sentences))
        lengths = encoded.lengths
        longest = int(lengths.max(initial=1))
        ids = np.full((len(lengths), longest), self.padding, dtype=np.int64)
        mask = np.arange(longest) < lengths[:, None]
        ids[mask] = encoded.ids
        return {
            "input_ids": torch.from_numpy(ids),
            "attention_mask": torch.from_numpy(mask.astype(np.int64)),
        }

    def vectors(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Pool the states of tokens (n, length, d) to vectors (n, dim) in float32."""
        states = hidden.float()
        if self.pooling == "cls":
            pooled = states[:, self.skip]
        else:
            weights = mask.float()
            if self.skip:
                weights = weights.clone()
                weights[:, : self.skip] = 0
            weights = weights.unsqueeze(-1)
            pooled = (states * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
        vectors: Tensor = self.head(pooled)
        return vectors


def embed(model: Any, vectoriser: Vectoriser, inputs: dict[str, Tensor]) -> Tensor:
    """Return the vectors (n, dim) in float32 of token ids and their mask."""
    hidden = model(input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"])
    return vectoriser.vectors(hidden.last_hidden_state, inputs["attention_mask"])


@torch.no_grad()
def encode_sentences(model: Any, vectoriser: Vectoriser, sentences: Sequence[str]) -> Floats:
    """Encode sentences as mining would, longest first; leaves the model in the mode it was in."""
    training, device = model.training, next(model.parameters()).device
    model.eval()
    order = sorted(range(len(sentences)), key=lambda i: -len(sentences[i]))
    found = np.zeros((len(sentences), 0), dtype=np.float32)
    for start in range(0, len(order), _DEV_BATCH_SENTENCES):
        rows = order[start : start + _DEV_BATCH_SENTENCES]
        tokens = vectoriser.tokens([sentences[row] for row in rows])
        inputs = {name: tensor.to(device) for name, tensor in tokens.items()}
        vectors = embed(model, vectoriser, inputs).cpu().numpy()
        if not found.shape[1]:
            found = np.zeros((len(sentences), vectors.shape[1]), dtype=np.float32)
        found[rows] = vectors
    model.train(training)
    return found


def load_trainee(description: Description, config: TrainConfig, dtype: torch.dtype) -> Any:
    """Load the transformer, ready to be trained: all of it, or an adapter on frozen weights.

    Weights that are trained are float32; frozen ones are in the type given.

    Raises
    ------
    EncoderError
        The folder's weights are not those of its config.
    UsageError
        The adapter's target modules are not in the model.
    """
    full = config.method == "full"
    held = torch.float32 if full else dtype
    model = load_transformer(description, CPU, held, config.trust_remote_code)
    if config.gradient_checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    if full:
        for name, parameter in model.named_parameters():
            # Gradients never reach these, which several processes would wait for.
            parameter.requires_grad_(not is_unused(name))
        return model
    return _adapted(model, config)


def _adapted(model: Any, config: TrainConfig) -> Any:
    """Put a fresh adapter on a model; its weights depend on the seed alone."""
    from peft import LoraConfig, get_peft_model

    targets = list(config.lora_targets) or _found_targets(model)
    torch.manual_seed(config.seed)
    settings: dict[str, Any] = {
        "r": config.lora_r,
        "lora_alpha": config.lora_alpha,
        "lora_dropout": config.lora_dropout,
        "target_modules": targets,
        "bias": "none",
        "task_type": "FEATURE_EXTRACTION",
    }
    try:
        return get_peft_model(model, LoraConfig(**settings))
    except ValueError as error:
        raise UsageError(
            f"the model has no modules {', '.join(targets)}",
            hint="name its linear layers with --lora-targets",
        ) from error


def _found_targets(model: Any) -> list[str]:
    """Return the names of the query and value matrices."""
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    for targets in _TARGETS:
        if names.issuperset(targets):
            return list(targets)
    raise UsageError(
        "which layers of this model make queries and values is not known",
        hint="name its linear layers with --lora-targets",
    )


def make_vectoriser(description: Description, config: TrainConfig, skip: int) -> Vectoriser:
    """Build what surrounds the transformer.

    Raises
    ------
    UsageError
        The model pools in a way that has no gradient worth the name here.
    """
    if description.poolings not in (("mean",), ("cls",)):
        raise UsageError(
            f"{description.folder} pools by {' and '.join(description.poolings)}",
            hint="train a model that takes the mean or the first token",
        )
    from transformers import AutoConfig

    settings = AutoConfig.from_pretrained(
        description.folder, local_files_only=True, trust_remote_code=config.trust_remote_code
    )
    return Vectoriser(
        tokeniser=load_tokeniser(
            description.folder,
            model_type=description.model_type,
            max_length=description.max_length,
            prompt=description.prompt,
            lowercase=description.lowercase,
            threads=max(config.threads, 1),
            trust_remote_code=config.trust_remote_code,
        ),
        pooling=description.poolings[0],
        head=Head.load(description),
        padding=int(settings.pad_token_id or 0),
        skip=skip,
    )
