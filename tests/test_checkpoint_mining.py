"""Mining with checkpoints through the command line: a small m-st5, other folders, many devices."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import psutil
import pytest
import small_models
from commands import explained, run
from tiny_t5 import adapted, save_base

from bitextmine.checkpoints.manifest import read_manifest
from bitextmine.workdir import Workdir

DATA = Path(__file__).parent / "data"
LANGS = ("--src-lang", "de", "--tgt-lang", "en")


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder in which m-st5 (a tiny one) has been pulled from local parts."""
    folder = tmp_path_factory.mktemp("models 'd'été")
    base, adapter = folder / "base", folder / "adapter"
    adapted(save_base(base), adapter)
    out = folder / "m-st5"
    pulled = run("models", "pull", "m-st5", "--base", base, "--adapter", adapter, "--out", out)
    assert pulled.exit_code == 0, pulled.output
    assert f"m-st5 is in {out}" in pulled.stderr
    return folder


def sides(tmp_path: Path, lines: int = 40) -> tuple[object, ...]:
    """Write that many lines of both languages, and return the flags that name them."""
    paths = []
    for lang in ("de", "en"):
        text = (DATA / f"pairs.{lang}").read_text("utf-8").splitlines()[:lines]
        paths.append(tmp_path / f"text.{lang}")
        paths[-1].write_text("\n".join(text) + "\n", "utf-8")
    return ("--src", paths[0], "--tgt", paths[1], *LANGS, "--threshold", "0")


def test_m_st5_is_found_where_it_was_pulled_and_its_licence_is_shown_once(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITEXTMINE_MODELS", str(models))
    out = tmp_path / "pairs.tsv"
    mined = run("mine", "--model", "m-st5", *sides(tmp_path), "--out", out)
    assert mined.exit_code == 0, mined.output
    assert mined.stderr.count("the weights of m-st5 are licensed CC-BY-NC-4.0") == 1
    card = json.loads(out.with_name("pairs.tsv.run.json").read_bytes())
    assert card["encoder"]["licence"] == "CC-BY-NC-4.0"
    assert any("CC-BY-NC-4.0" in warning for warning in card["warnings"])
    manifest = read_manifest(models / "m-st5")
    assert manifest is not None
    identity = card["encoder"]["identity"]
    assert identity["weights"].startswith("sha256:")
    assert (identity["computed"], identity["pooling"]) == ("float32", "mean")


def test_a_moved_folder_of_m_st5_is_the_same_model(models: Path, tmp_path: Path) -> None:
    work = tmp_path / "work"
    given = (*sides(tmp_path), "--workdir", work)
    first = run("mine", "--model", models / "m-st5", *given)
    assert first.exit_code == 0, first.output
    (models / "m-st5").rename(models / "elsewhere")
    (models / "elsewhere").rename(models / "m-st5")
    again = run("mine", "--model", models / "m-st5", *given)
    assert again.stdout == first.stdout


def test_without_m_st5_the_command_that_gets_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BITEXTMINE_MODELS", str(tmp_path))
    told = explained(run("mine", "--model", "m-st5", *sides(tmp_path)))
    assert "m-st5 is not on this machine" in told
    assert "`bitextmine models pull m-st5`" in told


def test_a_changed_model_is_refused_by_name(tmp_path: Path) -> None:
    folder = small_models.bert(tmp_path / "model")
    flags = (*sides(tmp_path), "--workdir", tmp_path / "work")
    assert run("mine", "--model", folder, *flags).exit_code == 0
    shard = Workdir(tmp_path / "work").shard("src", 0)
    shard.encoded.unlink()
    shard.embeddings.unlink()
    config = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 1e-3}))
    told = explained(run("mine", "--model", folder, *flags))
    assert "under other settings (weights: 'sha256:" in told


def test_a_changed_model_is_refused_when_all_is_encoded_too(tmp_path: Path) -> None:
    folder = small_models.bert(tmp_path / "model")
    flags = ("mine", "--model", folder, *sides(tmp_path), "--workdir", tmp_path / "work")
    assert run(*flags).exit_code == 0
    config = json.loads((folder / "config.json").read_bytes())
    (folder / "config.json").write_text(json.dumps(config | {"layer_norm_eps": 1e-3}))
    assert "under other settings (weights: 'sha256:" in explained(run(*flags))


