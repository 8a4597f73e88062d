"""`bitextmine eval` as a person at a terminal meets it."""

import csv
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result
from commands import explained, run
from toy import TOY_INFO, ToyEncoder, src_line, tgt_line

from bitextmine.encoders.registry import register_encoder, unregister_encoder

COMMANDS = ("tatoeba", "bucc", "xsts", "xsim")


@pytest.fixture(autouse=True)
def second_toy(toy: str) -> Iterator[str]:
    """Register two encoders: "toy", and "toy-2" whose own threshold is unknown."""
    info = replace(TOY_INFO, name="toy-2", threshold=None)

    class Second(ToyEncoder):
        pass

    Second.info = info
    register_encoder(info, lambda threads, device: Second())
    yield info.name
    unregister_encoder(info.name)


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Return a folder with the files of every evaluation."""
    folder = tmp_path / "données d'été"
    folder.mkdir()
    src, tgt = [src_line(n) for n in range(30)], [tgt_line(n) for n in range(30)]
    sides = {"tatoeba.deu-eng.deu": src, "tatoeba.deu-eng.eng": tgt, "a.de": src, "a.en": tgt}
    sides["ids.de"] = [f"d{n}\t{line}" for n, line in enumerate(src)]
    sides["ids.en"] = [f"e{n}\t{line}" for n, line in enumerate(tgt)]
    sides["gold"] = [f"d{n}\te{n}" for n in range(30)]
    pairs = zip(src, tgt, strict=True)
    sides["sts2017.track5.en-en.tsv"] = [f"{n % 6}\t{s}\t{t}" for n, (s, t) in enumerate(pairs)]
    for name, lines in sides.items():
        (folder / name).write_text("".join(f"{line}\n" for line in lines), "utf-8")
    return folder


def arguments(command: str, data: Path) -> list[str]:
    """The flags of a command that name its files."""
    flags: dict[str, dict[str, object]] = {
        "tatoeba": {"--data": data, "--langs": "deu"},
        "xsts": {"--data": data},
        "xsim": {"--src": data / "a.de", "--tgt": data / "a.en"},
        "bucc": {"--src": data / "ids.de", "--tgt": data / "ids.en", "--gold": data / "gold"},
    }
    return [str(part) for pair in flags[command].items() for part in pair]


def evaluate(command: str, data: Path, *more: object) -> Result:
    return run("eval", command, "--model", "toy", *arguments(command, data), *more)


@pytest.mark.parametrize("command", ["", *COMMANDS])
def test_every_command_has_help_with_an_example(command: str) -> None:
    result = run("eval", *([command] if command else []), "--help")
    assert result.exit_code == 0
    assert f"bitextmine eval {command}".strip() in result.stdout.split("Usage:")[1]


def test_help_imports_nothing_heavy() -> None:
    code = "import sys; from bitextmine.cli.main import main\n"
    code += "try: main(['eval', 'bucc', '--help'])\nexcept SystemExit: pass\n"
    code += "heavy = {'torch', 'numpy', 'transformers', 'zstandard', 'tqdm'} & set(sys.modules)\n"
    code += "print(sorted(heavy), file=sys.stderr)\n"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"


def test_the_encoder_has_its_flags_and_no_languages() -> None:
    shown = run("eval", "xsts", "--help").stdout
    flags = ("--devices", "--dtype", "--prompt", "--max-length", "--pooling", "--threads")
    assert all(flag in shown for flag in flags)
    assert not any(flag in shown for flag in ("--src-lang", "--tgt-lang", "--seed"))


@pytest.mark.parametrize("command", COMMANDS)
def test_figures_go_to_stdout_and_talk_to_stderr(command: str, data: Path) -> None:
    result = evaluate(command, data)
    assert result.exit_code == 0, result.output
    assert "toy" in result.stdout.splitlines()[0]
    assert result.stderr.splitlines()[-1].startswith(f"{command}: 1 model in ")
    assert evaluate(command, data, "--quiet").stderr == ""


@pytest.mark.parametrize("command", COMMANDS)
def test_several_models_stand_side_by_side(command: str, data: Path) -> None:
    result = evaluate(command, data, "--model", "toy-2", "--format", "json")
    assert result.exit_code == 0, result.output
    shown = json.loads(result.stdout)
    assert [model["label"] for model in shown["models"]] == ["toy", "toy-2"]
    assert {record["model"] for record in shown["records"]} == {"toy", "toy-2"}
    head = evaluate(command, data, "--model", "toy-2").stdout.splitlines()[0]
    assert head.split() == ["toy", "toy-2"]


@pytest.mark.parametrize("form", ["table", "json", "csv"])
@pytest.mark.parametrize("command", COMMANDS)
def test_a_file_gets_what_stdout_gets_and_a_run_card(
    command: str, form: str, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out file"
    written = evaluate(command, data, "--format", form, "--out", out)
    assert (written.exit_code, written.stdout) == (0, "")
    again = evaluate(command, data, "--format", form)
    assert out.read_bytes() == again.stdout_bytes
    card = json.loads((tmp_path / "out file.run.json").read_bytes())
    assert card["evaluation"] == command
    assert card["models"][0]["identity"]["model"] == "toy"
    assert card["records"][0]["model"] == "toy"
    assert card["seconds"]["toy"] >= 0


@pytest.mark.parametrize("command", COMMANDS)
def test_figures_are_kept_beside_the_table(command: str, data: Path, tmp_path: Path) -> None:
    kept = tmp_path / "ke pt.json"
    shown = evaluate(command, data, "--save", kept)
    assert shown.exit_code == 0, shown.output
    assert shown.stdout == evaluate(command, data).stdout
    assert kept.read_bytes() == evaluate(command, data, "--format", "json").stdout_bytes
    assert json.loads((tmp_path / "ke pt.json.run.json").read_bytes())["evaluation"] == command


def test_two_outputs_do_not_overwrite_each_other(data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    told = explained(evaluate("xsts", data, "--out", out, "--save", out), code=2)
    assert "--save would overwrite" in told
    told = explained(evaluate("xsts", data, "--save", tmp_path / "none" / "x.json"))
    assert "cannot write" in told


def test_a_threshold_can_be_given(data: Path) -> None:
    result = evaluate("bucc", data, "--threshold", "1.1", "--format", "csv")
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [row["threshold_from"] for row in rows] == [
        "given (--threshold)", "best F1: tuned on this gold",
    ]  # fmt: skip
    assert float(rows[0]["threshold"]) == 1.1


def test_a_model_without_a_threshold_is_told(data: Path) -> None:
    result = run("eval", "bucc", "--model", "toy-2", *arguments("bucc", data))
    assert result.exit_code == 0
    assert "no threshold was ever measured for toy-2" in result.stderr
    assert "the model's own" not in result.stdout


def test_a_threshold_is_tuned_on_another_gold_under_either_protocol(data: Path) -> None:
    tuning = ("--tune-src", data / "ids.de", "--tune-tgt", data / "ids.en", "--tune-gold")
    for protocol in ("laser", "msimcse"):
        result = evaluate("bucc", data, *tuning, data / "gold", "--protocol", protocol)
        assert result.exit_code == 0, result.output
        assert "tuned on the other gold" in result.stdout
        assert f"protocol {protocol}" in result.stdout


def test_a_curve_is_written_beside_the_table(data: Path, tmp_path: Path) -> None:
    curve = tmp_path / "curve.csv"
    result = evaluate("bucc", data, "--model", "toy-2", "--curve", curve)
    assert result.exit_code == 0, result.output
    rows = list(csv.DictReader(curve.read_text("utf-8").splitlines()))
    assert {row["model"] for row in rows} == {"toy", "toy-2"}


def test_the_worst_confusions_are_shown(data: Path) -> None:
    (data / "a.en").write_text("".join(f"{tgt_line(n)}\n" for n in (1, 0, *range(2, 30))), "utf-8")
    result = evaluate("xsim", data, "--worst", "1")
    assert "a.de → line" in result.stdout
    assert "expected" in result.stdout
    assert "got" in result.stdout
    assert "line" not in evaluate("xsim", data, "--worst", "0").stdout.split("nearest.")[1]


def test_several_files_are_aligned_with_one(data: Path) -> None:
    files = (data / "a.de", data / "tatoeba.deu-eng.deu")
    args = ("--model", "toy", "toy-2", "--src", *files, "--tgt", data / "a.en", "--format", "csv")
    result = run("eval", "xsim", *args)
    rows = list(csv.DictReader(result.stdout.splitlines()))
    assert [(row["model"], row["src"]) for row in rows] == [
        (model, path.name) for model in ("toy", "toy-2") for path in files
    ]


@pytest.mark.parametrize("command", ["tatoeba", "xsts"])
def test_a_missing_folder_tells_the_layout(command: str, tmp_path: Path) -> None:
    told = explained(run("eval", command, "--model", "toy", "--data", tmp_path / "missing"))
    assert "missing is no folder" in told
    assert "it needs" in told.splitlines()[1]


@pytest.mark.parametrize(
    ("command", "file", "content", "told"),
    [
        ("tatoeba", "tatoeba.deu-eng.eng", "Yes.\n", "30 sentences, but 1 in English"),
        ("tatoeba", "tatoeba.deu-eng.eng", None, "has no tatoeba.deu-eng.eng"),
        ("xsim", "a.en", "Yes.\n", "a.de has 30 lines"),
        ("xsim", "a.en", "", "a.en is empty"),
        ("xsts", "sts2017.track5.en-en.tsv", "high\ta\tb\n", "not a number"),
        ("xsts", "sts2017.track5.en-en.tsv", None, "has no track of STS 2017"),
        ("bucc", "gold", "d1\te99\n", "there is no id 'e99'"),
        ("bucc", "gold", "", "gold is empty"),
        ("bucc", "ids.de", "", "ids.de is empty"),
        ("bucc", "ids.de", None, "cannot read"),
    ],
)
def test_bad_input_is_told_in_two_lines(
    command: str, file: str, content: str | None, told: str, data: Path
) -> None:
    if content is None:
        (data / file).unlink()
    else:
        (data / file).write_text(content, "utf-8")
    assert told in explained(evaluate(command, data))


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--tune-gold", "gold"), "three files"),
        (("--curve", "curve.pdf"), "no .csv or .png"),
        (("--max-length", "1"), "--max-length is 1"),
        (("--model", "toy"), "--model toy is given twice"),
        (("--threshold", "nan"), "--threshold is nan"),
    ],
)
def test_a_request_that_makes_no_sense_is_a_usage_error(
    more: tuple[str, ...], told: str, data: Path
) -> None:
    assert told in explained(evaluate("bucc", data, *more), code=2)


@pytest.mark.parametrize("flag", ["--out", "--save", "--curve"])
def test_an_input_is_not_overwritten(flag: str, data: Path) -> None:
    (data / "gold").rename(data / "gold.csv")
    args = ("--src", data / "ids.de", "--tgt", data / "ids.en", "--gold", data / "gold.csv")
    told = explained(run("eval", "bucc", "--model", "toy", *args, flag, data / "gold.csv"), code=2)
    assert f"{flag} would overwrite" in told


@pytest.mark.parametrize(
    ("command", "file"),
    [
        ("tatoeba", "tatoeba.deu-eng.deu"),
        ("xsts", "sts2017.track5.en-en.tsv"),
        ("xsim", "a.en"),
    ],
)
def test_a_test_file_is_not_overwritten(command: str, file: str, data: Path) -> None:
    told = explained(evaluate(command, data, "--out", data / file), code=2)
    assert "--out would overwrite" in told


def test_an_unknown_model_is_told_in_two_lines(data: Path) -> None:
    told = explained(run("eval", "xsts", "--model", "nonesuch", "--data", data))
    assert "nonesuch" in told
