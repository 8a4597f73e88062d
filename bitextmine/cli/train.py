"""The command `train`, and its flags."""

from pathlib import Path
from typing import Any

import click

from bitextmine.cli.flags import FILE, TALK, THREADS, options
from bitextmine.cli.terminal import ManyValues, start
from bitextmine.training.choices import (
    FULL_RATE,
    LORA_RATE,
    Method,
    Setting,
    TrainConfig,
    TrainDtype,
    TrainPooling,
    choices,
)

D = TrainConfig  # its class attributes are the defaults


def _names(ctx: click.Context, param: click.Parameter, value: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in value.split(",") if name.strip())


DATA = [
    click.option(
        "--model",
        required=True,
        metavar="MODEL",
        help="The base: a folder or hub id of an encoder (any mT5, XLM-R, BERT …), or the name of"
        " a checkpoint in `bitextmine models`.",
    ),
    click.option(
        "--data",
        multiple=True,
        required=True,
        metavar="FILE…",
        help="Inference data: XNLI-1.0, MultiNLI as in XNLI-MT, or"
        " label<TAB>premise<TAB>hypothesis, a file a language (named in the file's name, as in"
        " train.de.tsv), rows aligned; triplets as CSV (sent0,sent1,hard_neg) or JSON lines"
        " (premise, entailment, contradiction). Compressed or not.",
    ),
    click.option(
        "--out",
        type=FILE,
        required=True,
        help="A new folder for the result, or the one of a run that was stopped.",
    ),
    click.option(
        "--langs",
        default="",
        callback=_names,
        metavar="A,B,…",
        help="Languages to take; default: all that the files have.",
    ),
    click.option(
        "--setting",
        type=click.Choice(choices(Setting)),
        default=D.setting,
        show_default=True,
        help="cross-lingual: each premise in every language, hypothesis and contradiction in"
        " languages drawn for each (mSimCSE). auto: so if there are several languages.",
    ),
]

ADAPTER = [
    click.option(
        "--method",
        type=click.Choice(choices(Method)),
        default=D.method,
        show_default=True,
        help="lora: an adapter, as m-ST5. full: all weights, as mSimCSE.",
    ),
    click.option(
        "--lora-r",
        type=int,
        default=D.lora_r,
        show_default=True,
        help="Rank of the adapter (chosen here: the size of m-ST5's file fits it; its paper's"
        " value is not known to us).",
    ),
    click.option(
        "--lora-alpha",
        type=float,
        default=D.lora_alpha,
        show_default=True,
        help="The adapter's say is alpha / r (chosen here: peft's example).",
    ),
    click.option(
        "--lora-dropout",
        type=float,
        default=D.lora_dropout,
        show_default=True,
        help="Share of the adapter's inputs left out at random (chosen here: peft's example).",
    ),
    click.option(
        "--lora-targets",
        default="",
        callback=_names,
        metavar="A,B,…",
        help="Layers with an adapter. Default, chosen here: queries and values (q,v of T5).",
    ),
]

OPTIMISER = [
    click.option(
        "--epochs",
        type=float,
        default=D.epochs,
        show_default=True,
        help="Times to go through the triplets. mSimCSE: 1 cross-lingual, 2 monolingual; more"
        " hurt it across languages.",
    ),
    click.option(
        "--steps",
        type=int,
        default=D.steps,
        metavar="N",
        help="Stop after so many updates of the weights, whatever --epochs says.",
    ),
    click.option(
        "--batch-size",
        type=int,
        default=D.batch_size,
        show_default=True,
        help="Triplets in a batch (of each process), which are each other's negatives: never two"
        " of one source row. mSimCSE: 64 cross-lingual, 128 monolingual.",
    ),
    click.option(
        "--mini-batch",
        type=int,
        default=D.mini_batch,
        metavar="N",
        help="Sentences in memory at once (GradCache): any batch in little memory, for a third"
        " more work. Default: all three of every triplet.",
    ),
    click.option(
        "--accumulate",
        type=int,
        default=D.accumulate,
        show_default=True,
        help="Batches to add up for a step (mSimCSE: 1); adds no negatives.",
    ),
    click.option(
        "--learning-rate",
        type=float,
        default=D.learning_rate,
        metavar="R",
        help="At its highest; falls to 0 linearly (AdamW). Default:"
        f" {FULL_RATE:g} in full (mSimCSE), {LORA_RATE:g} with LoRA (chosen here).",
    ),
    click.option(
        "--warmup-steps",
        type=int,
        default=D.warmup_steps,
        show_default=True,
        help="Steps in which the learning rate rises from 0; mSimCSE: none.",
    ),
    click.option(
        "--temperature",
        type=float,
        default=D.temperature,
        show_default=True,
        help="Cosines are divided by it (mSimCSE).",
    ),
    click.option(
        "--max-length",
        type=int,
        default=D.max_length,
        show_default=True,
        help="Tokens read of a sentence in training (mSimCSE).",
    ),
    click.option(
        "--pooling",
        type=click.Choice(choices(TrainPooling)),
        default=D.pooling,
        help="Default: what the model's files say, else mean, as m-ST5.",
    ),
    click.option(
        "--prompt",
        default=D.prompt,
        metavar="TEXT",
        help="Put before every sentence; default: the model's own.",
    ),
    click.option(
        "--dtype",
        type=click.Choice(choices(TrainDtype)),
        default=D.dtype,
        show_default=True,
        help="auto: bfloat16 on a GPU, float32 on a CPU. No float16: T5 overflows it.",
    ),
    click.option(
        "--gradient-checkpointing",
        is_flag=True,
        help="Compute activations twice instead of keeping them: mT5-xxl needs it.",
    ),
    click.option(
        "--seed",
        type=int,
        default=D.seed,
        show_default=True,
        help="Of all chance: the adapter's start, dropout, order, drawn languages.",
    ),
]

