"""Everything that a checkpoint's files say is read, and what we cannot do is refused by name."""

import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_files import BERT, MEAN, MT5, Files, modules, pooled, with_dense, write

from bitextmine.checkpoints.description import describe
from bitextmine.errors import BitextmineError, EncoderError, UsageError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "Modèle 'von' \"A\" 日本"


def test_a_plain_checkpoint_is_pooled_by_its_mean(folder: Path) -> None:
    found = describe(write(folder, {"config.json": BERT}))
    assert (found.folder, found.model_type, found.hidden_dim) == (folder, "bert", 8)
    assert (found.poolings, found.pool_prompt, found.head, found.dim) == (("mean",), True, (), 8)
    assert (found.prompt, found.prompts, found.lowercase) == ("", (), False)
    assert (found.max_length, found.remote_code) == (512, False)


def test_a_plain_checkpoint_is_pooled_as_asked(folder: Path) -> None:
    assert describe(write(folder, {"config.json": BERT}), pooling="cls").poolings == ("cls",)


def test_a_pooling_other_than_the_files_is_refused(folder: Path) -> None:
    write(folder, pooled(MEAN))
    assert describe(folder, pooling="mean").poolings == ("mean",)
    with pytest.raises(UsageError, match="pools by mean, not by cls"):
        describe(folder, pooling="cls")


@pytest.mark.parametrize(
    ("config", "files", "length"),
    [
        (BERT, {}, 512),
        (BERT, {"tokenizer_config.json": {"model_max_length": 256}}, 256),
        (BERT, {"tokenizer_config.json": {"model_max_length": 10**30}}, 512),
        (BERT, {"tokenizer_config.json": {"model_max_length": 1e30}}, 512),
        (BERT, {"tokenizer_config.json": {"model_max_length": 8192}}, 512),
        (BERT, {"sentence_bert_config.json": {"max_seq_length": 128}}, 128),
        (BERT, {"sentence_bert_config.json": {"max_seq_length": 4096}}, 512),
        (BERT, {"sentence_bert_config.json": {"max_seq_length": None}}, 512),
        (BERT, {"sentence_roberta_config.json": {"max_seq_length": 100}}, 100),
        (BERT, {"sentence_bert_config.json": {"tokenizer_args": {"model_max_length": 96}}}, 96),
        (BERT, {"sentence_bert_config.json": {"processor_kwargs": {"model_max_length": 9}}}, 9),
        (
            BERT,
            {"sentence_bert_config.json": {"processing_kwargs": {"text": {"max_length": 7}}}},
            7,
        ),
        (BERT | {"max_position_embeddings": 8192}, {}, 8192),
        (BERT | {"model_type": "roberta", "max_position_embeddings": 514}, {}, 512),
        (BERT | {"model_type": "xlm-roberta", "max_position_embeddings": 8194}, {}, 8192),
        (BERT | {"model_type": "camembert", "max_position_embeddings": 514}, {}, 512),
        (
            BERT | {"model_type": "mpnet", "max_position_embeddings": 514, "pad_token_id": 1},
            {},
            512,
        ),
        (MT5, {}, 512),
        (MT5, {"tokenizer_config.json": {"model_max_length": 10**30}}, 512),
        (MT5 | {"n_positions": 64}, {"sentence_bert_config.json": {"max_seq_length": 900}}, 900),
    ],
)
def test_the_length_is_the_first_said_within_the_positions(
    folder: Path, config: Files, files: Files, length: int
) -> None:
    write(folder, pooled(MEAN) | {"config.json": config} | files)
    assert describe(folder).max_length == length


def test_a_length_asked_for_wins_over_the_files(folder: Path) -> None:
    write(folder, {"config.json": BERT, "tokenizer_config.json": {"model_max_length": 128}})
    assert describe(folder, max_length=300).max_length == 300


@pytest.mark.parametrize("length", [513, 2, 0, -1])
def test_a_length_without_positions_names_the_most(folder: Path, length: int) -> None:
    write(folder, {"config.json": BERT})
    with pytest.raises(UsageError) as caught:
        describe(folder, max_length=length)
    assert caught.value.hint == "choose a length from 3 to 512 tokens"


