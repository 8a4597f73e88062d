"""Small random models as real folders: real tokenizers, real files, shapes that tell mistakes.

Every builder writes into ``folder`` and returns it. The transformers and sentence-transformers
libraries write all files themselves, so that a folder looks as one from the hub does. Weights are
random but large, so that sentences get vectors that differ.
"""

import importlib
import itertools
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

SENTENCES = (
    "Die Brücke ist seit Montag gesperrt.",
    "The bridge has been closed since Monday, and nobody knows why.",
    "Most je od pondělí uzavřen.",
    "Мост закрыт, потому что идёт дождь.",
    "橋は月曜日から閉鎖されています。",
    "Le pont est fermé depuis lundi ; les enfants passent par le village voisin.",
    "Children play in the yard.",
    "Yes.",
    "1,024 of 2,048 passengers were query: late",
)
"""What the tokenizers are trained on, beside every pair of these sentences."""

_VOCAB = 400
_STD = 0.2  # ten times the usual: random vectors that differ

Builder = Callable[[Path], Path]


def library(name: str) -> Any:
    """Import a library whose types mypy need not follow."""
    return importlib.import_module(name)


def bert(folder: Path, **changes: Any) -> Path:
    """Write a BERT with a WordPiece tokenizer; ``changes`` go to its config."""
    transformers = library("transformers")
    vocab = _train("WordPiece", ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"], "[UNK]")
    tokenizer = transformers.BertTokenizerFast(
        vocab=vocab, do_lower_case=False, model_max_length=64
    )
    return _write(folder, tokenizer, transformers.BertConfig, "BertModel", _BERT | changes)


def xlm_roberta(folder: Path, **changes: Any) -> Path:
    """Write an XLM-R with a unigram tokenizer, 62 tokens long: two positions are padding's."""
    transformers = library("transformers")
    pieces = _train("Unigram", ["<s>", "<pad>", "</s>", "<unk>", "<mask>"], "<unk>")
    tokenizer = transformers.XLMRobertaTokenizerFast(vocab=pieces, model_max_length=62)
    special = {"pad_token_id": 1, "bos_token_id": 0, "eos_token_id": 2, "type_vocab_size": 1}
    settings = _BERT | special | changes
    return _write(folder, tokenizer, transformers.XLMRobertaConfig, "XLMRobertaModel", settings)


def modernbert(folder: Path, **changes: Any) -> Path:
    """Write a ModernBERT with a byte-level BPE tokenizer; one layer is global, two are local."""
    transformers = library("transformers")
    tokenizer = transformers.PreTrainedTokenizerFast(
        tokenizer_object=_byte_level_bpe(),
        model_max_length=128,
        model_input_names=["input_ids", "attention_mask"],
        **{"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]"},
        **{"sep_token": "[SEP]", "mask_token": "[MASK]"},
    )
    special = {"pad_token_id": 0, "cls_token_id": 2, "sep_token_id": 3, "bos_token_id": 2}
    settings = _BERT | special | {
        "eos_token_id": 3,
        "num_hidden_layers": 3,
        "max_position_embeddings": 128,
        "local_attention": 8,
        "initializer_cutoff_factor": 3.0,
    }  # fmt: skip
    changed = settings | changes
    return _write(folder, tokenizer, transformers.ModernBertConfig, "ModernBertModel", changed)


def mt5(folder: Path, *, model: str = "MT5EncoderModel", **changes: Any) -> Path:
    """Write an mT5, of which ``model`` says the class: its encoder, or all of it.

    As in mt5-small, the heads together are wider than a token's state. The folder has a real
    ``spiece.model``, with byte fallback.
    """
    return _write_t5(folder, "MT5Config", model, _T5 | changes)


def t5(folder: Path, *, model: str = "T5EncoderModel", **changes: Any) -> Path:
    """Write a T5 of the first kind: ReLU, and no gate."""
    return _write_t5(folder, "T5Config", model, _T5 | {"feed_forward_proj": "relu"} | changes)


def plain_mean(base: Path, folder: Path) -> Path:
    """Add mean pooling to a model."""
    modules = _sentence_transformers("modules")
    return _save_modules(folder, [_transformer(base), modules.Pooling(_width(base), "mean")])


def labse(base: Path, folder: Path) -> Path:
    """Add what LaBSE has: the first token, a dense layer with tanh, unit length."""
    modules = _sentence_transformers("modules")
    width = _width(base)
    dense = modules.Dense(width, width, activation_function=library("torch").nn.Tanh())
    pooling = modules.Pooling(width, "cls")
    return _save_modules(folder, [_transformer(base), pooling, dense, modules.Normalize()])


def e5(base: Path, folder: Path, *, include_prompt: bool = True, **prompts: str) -> Path:
    """Add what E5 has: the mean, unit length; with prompts, of which "query" is the default."""
    modules = _sentence_transformers("modules")
    pooling = modules.Pooling(_width(base), "mean", include_prompt=include_prompt)
    chain = [_transformer(base), pooling, modules.Normalize()]
    default = {"default_prompt_name": "query"} if "query" in prompts else {}
    return _save_modules(folder, chain, prompts=prompts, **default)


def bge_m3(base: Path, folder: Path) -> Path:
    """Add what BGE-M3 has: the first token, unit length."""
    modules = _sentence_transformers("modules")
    pooling = modules.Pooling(_width(base), "cls")
    return _save_modules(folder, [_transformer(base), pooling, modules.Normalize()])


def all_poolings(base: Path, folder: Path) -> Path:
    """Add every pooling side by side, and a dense layer without bias that narrows them."""
    modules = _sentence_transformers("modules")
    pooling = modules.Pooling(_width(base), modules.Pooling.POOLING_MODES)
    gelu = library("torch").nn.GELU()
    dense = modules.Dense(6 * _width(base), 24, bias=False, activation_function=gelu)
    return _save_modules(folder, [_transformer(base), pooling, dense])


_BERT = {
    "vocab_size": _VOCAB,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 48,
    "max_position_embeddings": 64,
    "initializer_range": _STD,
}
_T5 = {
    "d_model": 32,
    "d_kv": 12,
    "num_heads": 4,  # 4 heads of 12 are wider than 32
    "d_ff": 48,
    "num_layers": 2,
    "vocab_size": _VOCAB + 300,  # rows beyond the tokenizer's, as in the real one
    "feed_forward_proj": "gated-gelu",
    "initializer_factor": 1.5,
}


def _texts() -> list[str]:
    """Enough text for a few hundred pieces."""
    return [" ".join(pair) for pair in itertools.product(SENTENCES, repeat=2)]


def _train(kind: str, special: list[str], unknown: str) -> Any:
    """Train a tokenizer; returns its vocabulary in the form that transformers takes."""
    models, trainers = library("tokenizers.models"), library("tokenizers.trainers")
    split = library("tokenizers.pre_tokenizers")
    if kind == "WordPiece":
        tokenizer = library("tokenizers").Tokenizer(models.WordPiece(unk_token=unknown))
        tokenizer.pre_tokenizer = split.BertPreTokenizer()
        trainer = trainers.WordPieceTrainer(vocab_size=_VOCAB, special_tokens=special)
    else:
        tokenizer = library("tokenizers").Tokenizer(models.Unigram())
        tokenizer.pre_tokenizer = split.Metaspace()
        trainer = trainers.UnigramTrainer(
            vocab_size=_VOCAB, special_tokens=special, unk_token=unknown, show_progress=False
        )
    tokenizer.train_from_iterator(_texts(), trainer)
    vocab = json.loads(tokenizer.to_str())["model"]["vocab"]
    return vocab if kind == "WordPiece" else [(piece, score) for piece, score in vocab]


def _byte_level_bpe() -> Any:
    """Train the tokenizer of a ModernBERT: bytes, pairs of them, and so on."""
    tokenizers, models = library("tokenizers"), library("tokenizers.models")
    split, processors = library("tokenizers.pre_tokenizers"), library("tokenizers.processors")
    tokenizer = tokenizers.Tokenizer(models.BPE(unk_token="[UNK]"))
    tokenizer.pre_tokenizer = split.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = library("tokenizers.decoders").ByteLevel()
    trainer = library("tokenizers.trainers").BpeTrainer(
        vocab_size=_VOCAB,
        special_tokens=["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"],
        initial_alphabet=split.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_texts(), trainer)
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]",
        pair="[CLS] $A [SEP] $B [SEP]",
        special_tokens=[("[CLS]", 2), ("[SEP]", 3)],
    )
    return tokenizer


