"""A whole mT5 of random weights, its tokenizer, and a LoRA adapter that peft has saved."""

import importlib
import io
from pathlib import Path
from typing import Any

import torch

VOCABULARY = 384
SMALL = {"d_model": 32, "d_kv": 8, "d_ff": 48, "num_layers": 2, "num_heads": 3}  # inner 24, not 32
SHAPES = {  # the five sizes of mT5, scaled down: d_model, heads, d_ff, layers
    "small": SMALL,
    "base": {"d_model": 48, "d_kv": 4, "d_ff": 128, "num_layers": 3, "num_heads": 12},
    "large": {"d_model": 64, "d_kv": 4, "d_ff": 176, "num_layers": 4, "num_heads": 16},
    "xl": {"d_model": 64, "d_kv": 2, "d_ff": 160, "num_layers": 4, "num_heads": 32},
    "xxl": {"d_model": 128, "d_kv": 2, "d_ff": 320, "num_layers": 4, "num_heads": 64},
}


def save_base(folder: Path, **sizes: int) -> Path:
    """Save a random encoder-decoder as safetensors, with ``spiece.model``; returns the folder."""
    transformers: Any = importlib.import_module("transformers")
    torch.manual_seed(7)
    config = transformers.MT5Config(
        vocab_size=VOCABULARY, num_decoder_layers=1, tie_word_embeddings=False, **(sizes or SMALL)
    )
    transformers.MT5ForConditionalGeneration(config).save_pretrained(folder)
    (folder / "spiece.model").write_bytes(spiece())
    return folder


def spiece() -> bytes:
    """Train a small SentencePiece model with byte fallback, special tokens as in mT5."""
    trainer: Any = importlib.import_module("sentencepiece").SentencePieceTrainer
    model = io.BytesIO()
    words = "the old river runs past seven quiet houses and der alte Fluss zieht an Häusern vorbei"
    trainer.train(
        sentence_iterator=iter([words] * 20),
        model_writer=model,
        vocab_size=340,
        byte_fallback=True,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        minloglevel=2,
    )
    return model.getvalue()


def adapted(base: Path, folder: Path, **settings: Any) -> Any:
    """Return the encoder with a random adapter, which is saved to ``folder``; both in float32."""
    transformers: Any = importlib.import_module("transformers")
    encoder = transformers.MT5EncoderModel.from_pretrained(base, dtype=torch.float32)
    return with_adapter(encoder, folder, **({"target_modules": ["q", "v"]} | settings))


def with_adapter(model: Any, folder: Path, **settings: Any) -> Any:
    """Put a random adapter on any model and save it; returns peft's model."""
    peft: Any = importlib.import_module("peft")
    torch.manual_seed(11)
    model = peft.get_peft_model(model, peft.LoraConfig(**({"r": 4, "lora_alpha": 6} | settings)))
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    return model.eval()
