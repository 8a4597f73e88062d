"""The commands of ``bitextmine eval``: how good is a model on public test sets?

As in ``cli.py``, nothing heavy is imported before a command runs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitextmine.config import EncodeConfig, OutputConfig, SelectConfig
from bitextmine.flags import COMPUTING, FILE, TALK, THREADS, options
from bitextmine.terminal import HintingGroup, ManyValues, start

if TYPE_CHECKING:
    from bitextmine.evaluation.models import NamedModel
    from bitextmine.evaluation.report import Report

_FORMATS = ("table", "json", "csv")
_MODEL = [
    click.option(
        "--model",
        "models",
        metavar="MODEL…",
        multiple=True,
        required=True,
        help="A name from `bitextmine models`, a folder, or a hub id; several stand side by side.",
    ),
]
_OUTPUT = [
    click.option(
        "--format",
        "form",
        type=click.Choice(_FORMATS),
        default="table",
        show_default=True,
        help="table: for people. json: with all details. csv: one row a model and line.",
    ),
    click.option(
        "-o",
        "--out",
        type=FILE,
        default=None,
        help="Write here instead of stdout, with a run card (.run.json) beside it.",
    ),
]


class _Run:
    """What every evaluation has: an encoder's flags, an output, a run card.

    Parameters
    ----------
    flags : dict
        Of the command line, by name.
    also : sequence of str
        Those of them that are the command's own.
    """

    def __init__(self, flags: dict[str, Any], also: Sequence[str] = ()) -> None:
        self._quiet = flags.pop("quiet")
        start(quiet=self._quiet, verbose=flags.pop("verbose"))

        from bitextmine.runcard import RunCard

        self.card = RunCard()
        self.others: dict[str, Any] = {name: flags.pop(name) for name in also}
        self._models: tuple[str, ...] = flags.pop("models")
        self._form = flags.pop("form")
        self._out: Path | None = flags.pop("out")
        self._config = EncodeConfig(**flags)
        self._config.check_encoding()

    def written(self) -> list[Path]:
        """Return the files that `finish` writes."""
        from bitextmine.runcard import card_path

        return [] if self._out is None else [self._out, card_path(self._out)]

    def begin(self, settings: dict[str, Any], *, inputs: Sequence[str]) -> "Sequence[NamedModel]":
        """Check the output, and find the models."""
        from bitextmine.evaluation.models import resolve_models
        from bitextmine.results import check_output

        output = OutputConfig(out=self._out)
        check_output(output, inputs=inputs, langs=("", ""), to_stream=self._out is None)
        self.card.facts["settings"] = settings
        return resolve_models(self._models, self._config, self.card)

    def finish(self, report: "Report") -> None:
        """Write the report, and say so."""
        from bitextmine.evaluation.report import save_report

        if self._out is None:
            click.echo(report.rendered(self._form, self.card), nl=False)
        else:
            save_report(report, self._form, self._out, self.card)
        if not self._quiet:
            models = len(self._models)
            click.echo(
                f"{report.evaluation}: {models} model{'s' * (models != 1)}"
                f" in {self.card.finished()['seconds']['total']:.1f} s → {self._out or 'stdout'}",
                err=True,
            )


@click.group(name="eval", cls=HintingGroup)
def evaluate() -> None:
    """Measure models on public test sets.

    \b
    bitextmine eval tatoeba --model use-m3 --data tatoeba/v1 --langs 14
    bitextmine eval xsts --model use-m3 --model ./my-model --data Sts2017

    Nothing is downloaded: the help of each command tells where its files come from.
    Models read sentences as long as they can; --max-length 32 is what mSimCSE's
    evaluation read, and is here only to compare with it: it cuts real sentences.
    bucc encodes on all devices, the others on the first.
    """


@evaluate.command(cls=ManyValues)
@options(_MODEL)
@click.option("--data", type=FILE, required=True, help="Folder with tatoeba.deu-eng.deu and so on.")
@click.option(
    "--langs",
    default="36",
    show_default=True,
    metavar="LIST",
    help="14 (those of XNLI), 36 (those of XTREME), 112 (all of LASER's), all (that are in the"
    " folder), or codes: deu,fra,…",
)
@options(COMPUTING, THREADS, _OUTPUT, TALK)
def tatoeba(*, data: Path, langs: str, **flags: Any) -> None:
    """Tatoeba: is the nearest sentence the translation?

    \b
    bitextmine eval tatoeba --model use-m3 --data tatoeba/v1 --langs deu,fra,rus

    Accuracy of the nearest sentence by cosine: xx→en (as MTEB reports), en→xx (as
    XTREME reports) and their mean (as mSimCSE reports), per language and averaged
    over languages; beside it the error of the best-scored of 4 neighbours by ratio
    margin (LASER's xsim).

    The files are in LASER's repository, github.com/facebookresearch/LASER, folder
    data/tatoeba/v1: tatoeba.XXX-eng.XXX and tatoeba.XXX-eng.eng, plain or .zst.
    """
    run = _Run(flags)

    from bitextmine.evaluation import tatoeba_report as report

    pairs = report.read_languages(data, report.chosen_languages(langs, data))
    inputs = tuple(map(str, data.glob("tatoeba.*-eng.*")))
    models = run.begin({"data": str(data), "langs": langs}, inputs=inputs)
    run.finish(report.evaluate_tatoeba_models(models, pairs, run.card))


@evaluate.command(cls=ManyValues)
@options(_MODEL)
@click.option("--src", type=FILE, required=True, help="Source sentences: id<TAB>sentence.")
@click.option("--tgt", type=FILE, required=True, help="Target sentences, likewise.")
@click.option("--gold", type=FILE, required=True, help="True pairs: src id<TAB>tgt id.")
@click.option("--tune-src", type=FILE, help="Another task, to tune the threshold on …")
@click.option("--tune-tgt", type=FILE, help="… its target sentences …")
@click.option("--tune-gold", type=FILE, help="… and its true pairs.")
@click.option("--threshold", type=float, help="Ratio margin. Default: each model's own.")
@click.option(
    "--protocol",
    type=click.Choice(("laser", "msimcse")),
    default="laser",
    show_default=True,
    help="laser: equal sentences are one, those under several ids are dropped."
    " msimcse: every line by itself.",
)
@click.option("--curve", type=FILE, help="Precision, recall and F1 by threshold: .csv or .png.")
@options(COMPUTING, THREADS, _OUTPUT, TALK)
def bucc(*, threshold: float | None, protocol: Any, curve: Path | None, **flags: Any) -> None:
    """BUCC: precision, recall and F1 of mined pairs.

    \b
    bitextmine eval bucc --model use-m3 --src de-en.de --tgt de-en.en --gold de-en.gold

    Mines as `bitextmine mine` does (4 neighbours, ratio margin, one-to-one) and
    counts which pairs are gold: at a threshold, at the best one of all (tuned on this
    very gold, which flatters), and at the best one of another task (--tune-…).

    Figures under different splits, protocols and ways to a threshold cannot be
    compared: LASER tunes and reports on BUCC's training set, mSimCSE on the small
    sample set. The files are those of the BUCC 2018 shared task, plain or compressed.
    """
    run = _Run(flags, also=("src", "tgt", "gold", "tune_src", "tune_tgt", "tune_gold"))

    from bitextmine.evaluation.bucc_report import evaluate_bucc
    from bitextmine.evaluation.bucc_task import read_task, read_tuning_task
    from bitextmine.evaluation.curves import check_curve, save_curve

    SelectConfig(threshold=threshold).check_selecting()
    paths = run.others
    inputs = tuple(str(path) for path in paths.values() if path is not None)
    if curve is not None:
        check_curve(curve, (*inputs, *map(str, run.written())))
    task = read_task(paths["src"], paths["tgt"], paths["gold"])
    tune = read_tuning_task(paths["tune_src"], paths["tune_tgt"], paths["tune_gold"])
    settings: dict[str, Any] = {name: str(path) for name, path in paths.items() if path is not None}
    settings |= {"protocol": protocol, "margin": "ratio", "k": 4, "retrieval": "max"}
    models = run.begin(settings | {"threshold": threshold}, inputs=inputs)
    found, scored = evaluate_bucc(models, task, protocol, run.card, threshold=threshold, tune=tune)
    if curve is not None:
        save_curve(scored, curve)
    run.finish(found)


@evaluate.command(cls=ManyValues)
@options(_MODEL)
@click.option("--data", type=FILE, required=True, help="Folder with the tracks of STS 2017.")
@options(COMPUTING, THREADS, _OUTPUT, TALK)
def xsts(*, data: Path, **flags: Any) -> None:
    """XSTS: do cosines rank pairs as people do?

    \b
    bitextmine eval xsts --model use-m3 --data Sts2017

    Spearman's rank correlation with human scores, times 100, for the tracks of
    SemEval-2017 task 1: ar-ar, ar-en, es-es, es-en (4a and 4b apart), en-en, tr-en
    (the first 250 pairs, which have scores).

    The files are those of SemEval (STS.input.track1.ar-ar.txt, STS.gs.track1.ar-ar.txt
    …, in data/Sts2017 of github.com/yaushian/mSimCSE), or sts2017.track1.ar-ar.tsv …
    with score<TAB>sentence<TAB>sentence.
    """
    run = _Run(flags)

    from bitextmine.evaluation.xsts import evaluate_xsts, read_tracks

    tracks = read_tracks(data)
    models = run.begin({"data": str(data)}, inputs=tuple(map(str, data.rglob("*.track*"))))
    run.finish(evaluate_xsts(models, tracks, run.card))


@evaluate.command(cls=ManyValues)
@options(_MODEL)
@click.option(
    "--src",
    type=FILE,
    multiple=True,
    required=True,
    metavar="FILE…",
    help="One sentence a line; each file is aligned with --tgt.",
)
@click.option("--tgt", type=FILE, required=True, help="Their translations, line by line.")
@click.option(
    "--worst",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    help="Confusions to show a direction: those furthest from right.",
)
@options(COMPUTING, THREADS, _OUTPUT, TALK)
def xsim(*, src: tuple[Path, ...], tgt: Path, worst: int, **flags: Any) -> None:
    """xsim: errors of searching aligned files for each other's lines.

    \b
    bitextmine eval xsim --model use-m3 --src ntrex.deu.txt ntrex.fra.txt --tgt ntrex.eng.txt

    Works with any two files of aligned lines, such as those of NTREX and FLORES. In
    percent, in both directions: the best-scored of 4 neighbours by ratio margin (as
    LASER's xsim), and the nearest by cosine (as its `absolute`). The worst confusions
    are shown below the table, and are in the JSON.
    """
    run = _Run(flags)

    from bitextmine.evaluation.xsim import evaluate_xsim, read_aligned

    files = read_aligned(src, tgt)
    inputs = tuple(map(str, (*src, tgt)))
    models = run.begin({"src": list(inputs[:-1]), "tgt": str(tgt), "k": 4}, inputs=inputs)
    run.finish(evaluate_xsim(models, files, run.card, worst=worst))
