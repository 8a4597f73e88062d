#!/usr/bin/env bash
# Several sizes of a model under equal settings, and a table of size against score.
#
#     scripts/scaling.sh DATA OUT MODEL…
#     scripts/scaling.sh data out google/mt5-small google/mt5-base google/mt5-large
#
# DATA has the folders nli (aligned inference data, a file a language), xsts and tatoeba. OUT gets
# the models, xsts.csv and tatoeba.csv, and both as .json with run cards. STEPS, BATCH, SEED and
# TATOEBA (languages) may be set; LAUNCH="torchrun --nproc-per-node 8 -m bitextmine" uses several
# GPUs, and FLAGS is handed to every training (FLAGS="--gradient-checkpointing --mini-batch 64").
set -euo pipefail

data=${1:?the folder with nli, xsts and tatoeba}
out=${2:?a new folder}
shift 2
steps=${STEPS:-2000} batch=${BATCH:-64} seed=${SEED:-1} tatoeba=${TATOEBA:-36}
read -ra launch <<< "${LAUNCH:-bitextmine}"
read -ra flags <<< "${FLAGS:-}"

merged=()
for model in "$@"; do
    place=$out/$(basename "$model")
    mkdir -p "$place"
    "${launch[@]}" train --model "$model" --data "$data"/nli/* --out "$place/adapter" \
        --steps "$steps" --batch-size "$batch" --seed "$seed" "${flags[@]}"
    bitextmine models merge "$place/adapter" --base "$model" --out "$place/merged"
    merged+=(--model "$place/merged")
done
bitextmine eval xsts "${merged[@]}" --data "$data/xsts" --format csv --save "$out/xsts.json" \
    > "$out/xsts.csv"
bitextmine eval tatoeba "${merged[@]}" --data "$data/tatoeba" --langs "$tatoeba" --format csv \
    --save "$out/tatoeba.json" > "$out/tatoeba.csv"

printf 'model\tweights trained\tseconds\tsize of the encoder, MB\n'
for model in "$@"; do
    place=$out/$(basename "$model")
    python3 - "$model" "$place" <<'TABLE'
import json, pathlib, sys

model, place = sys.argv[1], pathlib.Path(sys.argv[2])
card = json.loads((place / "adapter" / "training.json").read_bytes())
size = sum(path.stat().st_size for path in (place / "merged").rglob("model*.safetensors"))
print(model, card["trained_weights"], card["seconds"], size // 10**6, sep="\t")
TABLE
done
cat "$out/xsts.csv" "$out/tatoeba.csv"