def test_a_t5_has_no_limit(folder: Path) -> None:
    assert describe(write(folder, {"config.json": MT5}), max_length=5000).max_length == 5000


@pytest.mark.parametrize(
    ("asked", "files", "known", "used"),
    [
        (None, {}, "", ""),
        (None, {}, "query: ", "query: "),
        (None, {"prompts": {"query": "Q: "}, "default_prompt_name": None}, "known: ", "known: "),
        (None, {"prompts": {"query": "Q: "}, "default_prompt_name": "query"}, "known: ", "Q: "),
        (None, {"prompts": {}, "default_prompt_name": "document"}, "known: ", ""),
        ("mine: ", {"prompts": {"query": "Q: "}, "default_prompt_name": "query"}, "k: ", "mine: "),
        ("", {"prompts": {"query": "Q: "}, "default_prompt_name": "query"}, "k: ", ""),
    ],
)
def test_the_prompt_asked_for_wins_then_the_files_then_the_known_one(
    folder: Path, asked: str | None, files: Files, known: str, used: str
) -> None:
    write(folder, pooled(MEAN, **{"config_sentence_transformers.json": files}))
    assert describe(folder, prompt=asked, known_prompt=known).prompt == used


@pytest.mark.parametrize(
    ("files", "problem"),
    [
        ({"config.json": '{"model_type": "be'}, "config.json is not JSON"),
        ({"config.json": "[1]"}, "config.json is not a JSON object"),
        ({"config.json": {"model_type": "bert"}}, "does not tell the size"),
        ({"README.md": "# No model"}, "holds no model"),
        (pooled(MEAN, **{"modules.json": {"a": 1}}), "is not a list of modules"),
        ({"config.json": BERT, "modules.json": modules("Pooling")}, "cannot be read"),
    ],
)
def test_a_damaged_folder_is_told(folder: Path, files: Files, problem: str) -> None:
    with pytest.raises(EncoderError, match=problem):
        describe(write(folder, files))


def test_a_missing_folder_is_told(folder: Path) -> None:
    with pytest.raises(EncoderError, match="there is no folder"):
        describe(folder)


def test_an_adapter_alone_names_the_command_that_merges_it(folder: Path) -> None:
    write(folder, {"adapter_config.json": {"r": 8}})
    with pytest.raises(EncoderError, match="an adapter only") as caught:
        describe(folder)
    assert "bitextmine models merge" in caught.value.hint


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=6), inner),
    max_leaves=4,
)
NAMES = (
    "hidden_size max_position_embeddings architectures pad_token_id auto_map model_max_length"
    " pooling_mode include_prompt prompts default_prompt_name in_features out_features path"
    " activation_function module_input_name max_seq_length modality_config processing_kwargs"
)


@settings(max_examples=60, deadline=None)
@given(st.dictionaries(st.sampled_from(NAMES.split()), JSON))
def test_files_of_any_content_are_read_or_refused(strange: Files) -> None:
    with tempfile.TemporaryDirectory() as name:
        files = with_dense() | {
            "config_sentence_transformers.json": {},
            "sentence_bert_config.json": {},
            "tokenizer_config.json": {},
        }
        listed = [module | strange for module in modules("Pooling", "Dense")]
        changed = {path: said | strange for path, said in files.items() if isinstance(said, dict)}
        write(Path(name), changed | {"modules.json": listed})
        try:
            found = describe(Path(name))
        except BitextmineError:
            return
        assert found.max_length >= 1
        assert found.dim >= 1


def test_describing_loads_no_heavy_library(folder: Path) -> None:
    write(folder, with_dense() | {"README.md": "---\nlicense: mit\n---\n"})
    code = (
        "import sys; from pathlib import Path;"
        "from bitextmine.checkpoints.description import describe;"
        "from bitextmine.checkpoints.model_card import read_licence;"
        "describe(Path(sys.argv[1])); read_licence(Path(sys.argv[1]));"
        "print({'torch', 'transformers', 'sentence_transformers'} & set(sys.modules))"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, str(folder)], capture_output=True, text=True, check=True
    )
    assert ran.stdout.strip() == "set()"
