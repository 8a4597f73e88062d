#!/usr/bin/env bash
# A small training that anyone can repeat: e5-small, LoRA, the development part of XNLI.
# Evaluated before and after on XSTS, Tatoeba and NTREX, none of which is trained or chosen on; the
# tables are shown, and kept in OUT as xsts.json, tatoeba.json and ntrex.json, each with a run card;
# summary.json has them all, the settings and the loss.
#
#     scripts/train_small.sh DATA OUT [SEED]
#
# DATA has the folders xnli, xsts, tatoeba and ntrex; OUT is new. STEPS, BATCH and RATE may be set.
set -euo pipefail

data=${1:?the folder with xnli, xsts, tatoeba and ntrex}
out=${2:?a new folder}
seed=${3:-1}
steps=${STEPS:-36} batch=${BATCH:-16} rate=${RATE:-3e-4}
tatoeba=${TATOEBA:-deu,fra,hin,jav,kat,swh,tam,tha}
ntrex=${NTREX:-deu hin swa tam}

mkdir -p "$out"
[ -e "$out/base" ] || bitextmine models export e5-small --out "$out/base"
bitextmine train --model "$out/base" --data "$data"/xnli/xnli.dev.*.tsv* --out "$out/adapter" \
    --steps "$steps" --batch-size "$batch" --learning-rate "$rate" --seed "$seed" \
    --log-steps 2 --save-steps 12 --cpu
bitextmine models merge "$out/adapter" --base "$out/base" --out "$out/merged"

models=(--model "$out/base" --model "$out/merged")
sources=()
for code in $ntrex; do sources+=(--src "$data/ntrex/ntrex.$code.txt.zst"); done
bitextmine eval xsts "${models[@]}" --data "$data/xsts" --save "$out/xsts.json"
bitextmine eval tatoeba "${models[@]}" --data "$data/tatoeba" --langs "$tatoeba" \
    --save "$out/tatoeba.json"
bitextmine eval xsim "${models[@]}" "${sources[@]}" --tgt "$data/ntrex/ntrex.eng.txt.zst" \
    --worst 0 --save "$out/ntrex.json"

# What was gained and lost, in summary.json and in a line a figure.
python3 - "$out" <<'SUMMARY'
import csv, json, pathlib, statistics, sys

out = pathlib.Path(sys.argv[1])
card = json.loads((out / "adapter" / "training.json").read_bytes())
settings = ("seed", "steps", "batch_size", "learning_rate", "lora_r", "max_length")
summary = {name: card["settings"][name] for name in settings}
summary |= {name: card.get(name) for name in ("triplets", "source_rows", "warnings", "machine")}
summary["training_seconds"] = card["seconds"]
with (out / "adapter" / "loss.csv").open() as file:
    summary["loss"] = {row["step"]: round(float(row["loss"]), 4) for row in csv.DictReader(file)}

for name, key in (("xsts", "track"), ("tatoeba", "language"), ("ntrex", "src")):
    summary[name] = {}
    for when, model in (("before", "base"), ("after", "merged")):
        rows = {}
        for record in json.loads((out / f"{name}.json").read_bytes())["records"]:
            if record.pop("model") == model and not record[key].startswith("mean"):
                figures = {k: v for k, v in record.items() if isinstance(v, float)}
                rows[record[key]] = figures
        metrics = list(rows[next(iter(rows))])
        means = {m: round(statistics.fmean(row[m] for row in rows.values()), 4) for m in metrics}
        summary[name][when] = rows | {"mean": means}
    before, after = (summary[name][when]["mean"] for when in ("before", "after"))
    for m in before:
        print(f"{name}, {m} on average: {before[m]:.2f} before, {after[m]:.2f} after")
(out / "summary.json").write_text(json.dumps(summary, indent=1) + "\n")
SUMMARY