EVALUATION = [
    click.option(
        "--dev-sts",
        multiple=True,
        metavar="FILE…",
        help="STS sets (score<TAB>sentence<TAB>sentence) to evaluate on; mean Spearman.",
    ),
    click.option(
        "--dev-tatoeba", type=FILE, default=None, help="Folder of Tatoeba sets; mean accuracy."
    ),
    click.option(
        "--dev-langs",
        default="",
        callback=_names,
        metavar="A,B,…",
        help="Of --dev-tatoeba (deu,swh …). Default: the 14 of XNLI.",
    ),
    click.option(
        "--dev-rows",
        type=int,
        default=D.dev_rows,
        metavar="N",
        help="Source rows to keep out of training: accuracy on their triplets.",
    ),
    click.option(
        "--eval-steps",
        type=int,
        default=D.eval_steps,
        show_default=True,
        help="Evaluate every N steps (mSimCSE), and keep the best by the first of --dev-sts,"
        " --dev-tatoeba and --dev-rows that is given; without them, the last.",
    ),
    click.option(
        "--save-steps",
        type=int,
        default=D.save_steps,
        show_default=True,
        help="Write a checkpoint every N steps, to go on from after a stop.",
    ),
    click.option(
        "--log-steps",
        type=int,
        default=D.log_steps,
        show_default=True,
        help="Steps between two points of the curve in loss.csv.",
    ),
    click.option(
        "--tensorboard", is_flag=True, help="Log for TensorBoard as well, in OUT/tensorboard."
    ),
    click.option("--cpu", is_flag=True, help="Train on the CPU even if there is a GPU."),
    click.option(
        "--trust-remote-code", is_flag=True, help="Run Python code that comes with the model."
    ),
]


@click.command(cls=ManyValues)
@options(DATA, ADAPTER, OPTIMISER, EVALUATION, THREADS, TALK)
def train(*, quiet: bool, verbose: bool, **flags: Any) -> None:
    """Train an encoder on inference data (m-ST5, mSimCSE).

    \b
    bitextmine models export e5-small --out e5
    bitextmine train --model ./e5 --data xnli.dev.*.tsv --out adapter
    bitextmine models merge adapter --out my-model
    bitextmine mine --model ./my-model --src de.txt --tgt en.txt > pairs.tsv
    torchrun --nproc-per-node 8 -m bitextmine train --model google/mt5-xxl \\
        --gradient-checkpointing --data multinli.train.*.tsv --out adapter

    A sentence is drawn to one that follows from it, and away from one that contradicts it and
    from all others of the batch. OUT then holds the adapter (or, with --method full, the model),
    training.json with every setting and figure, loss.csv, scores.csv and curves.png.

    A stopped run goes on where it was: give the same command again. Defaults are those of
    mSimCSE's scripts (github.com/yaushian/mSimCSE) or chosen here, as said at each; those of
    m-ST5 are not published. It needs pip install 'bitextmine[train]'.
    """
    start(quiet=quiet, verbose=verbose)
    config = TrainConfig(**flags)

    from bitextmine.training.run import train as run

    trained = run(config)
    if not quiet and trained.card:
        click.echo(_summary(trained.folder, trained.card), err=True)


def _summary(folder: Path, card: Any) -> str:
    kept = card["kept"]
    scores = ", ".join(f"{name} {value:.2f}" for name, value in kept.get("scores", {}).items())
    return (
        f"{card['triplets']:,} triplets of {card['source_rows']:,} source rows,"
        f" {card['steps']:,} steps in {card['seconds']:.0f} s;"
        f" kept step {kept['step']:,}{f' ({scores})' if scores else ''} → {folder}"
    )


@click.command()
@click.argument("adapter", metavar="ADAPTER")
@click.option("--out", type=FILE, required=True, help="A new folder.")
@click.option(
    "--base",
    metavar="MODEL",
    default="",
    help="What the adapter was trained on: a folder or a hub id. Default: what it names.",
)
@options(TALK)
def merge(*, adapter: str, out: Path, base: str, quiet: bool, verbose: bool) -> None:
    """Make a model of a LoRA adapter and its base.

    \b
    bitextmine models merge adapter --out model
    bitextmine mine --model ./model --src de.txt --tgt en.txt > pairs.tsv
    """
    start(quiet=quiet, verbose=verbose)

    from bitextmine.models.merge import merge as run

    run(adapter, out=out, base=base)
    if not quiet:
        click.echo(f"the merged model is in {out}", err=True)
