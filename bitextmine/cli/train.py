"""The command `train`, and its flags."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from bitextmine.cli.flags import TALK, THREADS, Command, flag, names, options
from bitextmine.cli.terminal import ManyValues, start
from bitextmine.training.choices import FULL_LEARNING_RATE, LORA_LEARNING_RATE, TrainConfig


def _flag(name: str, help_text: str, **also: Any) -> Callable[[Command], Command]:
    """Return the flag that fills a field of `TrainConfig`."""
    return flag(name, help_text, config=TrainConfig, **also)


DATA = [
    _flag(
        "--model",
        "The base: a folder or hub id of an encoder (any mT5, XLM-R, BERT …), or the name of"
        " a checkpoint in `bitextmine models`.",
        metavar="MODEL",
    ),
    _flag(
        "--data",
        "Inference data: XNLI-1.0, MultiNLI as in XNLI-MT, or"
        " label<TAB>premise<TAB>hypothesis, a file a language (named in the file's name, as in"
        " train.de.tsv), rows aligned; triplets as CSV (sent0,sent1,hard_neg) or JSON lines"
        " (premise, entailment, contradiction). Compressed or not.",
        metavar="FILE…",
    ),
    _flag("--out", "A new folder for the result, or the one of a run that was stopped."),
    _flag(
        "--langs",
        "Languages to take; default: all that the files have.",
        parse=names,
        metavar="A,B,…",
    ),
    _flag(
        "--setting",
        "cross-lingual: each premise in every language, hypothesis and contradiction in"
        " languages drawn for each (mSimCSE). auto: so if there are several languages.",
    ),
]

ADAPTER = [
    _flag("--method", "lora: an adapter, as m-ST5. full: all weights, as mSimCSE."),
    _flag(
        "--lora-r",
        "Rank of the adapter (chosen here: the size of m-ST5's file fits it; its paper's"
        " value is not known to us).",
    ),
    _flag("--lora-alpha", "The adapter's say is alpha / r (chosen here: peft's example)."),
    _flag(
        "--lora-dropout",
        "Share of the adapter's inputs left out at random (chosen here: peft's example).",
    ),
    _flag(
        "--lora-targets",
        "Layers with an adapter. Default, chosen here: queries and values (q,v of T5).",
        parse=names,
        metavar="A,B,…",
    ),
]

OPTIMISER = [
    _flag(
        "--epochs",
        "Times to go through the triplets. mSimCSE: 1 cross-lingual, 2 monolingual; more"
        " hurt it across languages.",
    ),
    _flag(
        "--steps",
        "Stop after so many updates of the weights, whatever --epochs says.",
        metavar="N",
    ),
    _flag(
        "--batch-size",
        "Triplets in a batch (of each process), which are each other's negatives: never two"
        " of one source row. mSimCSE: 64 cross-lingual, 128 monolingual.",
    ),
    _flag(
        "--mini-batch",
        "Sentences in memory at once (GradCache): any batch in little memory, for a third"
        " more work. Default: all three of every triplet.",
        metavar="N",
    ),
    _flag("--accumulate", "Batches to add up for a step (mSimCSE: 1); adds no negatives."),
    _flag(
        "--learning-rate",
        f"At its highest; falls to 0 linearly (AdamW). Default: {FULL_LEARNING_RATE:g} in full"
        f" (mSimCSE), {LORA_LEARNING_RATE:g} with LoRA (chosen here).",
        metavar="R",
    ),
    _flag(
        "--warmup-steps",
        "Steps in which the learning rate rises from 0; mSimCSE: none.",
        show_default=True,
    ),
    _flag("--temperature", "Cosines are divided by it (mSimCSE)."),
    _flag("--max-length", "Tokens read of a sentence in training (mSimCSE)."),
    _flag("--pooling", "Default: what the model's files say, else mean, as m-ST5."),
    _flag("--prompt", "Put before every sentence; default: the model's own.", metavar="TEXT"),
    _flag("--dtype", "auto: bfloat16 on a GPU, float32 on a CPU. No float16: T5 overflows it."),
    _flag(
        "--gradient-checkpointing",
        "Compute activations twice instead of keeping them: mT5-xxl needs it.",
    ),
    _flag("--seed", "Of all chance: the adapter's start, dropout, order, drawn languages."),
]

COURSE = [
    _flag(
        "--dev-sts",
        "STS sets (score<TAB>sentence<TAB>sentence) to evaluate on; mean Spearman.",
        metavar="FILE…",
    ),
    _flag("--dev-tatoeba", "Folder of Tatoeba sets; mean accuracy."),
    _flag(
        "--dev-langs",
        "Of --dev-tatoeba (deu,swh …). Default: the 14 of XNLI.",
        parse=names,
        metavar="A,B,…",
    ),
    _flag(
        "--dev-rows",
        "Source rows to keep out of training: accuracy on their triplets.",
        metavar="N",
    ),
    _flag(
        "--eval-steps",
        "Evaluate every N steps (mSimCSE), and keep the best by the first of --dev-sts,"
        " --dev-tatoeba and --dev-rows that is given; without them, the last.",
    ),
    _flag("--save-steps", "Write a checkpoint every N steps, to go on from after a stop."),
    _flag("--log-steps", "Steps between two points of the curve in loss.csv."),
    _flag("--tensorboard", "Log for TensorBoard as well, in OUT/tensorboard."),
    _flag("--cpu", "Train on the CPU even if there is a GPU."),
    _flag("--trust-remote-code", "Run Python code that comes with the model."),
]


@click.command(cls=ManyValues)
@options(DATA, ADAPTER, OPTIMISER, COURSE, THREADS, TALK)
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