def _write(folder: Path, tokenizer: Any, config: Any, model: str, settings: dict[str, Any]) -> Path:
    """Write a model with fresh weights, the same each time."""
    torch, transformers = library("torch"), library("transformers")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(20)
        fresh = getattr(transformers, model)(config(**settings))
    fresh.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _write_t5(folder: Path, config: str, model: str, settings: dict[str, Any]) -> Path:
    """Write a model of the T5 family, and its SentencePiece model as both files in use for it."""
    transformers = library("transformers")
    folder.mkdir(parents=True, exist_ok=True)
    spiece = train_sentencepiece(_texts(), folder / "spiece.model")
    trained = library("sentencepiece").SentencePieceProcessor(model_file=str(spiece))
    pieces = [(trained.id_to_piece(i), trained.get_score(i)) for i in range(len(trained))]
    tokenizer = transformers.T5TokenizerFast(vocab=pieces, extra_ids=0, model_max_length=64)
    return _write(folder, tokenizer, getattr(transformers, config), model, settings)


def train_sentencepiece(texts: Iterable[str], path: Path) -> Path:
    """Train a unigram SentencePiece model with byte fallback and T5's special ids; returns path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    library("sentencepiece").SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_prefix=str(path.with_suffix("")),
        vocab_size=_VOCAB + 100,
        hard_vocab_limit=False,
        byte_fallback=True,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        num_threads=1,
        minloglevel=2,
    )
    path.with_suffix(".vocab").unlink()  # a listing that no model folder has
    return path


def _sentence_transformers(part: str) -> Any:
    return library(f"sentence_transformers.sentence_transformer.{part}")


def _transformer(base: Path) -> Any:
    return _sentence_transformers("modules").Transformer(str(base))


def _width(base: Path) -> int:
    """Size of a token's hidden state."""
    config = json.loads((base / "config.json").read_bytes())
    return int(config.get("hidden_size") or config["d_model"])


def _save_modules(folder: Path, modules: list[Any], **settings: Any) -> Path:
    """Let sentence-transformers write the folder."""
    torch = library("torch")
    for module in modules[1:]:
        for number, parameter in enumerate(module.parameters()):
            noise = torch.Generator().manual_seed(number)
            torch.nn.init.normal_(parameter, std=_STD, generator=noise)
    whole = library("sentence_transformers").SentenceTransformer(
        modules=modules, device="cpu", **settings
    )
    whole.save(str(folder), create_model_card=False)
    return folder