def test_what_is_encoded_needs_the_model_no_more(tmp_path: Path) -> None:
    folder = small_models.bert(tmp_path / "model")
    flags = ("mine", "--model", folder, *sides(tmp_path), "--workdir", tmp_path / "work")
    first = run(*flags)
    assert first.exit_code == 0, first.output
    folder.rename(tmp_path / "away")
    again = run(*flags)
    assert (again.exit_code, again.stdout) == (0, first.stdout)


def test_pairs_do_not_depend_on_devices_and_shards(models: Path, tmp_path: Path) -> None:
    given = ("mine", "--model", models / "m-st5", *sides(tmp_path))
    one = run(*given)
    assert one.exit_code == 0, one.output
    two = run(*given, "--devices", "cpu,cpu", "--shard-size", 7)
    assert two.stdout == one.stdout
    assert len(one.stdout.splitlines()) > 5


def test_prompt_and_length_change_the_vectors_and_are_written_down(
    models: Path, tmp_path: Path
) -> None:
    vectors = []
    for name, more in (("a", ()), ("b", ("--prompt", "query: ")), ("c", ("--max-length", "5"))):
        work = tmp_path / name
        given = ("mine", "--model", models / "m-st5", *sides(tmp_path), *more)
        assert run(*given, "--workdir", work).exit_code == 0
        vectors.append(np.load(Workdir(work).shard("src", 0).embeddings, allow_pickle=False))
    card = json.loads((tmp_path / "c" / "run.json").read_bytes())
    assert card["counts"]["src"]["truncated"] == 40
    assert not np.allclose(vectors[0], vectors[1], atol=1e-2)
    assert not np.allclose(vectors[0], vectors[2], atol=1e-2)


@pytest.mark.parametrize(
    ("flags", "problem", "code"),
    [
        (("--devices", "cuda:0"), "there is no cuda:0 here", 1),
        (("--devices", "tpu"), "'tpu' is no device", 2),
        (("--devices", "cpu,cuda:0"), "mixes processor and GPUs", 2),
        (("--dtype", "float16"), "whose activations overflow it", 2),
        (("--max-length", "2"), "--max-length is 2", 2),
        (("--batch-tokens", "10"), "--batch-tokens is 10", 2),
    ],
)
def test_what_the_model_or_the_machine_cannot_do_is_refused(
    models: Path, tmp_path: Path, flags: tuple[str, ...], problem: str, code: int
) -> None:
    given = ("mine", "--model", models / "m-st5", *sides(tmp_path))
    assert problem in explained(run(*given, *flags), code)


@pytest.mark.parametrize("flag", ["--prompt", "--max-length", "--dtype"])
def test_an_embedded_encoder_has_no_such_choice(tmp_path: Path, flag: str) -> None:
    value = {"--prompt": "x", "--max-length": "9", "--dtype": "bfloat16"}[flag]
    told = explained(run("mine", "--model", "use-m3", *sides(tmp_path), flag, value), code=2)
    assert f"{flag} is given for use-m3" in told


def test_an_interrupt_ends_all_workers_and_the_run_goes_on_later(tmp_path: Path) -> None:
    folder = small_models.bert(tmp_path / "model")
    sentences = "".join(f"the river number {n} runs past house {n}\n" for n in range(6_000))
    for side in ("src", "tgt"):
        (tmp_path / side).write_text(sentences, "utf-8")
    command = [
        sys.executable, "-m", "bitextmine", "mine", "--model", str(folder), "--threshold", "0",
        "--src", str(tmp_path / "src"), "--tgt", str(tmp_path / "tgt"), *LANGS,
        "--devices", "cpu,cpu", "--workdir", str(tmp_path / "work"), "--shard-size", "1500",
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
    )
    while not list((tmp_path / "work").glob("*/shards/*/embeddings.*.part")):
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.05)
    workers = psutil.Process(process.pid).children(recursive=True)
    assert len(workers) >= 2
    os.killpg(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=30)
    assert process.returncode == 130, told
    assert b"Traceback" not in told
    assert not psutil.wait_procs(workers, timeout=10)[1]
    assert not (tmp_path / "work" / "encode.done.json").exists()
    again = subprocess.run(command, capture_output=True, check=False)
    assert again.returncode == 0, again.stderr
