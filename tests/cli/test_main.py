"""The commands that mine as a person meets them: help, errors in two lines, clean streams."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from commands import PROGRAM, explained, mine_toy, run

import bitextmine
from bitextmine.encode import stage as encode_stage
from bitextmine.search import stage as search_stage
from bitextmine.shard import stage as shard_stage

COMMANDS = ("mine", "shard", "encode", "search", "select", "demo")


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = run(*([command] if command else []), "--help")
    assert result.exit_code == 0
    assert f"bitextmine {command}".strip() in result.stdout.split("Usage:")[1]
    assert "Options:" in result.stdout


def test_the_version_is_told() -> None:
    assert run("--version").stdout.startswith("bitextmine, version ")


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from bitextmine.cli.main import main\n"
    code += "try: main(['mine', '--help'])\nexcept SystemExit: pass\n"
    code += "heavy = {'torch', 'numpy', 'transformers', 'zstandard', 'tqdm'} & set(sys.modules)\n"
    code += "print(sorted(heavy), file=sys.stderr)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_shell_completion_works() -> None:
    environment = {**os.environ, "_BITEXTMINE_COMPLETE": "bash_complete"}
    environment |= {"COMP_WORDS": "bitextmine mine --ret", "COMP_CWORD": "2"}
    program = Path(sys.executable).with_name("bitextmine")
    done = subprocess.run([program], env=environment, capture_output=True, text=True, check=False)
    assert "--retrieval" in done.stdout


@pytest.mark.usefixtures("toy")
def test_pairs_go_to_stdout_and_talk_to_stderr(src: Path, tgt: Path) -> None:
    result = mine_toy(src, tgt)
    rows = [line.split("\t") for line in result.stdout.splitlines()]
    assert result.exit_code == 0
    assert len(rows) > 10
    assert all(len(row) == 3 and float(row[0]) >= 1.02 for row in rows)
    assert result.stderr.splitlines()[-1].startswith(f"{len(rows)} pairs from 40 x 40 sentences in")


@pytest.mark.usefixtures("toy")
def test_a_side_may_be_stdin(src: Path, tgt: Path) -> None:
    assert mine_toy("-", tgt, stdin=src.read_bytes()).stdout == mine_toy(src, tgt).stdout


@pytest.mark.usefixtures("toy")
def test_the_stages_one_by_one_give_what_mine_gives(src: Path, tgt: Path, tmp_path: Path) -> None:
    work = ("--workdir", tmp_path / "work")
    for stage in (
        ("shard", "--src", src, "--tgt", tgt, "--shard-size", 15),
        ("encode", "--model", "toy", "--src-lang", "de", "--tgt-lang", "en"),
        ("search", "-k", "4"),
    ):
        assert run(*stage, *work).exit_code == 0
    assert run("select", *work).stdout == mine_toy(src, tgt).stdout
    again = run("select", *work, "--retrieval", "union", "--threshold", 0)
    assert again.stdout == mine_toy(src, tgt, "--retrieval", "union", "--threshold", 0).stdout


def test_a_stage_without_the_one_before_names_it(tmp_path: Path) -> None:
    for stage in ("encode", "search", "select"):
        told = explained(run(stage, "--workdir", tmp_path / "work"))
        assert "bitextmine shard --workdir" in told
    assert not (tmp_path / "work").exists()


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: None, "no such file"),
        (lambda path: path.mkdir(), "is a directory"),
        (lambda path: path.write_bytes(b""), "no usable sentence (0 lines read)"),
        (lambda path: path.write_bytes(b"\n\n \n"), "no usable sentence (3 lines read: 3 blank)"),
        (lambda path: path.write_bytes(b"\xff\xfea\0"), "UTF-16"),
        (lambda path: path.write_bytes(b"\x28\xb5\x2f\xfd\x24\x01"), "truncated: the zstd data"),
        (lambda path: path.write_bytes(b"\x1f\x8b\x08\0\0\0\0\0"), "truncated: the gzip data"),
    ],
)
def test_bad_input_is_told_in_two_lines_and_nothing_is_written(
    make: Callable[[Path], object], told: str, tgt: Path, tmp_path: Path
) -> None:
    path, out = tmp_path / "bad", tmp_path / "pairs.tsv"
    make(path)
    assert told in explained(mine_toy(path, tgt, "--out", out))
    assert not out.exists()
    assert not list(tmp_path.glob("*.json"))


@pytest.mark.usefixtures("toy")
def test_a_file_without_permission_is_told(src: Path, tgt: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read everything")
    src.chmod(0)
    assert "permission denied" in explained(mine_toy(src, tgt))


@pytest.mark.usefixtures("toy")
def test_damaged_lines_are_counted_and_named(src: Path, tgt: Path) -> None:
    src.write_bytes(src.read_bytes() + b"caf\xe9\nnul\0byte\n")
    result = mine_toy(src, tgt)
    assert result.exit_code == 0
    assert "rejected 1 line(s) as invalid_utf8 (line 41)" in result.stderr
    assert "mended 1 line(s) as control_characters (line 42)" in result.stderr


def test_an_unknown_model_is_told_with_those_there_are(src: Path, tgt: Path) -> None:
    told = explained(run("mine", "--src", src, "--tgt", tgt, "--model", "use-m4"))
    assert "use-m3" in told


@pytest.mark.usefixtures("toy")
def test_output_that_cannot_be_written_is_told(src: Path, tgt: Path, tmp_path: Path) -> None:
    told = explained(mine_toy(src, tgt, "--out", tmp_path / "missing" / "pairs.tsv"))
    assert "create the folder" in told
    assert "folder" in explained(mine_toy(src, tgt, "--out", tmp_path))


@pytest.mark.usefixtures("toy")
@pytest.mark.parametrize("flag", ["--out", "--rejects"])
def test_an_input_is_never_overwritten(flag: str, src: Path, tgt: Path, tmp_path: Path) -> None:
    before, link = src.read_bytes(), tmp_path / "link"
    link.symlink_to(src)
    for path in (src, link):
        told = explained(mine_toy(src, tgt, flag, path), code=2)
        assert f"{flag} would overwrite" in told
    assert src.read_bytes() == before


@pytest.mark.usefixtures("toy")
def test_outputs_never_overwrite_each_other(src: Path, tgt: Path, tmp_path: Path) -> None:
    out = tmp_path / "pp"
    same = (("--out", out), ("--rejects", out))
    assert "would overwrite" in explained(mine_toy(src, tgt, *same[0], *same[1]), code=2)
    moses = ("--format", "moses", "--out", out, "--rejects", tmp_path / "pp.tsv")
    assert "would overwrite" in explained(mine_toy(src, tgt, *moses), code=2)


@pytest.mark.encoder
def test_what_stands_in_a_file_behind_stdout_stays(tgt: Path, tmp_path: Path) -> None:
    kept = tmp_path / "all.tsv"
    kept.write_text("precious\n", "utf-8")
    command = [*PROGRAM, "mine", "--src", str(tgt), "--tgt", str(tgt), "--out", "/dev/stdout"]
    with kept.open("ab") as stdout:
        subprocess.run(command, stdout=stdout, stderr=subprocess.DEVNULL, check=True)
    lines = kept.read_text("utf-8").splitlines()
    assert lines[0] == "precious"
    assert len(lines) == 41
    assert not Path("/dev/stdout.run.json").exists()


@pytest.mark.usefixtures("toy")
def test_a_file_in_shared_memory_is_an_ordinary_file(src: Path, tgt: Path) -> None:
    if not Path("/dev/shm").is_dir():
        pytest.skip("this machine has no /dev/shm")
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        out = Path(folder) / "pairs.tsv"
        for _ in range(2):  # a second run replaces the file, and does not add to it
            assert mine_toy(src, tgt, "--out", out).exit_code == 0
            assert out.read_text("utf-8") == mine_toy(src, tgt).stdout
        assert (Path(folder) / "pairs.tsv.run.json").exists()


@pytest.mark.usefixtures("toy")
def test_links_that_lead_nowhere_are_told(src: Path, tgt: Path, tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to(tmp_path / "b")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    assert "too many levels of symbolic links" in explained(
        mine_toy(src, tgt, "--out", tmp_path / "a")
    )


@pytest.mark.usefixtures("toy")
def test_a_stage_that_died_is_not_taken_for_finished(
    src: Path, tgt: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    work = ("--workdir", tmp_path / "work")
    shard = ("shard", "--src", src, "--tgt", tgt, *work)
    encode = ("encode", "--model", "toy", "--src-lang", "de", "--tgt-lang", "en", *work)
    search = ("search", *work)
    stages = [
        (shard, encode, shard_stage, "build_shard"),
        (encode, search, encode_stage, "encode_shard"),
        (search, ("select", *work), search_stage, "merge_panel"),
    ]
    for stage, following, owner, task in stages:
        with monkeypatch.context() as patch:
            patch.setattr(owner, task, lambda *arguments, **named: 1 / 0)
            assert isinstance(run(*stage).exception, ZeroDivisionError)
        assert f"no finished results of the stage '{stage[0]}'" in explained(run(*following))
        assert run(*stage).exit_code == 0
    assert run("select", *work).exit_code == 0


@pytest.mark.usefixtures("toy")
def test_a_file_name_that_is_not_utf8_is_no_obstacle(src: Path, tgt: Path, tmp_path: Path) -> None:
    odd = tmp_path / os.fsdecode(b"caf\xe9.txt")
    odd.write_bytes(src.read_bytes() + b"\n")
    result = mine_toy(odd, tgt, "--rejects", tmp_path / "rejects", "--format", "jsonl")
    assert result.exit_code == 0
    assert b"caf\\udce9.txt\t41" in (tmp_path / "rejects").read_bytes()


@pytest.mark.usefixtures("toy")
def test_a_full_disk_is_told_and_the_run_goes_on_afterwards(
    src: Path, tgt: Path, tmp_path: Path
) -> None:
    small = tmp_path / "small"
    small.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(small)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("this machine lets us mount no small disk")
    try:
        told = explained(mine_toy(src, tgt, "--workdir", small / "work"))
        assert "no space left on device" in told
        assert "free some space" in told
        subprocess.run(["mount", "-o", "remount,size=4m", str(small)], check=True)
        result = mine_toy(src, tgt, "--workdir", small / "work")
        assert result.exit_code == 0, result.stderr
        assert result.stdout == mine_toy(src, tgt).stdout
    finally:
        subprocess.run(["umount", str(small)], check=True)


SAMPLE = Path(bitextmine.__file__).parent / "sample"


@pytest.mark.encoder
@pytest.mark.parametrize(
    "last",
    ["src/lines/0000.json", "tgt/shards/0000/shard.json", "src/shards/0000/embeddings.*.part"],
)
def test_a_killed_run_goes_on_to_the_same_bytes(last: str, tmp_path: Path) -> None:
    out, work = tmp_path / "pairs.tsv", tmp_path / "work"
    command = [*PROGRAM, "mine", "--src", str(SAMPLE / "sample.de.zst")]
    command += ["--tgt", str(SAMPLE / "sample.en.zst"), "--out", str(out), "--quiet"]
    subprocess.run(command, check=True)
    plain = out.read_bytes()
    out.unlink()
    with subprocess.Popen([*command, "--workdir", str(work)]) as process:
        while not any(work.glob(last)) and process.poll() is None:
            time.sleep(0.001)
        process.kill()
    assert not out.exists()
    subprocess.run([*command, "--workdir", str(work)], check=True)
    assert out.read_bytes() == plain
