"""The README's commands are run, and what it shows is what they print."""

import gzip
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import zstandard

README = Path(__file__).parents[1] / "README.md"
DATA = Path(__file__).parent / "data"

pytestmark = pytest.mark.encoder


def blocks(language: str) -> list[str]:
    """Return the code blocks of one language."""
    return re.findall(rf"```{language}\n(.*?)```", README.read_text("utf-8"), re.DOTALL)


def commands() -> list[str]:
    """Return every bitextmine command of the README, in order, lines joined."""
    lines = "\n".join(blocks("sh")).replace("\\\n", " ").splitlines()
    return [
        line.partition("  #")[0] for line in lines if re.match(r"(zcat .*\| )?bitextmine ", line)
    ]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with every file that the README's commands name."""
    root = tmp_path_factory.mktemp("it's the reader's folder")
    sides = {lang: (DATA / f"pairs.{lang}").read_bytes() for lang in ("de", "en")}
    (root / "news").mkdir()
    for lang, content in sides.items():
        lines = content.decode().splitlines()
        (root / f"{lang}.txt").write_bytes(content)
        (root / f"{lang}.gz").write_bytes(gzip.compress(content))
        packed = zstandard.ZstdCompressor().compress(content)
        for name in (f"{lang}.txt.zst", f"{lang}.1.zst", f"news/a.{lang}.zst"):
            (root / name).write_bytes(packed)
        rows = "".join(f"{lang}-{n}\t{line}\n" for n, line in enumerate(lines))
        (root / f"x.{lang}").write_text(rows, "utf-8")
        objects = [{"body": line, "url": f"https://{lang}/{n}"} for n, line in enumerate(lines)]
        name = {"de": "a.jsonl", "en": "b.jsonl"}[lang]
        (root / name).write_text("".join(json.dumps(o) + "\n" for o in objects), "utf-8")
    gold = "".join(f"de-{n}\ten-{n}\n" for n in range(len(sides["de"].splitlines())))
    (root / "x.gold").write_text(gold, "utf-8")
    columns = zip(*(sides[lang].decode().splitlines() for lang in ("de", "en")), strict=True)
    rows = "".join(f"{n}\t{de}\t{en}\n" for n, (de, en) in enumerate(columns))
    (root / "a.tsv").write_text(rows, "utf-8")
    return root


def shell(command: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    environment = {**os.environ, "PATH": path, "DATA": ".", "SCRATCH": "scratch"}
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", command],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_there_are_commands_to_run() -> None:
    assert len(commands()) > 10


@pytest.mark.parametrize("command", commands())
def test_a_command_of_the_readme_works(command: str, folder: Path) -> None:
    done = shell(command, folder)
    assert done.returncode == 0, done.stderr
    assert "error" not in done.stderr


def test_the_demo_prints_what_the_readme_shows(folder: Path) -> None:
    shown = re.search(r"<!-- demo -->\n```text\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert shown is not None
    done = shell("bitextmine demo", folder)
    *pairs, summary = (done.stdout + done.stderr).splitlines()
    *shown_pairs, shown_summary = shown[1].splitlines()
    # Another processor rounds a little differently: scores and counts may move a little.
    for pair, shown_pair in zip(pairs, shown_pairs, strict=True):
        (score, *texts), (shown_score, *shown_texts) = pair.split("\t"), shown_pair.split("\t")
        assert texts == shown_texts
        assert float(score) == pytest.approx(float(shown_score), abs=1e-3)
    number = re.compile(r"\d+(\.\d+)?")
    assert number.sub("N", summary) == number.sub("N", shown_summary)
    assert int(summary.split()[0]) == pytest.approx(int(shown_summary.split()[0]), abs=5)


def test_the_python_of_the_readme_works(folder: Path) -> None:
    (snippet,) = blocks("python")
    done = shell(f"python - <<'END'\n{snippet}END\n", folder)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 3
