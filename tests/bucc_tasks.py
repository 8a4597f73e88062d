"""Tasks of BUCC as files, and a model that mines them."""

from pathlib import Path

from toy import src_line, tgt_line

from bitextmine.config import EncodeConfig
from bitextmine.evaluation.bucc_task import BuccTask, read_task
from bitextmine.evaluation.trials import NamedModel, resolve_models
from bitextmine.runcard import RunCard


def write_task(folder: Path, src: list[str], tgt: list[str], gold: list[tuple[int, int]]) -> Path:
    """Write a task whose ids are s0, s1, … and t0, t1, …"""
    folder.mkdir(parents=True, exist_ok=True)
    for name, sentences in (("s", src), ("t", tgt)):
        lines = "".join(f"{name}{n}\t{sentence}\n" for n, sentence in enumerate(sentences))
        (folder / name).write_text(lines, "utf-8")
    (folder / "gold").write_text("".join(f"s{s}\tt{t}\n" for s, t in gold), "utf-8")
    return folder


def read(folder: Path) -> BuccTask:
    """Read what `write_task` wrote."""
    return read_task(folder / "s", folder / "t", folder / "gold")


def toy_model(card: RunCard) -> NamedModel:
    """Find the toy encoder, which the fixture ``toy`` registers."""
    return resolve_models(["toy"], EncodeConfig(), card)[0]


def half_translated(folder: Path) -> BuccTask:
    """Write a task of 40 sentences a side, of which half have a translation."""
    src, tgt = [src_line(n) for n in range(40)], [tgt_line(n) for n in range(20, 60)]
    return read(write_task(folder / "tâche 'été'", src, tgt, [(n, n - 20) for n in range(20, 40)]))
