"""How good are the pairs? Precision, recall and F1 on gold-labelled mining tasks.

Mines every task of a folder in the format of BUCC (``xx-en.xx.zst``, ``xx-en.en.zst``,
``xx-en.gold``) with the encoder that ``--model auto`` picks, and beside it runs LASER's own
procedure on the very same vectors. Shows the default threshold at work, and the best F1 over
all thresholds, which is tuned on the gold it is scored on and so flatters both alike.

    python benchmarks/quality.py --tasks ../shared/data/mining --work /tmp/quality --json out.json
"""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

import numpy as np
from f1 import Accuracy, best_f1, precision_recall
from laser import laser_mine

from bitextmine import MineConfig, mine
from bitextmine.arrays import Halfs
from bitextmine.counts import count_shards
from bitextmine.machine import describe_machine
from bitextmine.shard.sentences import open_sentences
from bitextmine.workdir import Side, Workdir

Scored = list[tuple[float, int, int]]  # margin, src and tgt sentence number


def main() -> None:
    """Run the tasks and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--tasks", type=Path, default=Path("../shared/data/mining"))
    parser.add_argument("--only", nargs="*", help="names of tasks; default all")
    parser.add_argument("--model", default="auto")
    parser.add_argument("--work", type=Path, required=True, help="keeps vectors between runs")
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    folders = [f for f in sorted(args.tasks.iterdir()) if f.is_dir()]
    chosen = [f for f in folders if not args.only or f.name in args.only]
    rows = [measure(folder, args.model, args.work) for folder in chosen]
    print(table(rows))
    if args.json:
        command = shlex.join(["python", *sys.argv])
        report = {"command": command, "machine": describe_machine(), "tasks": rows}
        args.json.write_text(json.dumps(report, indent=2) + "\n", "utf-8")


def measure(folder: Path, model: str, work: Path) -> dict[str, Any]:
    """Mine one task both ways."""
    lang = folder.name.split("-")[0]
    config = MineConfig(
        src=(str(folder / f"{folder.name}.{lang}.zst"),),
        tgt=(str(folder / f"{folder.name}.en.zst"),),
        input_format="ids",
        src_lang=lang,
        tgt_lang="en",
        model=model,
        workdir=work / f"{folder.name}.{model}",
        threshold=-1e9,
    )
    work.mkdir(exist_ok=True, parents=True)
    mined = mine(config)
    assert config.workdir is not None
    sides = sentence_numbers(Workdir(config.workdir))
    gold = read_gold(folder / f"{folder.name}.gold", *sides)
    keys = [(pair.src_origin.id, pair.tgt_origin.id) for pair in mined.pairs]
    ours = [
        (pair.score, sides[0][src], sides[1][tgt])
        for pair, (src, tgt) in zip(mined.pairs, keys, strict=True)
    ]
    vectors = [side_vectors(Workdir(config.workdir), side) for side in ("src", "tgt")]
    theirs = laser_mine(vectors[0], vectors[1], k=4)
    threshold = mined.card["encoder"]["threshold"]
    return {
        "task": folder.name,
        "encoder": mined.card["encoder"]["name"],
        "gold": len(gold),
        "laser": described(best_f1(theirs, gold)),
        "ours": described(best_f1(ours, gold)),
        "default": described(at_threshold(ours, gold, threshold)) if threshold else None,
        "for_90": described(least_threshold(ours, gold, 0.9)),
    }


def sentence_numbers(workdir: Workdir) -> tuple[dict[str, int], dict[str, int]]:
    """Map the ids of the task's files to sentence numbers."""
    sides = open_sentences(workdir)
    origins = [[origin for _, origin in s.fetch(np.arange(len(s)))] for s in sides]
    numbered = [{origin.id: number for number, origin in enumerate(side)} for side in origins]
    return numbered[0], numbered[1]


def side_vectors(workdir: Workdir, side: Side) -> Halfs:
    """Load the vectors of a side in the order of sentence numbers."""
    shards = [workdir.shard(side, shard) for shard in range(count_shards(workdir, side))]
    rows = np.concatenate([np.load(files.embeddings) for files in shards])
    numbers = np.concatenate([np.load(files.numbers) for files in shards])
    ordered: Halfs = np.empty_like(rows)
    ordered[numbers] = rows
    return ordered


def read_gold(path: Path, src: dict[str, int], tgt: dict[str, int]) -> set[tuple[int, int]]:
    """Read the gold pairs as sentence numbers."""
    rows = (line.split("\t") for line in path.read_text("utf-8").splitlines())
    return {(src[s], tgt[t]) for s, t in rows}


def at_threshold(pairs: Scored, gold: set[tuple[int, int]], threshold: float) -> Accuracy:
    """Return how well a fixed threshold does."""
    kept = [pair for pair in pairs if pair[0] >= threshold]
    curve = precision_recall(kept, gold)
    return curve[-1]._replace(threshold=threshold) if curve else Accuracy(threshold, 0, 0)


def least_threshold(pairs: Scored, gold: set[tuple[int, int]], precision: float) -> Accuracy:
    """Return the lowest threshold that still gives this precision."""
    good = [point for point in precision_recall(pairs, gold) if point.precision >= precision]
    return good[-1] if good else Accuracy(float("inf"), 0, 0)


def described(point: Accuracy) -> dict[str, float]:
    """Return a point of the curve as plain numbers, in percent but for the threshold."""
    return {
        "threshold": round(point.threshold, 4),
        "precision": round(100 * point.precision, 2),
        "recall": round(100 * point.recall, 2),
        "f1": round(100 * point.f1, 2),
    }


def table(rows: list[dict[str, Any]]) -> str:
    """Show the figures as a Markdown table."""
    lines = [
        "| task | encoder | gold | best F1, LASER's procedure | best F1, ours | at threshold |"
        " default threshold | precision | recall | F1 | threshold for 90 % precision | recall |",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for row in rows:
        default = row["default"] or dict.fromkeys(("threshold", "precision", "recall", "f1"), "–")
        lines.append(
            f"| {row['task']} | {row['encoder']} | {row['gold']:,} | {row['laser']['f1']} |"
            f" {row['ours']['f1']} | {row['ours']['threshold']:.3f} | {default['threshold']} |"
            f" {default['precision']} | {default['recall']} | {default['f1']} |"
            f" {row['for_90']['threshold']:.3f} | {row['for_90']['recall']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
