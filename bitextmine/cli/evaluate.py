"""The commands of evaluation: `eval tatoeba`, `bucc`, `xsts`, `xsim`, and their flags."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from bitextmine.cli.flags import COMPUTING, FILE, TALK, THREADS, flag, options
from bitextmine.cli.terminal import HintingGroup, ManyValues, start
from bitextmine.config import EncodeConfig, OutputConfig, SelectConfig

if TYPE_CHECKING:
    from bitextmine.evaluation.report import Report
    from bitextmine.evaluation.trials import NamedModel


@click.group(name="eval", cls=HintingGroup)
def evaluate() -> None:
    """Measure models on public test sets.

    \b
    bitextmine eval tatoeba --model use-m3 --data tatoeba/v1 --langs 14
    bitextmine eval xsts --model use-m3 --model ./my-model --data Sts2017

    To mine a language, xsim on two aligned files of it tells most, and bucc whatever
    has gold pairs; tatoeba has short sentences in 112 languages, for comparison with
    published figures; xsts is about similar meaning, not about translation.

    No test set is downloaded: the help of each command tells where its files come
    from. Models read sentences as long as they can; --max-length 32 is what mSimCSE's
    evaluation read, and is here only to compare with it: it cuts real sentences.
    bucc encodes on all devices, the others on the first.
    """


MODELS = [
    click.option(
        "--model",
        "models",
        metavar="MODEL…",
        multiple=True,
        required=True,
        help="A name from `bitextmine models`, a folder, or a hub id; several stand side by side.",
    ),
]

REPORT = [
    click.option(
        "--format",
        "form",
        type=click.Choice(("table", "json", "csv")),
        default="table",
        show_default=True,
        help="table: for people. json: with all details. csv: one row a model and line.",
    ),
    click.option(
        "-o",
        "--out",
        type=FILE,
        default=None,
        help="Write to this file instead of stdout, with a run card (.run.json) beside it.",
    ),
    click.option(
        "--save",
        type=FILE,
        default=None,
        help="Keep the figures in this file as well, as JSON, with a run card beside it.",
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
        self._save: Path | None = flags.pop("save")
        self._config = EncodeConfig(**flags)

    def written(self) -> list[Path]:
        """Return the files that `finish` writes."""
        from bitextmine.runcard import card_path

        files = [path for path in (self._out, self._save) if path is not None]
        return files + [card_path(path) for path in files]

    def begin(self, settings: dict[str, Any], *, inputs: Sequence[str]) -> "Sequence[NamedModel]":
        """Check the output, and find the models."""
        from bitextmine.evaluation.report import check_save
        from bitextmine.evaluation.trials import resolve_models
        from bitextmine.write.stage import check_output

        output = OutputConfig(out=self._out)
        check_output(output, inputs=inputs, langs=("", ""), to_stream=self._out is None)
        if self._save is not None:
            check_save(self._save, inputs, self._out)
        self.card.facts["settings"] = settings
        return resolve_models(self._models, self._config, self.card)

    def finish(self, report: "Report") -> None:
        """Write the report, and say so."""
        from bitextmine.evaluation.report import save_report

        if self._out is None:
            click.echo(report.rendered(self._form, self.card), nl=False)
        else:
            save_report(report, self._form, self._out, self.card)
        if self._save is not None:
            save_report(report, "json", self._save, self.card)
        if not self._quiet:
            models = len(self._models)
            click.echo(
                f"{report.evaluation}: {models} model{'s' * (models != 1)}"
                f" in {self.card.finished()['seconds']['total']:.1f} s → {self._out or 'stdout'}",
                err=True,
            )


@evaluate.command(cls=ManyValues)
@options(MODELS)
@click.option("--data", type=FILE, required=True, help="Folder with tatoeba.deu-eng.deu and so on.")
@click.option(
    "--langs",
    default="36",
    show_default=True,
    metavar="LIST",
    help="14 (those of XNLI), 36 (those of XTREME), 112 (all of LASER's), all (that are in the"
    " folder), or codes as in the files' names: deu,fra,…",
)
@options(COMPUTING, THREADS, REPORT, TALK)
def tatoeba(*, data: Path, langs: str, **flags: Any) -> None:
    """Tatoeba: is the nearest sentence the translation?

    \b
    bitextmine eval tatoeba --model use-m3 --data tatoeba/v1 --langs deu,fra,rus

    Accuracy of the nearest sentence by cosine, in percent: xx→en (as MTEB reports),
    en→xx (as XTREME reports) and their mean (as mSimCSE reports), per language and
    averaged over languages. Beside it, the error in percent when the best of the 4
    nearest by ratio margin is taken, as in mining (LASER's xsim).

    The files are in LASER's repository, github.com/facebookresearch/LASER, folder
    data/tatoeba/v1: tatoeba.XXX-eng.XXX and tatoeba.XXX-eng.eng, plain or .zst.
    """
    run = _Run(flags)

    from bitextmine.evaluation import tatoeba_report as report

    pairs = report.read_test_sets(data, report.chosen_languages(langs, data))
    inputs = tuple(map(str, data.glob("tatoeba.*-eng.*")))
    models = run.begin({"data": str(data), "langs": langs}, inputs=inputs)
    run.finish(report.evaluate_tatoeba_models(models, pairs, run.card))


@evaluate.command(cls=ManyValues)
@options(MODELS)
@click.option("--src", type=FILE, required=True, help="Source sentences: id<TAB>sentence.")
@click.option("--tgt", type=FILE, required=True, help="Target sentences, likewise.")
@click.option("--gold", type=FILE, required=True, help="True pairs: src id<TAB>tgt id.")
@click.option("--tune-src", type=FILE, help="Another task, to tune the threshold on: src …")
@click.option("--tune-tgt", type=FILE, help="… tgt …")
@click.option("--tune-gold", type=FILE, help="… and gold; give all three.")
@flag(
    "--threshold",
    "Count pairs of this ratio margin or more. Default: each model's own.",
    metavar="T",
)
@click.option(
    "--protocol",
    type=click.Choice(("laser", "msimcse")),
    default="laser",
    show_default=True,
    help="laser: equal sentences are searched as one, and those under several ids are never"
    " paired. msimcse: every line by itself.",
)
@click.option(
    "--curve", type=FILE, help="Write precision, recall and F1 by threshold: .csv or .png."
)
@options(COMPUTING, THREADS, REPORT, TALK)
def bucc(*, threshold: float | None, protocol: Any, curve: Path | None, **flags: Any) -> None:
    """BUCC: precision, recall and F1 of mined pairs.

    \b
    bitextmine eval bucc --model use-m3 --src de-en.de --tgt de-en.en --gold de-en.gold

    Mines as `bitextmine mine` does (4 neighbours, ratio margin, one-to-one) and
    counts, in percent, which pairs are gold. One row for every way to a threshold: the
    model's own or --threshold; the best one for this gold, which flatters; the best
    one for another task (--tune-…), which does not.

    Figures under different splits, protocols and ways to a threshold cannot be
    compared: LASER tunes and reports on BUCC's training set, mSimCSE on the small
    sample set. The files are those of the BUCC 2018 shared task, or any others of this
    form, plain or compressed.
    """
    run = _Run(flags, also=("src", "tgt", "gold", "tune_src", "tune_tgt", "tune_gold"))

    from bitextmine.evaluation.bucc_report import evaluate_bucc
    from bitextmine.evaluation.bucc_task import read_task, read_tuning_task
    from bitextmine.evaluation.threshold_curve import check_curve, save_curve

    threshold = SelectConfig(threshold=threshold).threshold  # refuses what is no number
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
@options(MODELS)
@click.option("--data", type=FILE, required=True, help="Folder with the tracks of STS 2017.")
@options(COMPUTING, THREADS, REPORT, TALK)
def xsts(*, data: Path, **flags: Any) -> None:
    """XSTS: do cosines rank pairs as people do?

    \b
    bitextmine eval xsts --model use-m3 --data Sts2017

    Spearman's rank correlation of cosines with human scores of likeness, times 100,
    for the tracks of SemEval-2017 task 1: ar-ar, ar-en, es-es, es-en (4a and 4b
    apart), en-en, tr-en (the first 250 pairs, which have scores).

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
@options(MODELS)
@click.option(
    "--src",
    type=FILE,
    multiple=True,
    required=True,
    metavar="FILE…",
    help="Files of one sentence a line, each aligned with --tgt; plain or compressed.",
)
@click.option("--tgt", type=FILE, required=True, help="Their translations, line by line.")
@click.option(
    "--worst",
    type=click.IntRange(min=0),
    default=5,
    show_default=True,
    metavar="N",
    help="Wrong answers to show for each file and direction, the worst first; 0 shows none.",
)
@options(COMPUTING, THREADS, REPORT, TALK)
def xsim(*, src: tuple[Path, ...], tgt: Path, worst: int, **flags: Any) -> None:
    """xsim: how often is the best match of a line not its translation?

    \b
    bitextmine eval xsim --model use-m3 --src ntrex.deu.txt ntrex.fra.txt --tgt ntrex.eng.txt

    Works with any two files of aligned lines, such as those of NTREX and FLORES:
    every line is searched among all lines of the other file. Errors in percent, in
    both directions: of the best of the 4 nearest by ratio margin (as in mining, and
    LASER's xsim), and of the nearest by cosine (as its `absolute`). The worst
    confusions are shown below the table, and are in the JSON.
    """
    run = _Run(flags)

    from bitextmine.evaluation.xsim import evaluate_xsim, read_aligned

    files = read_aligned(src, tgt)
    inputs = tuple(map(str, (*src, tgt)))
    models = run.begin({"src": list(inputs[:-1]), "tgt": str(tgt), "k": 4}, inputs=inputs)
    run.finish(evaluate_xsim(models, files, run.card, worst=worst))
