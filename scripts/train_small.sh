#!/usr/bin/env bash
# A small training that anyone can repeat: e5-small, LoRA, the development part of XNLI.
# Evaluated before and after on XSTS, Tatoeba and NTREX, none of which is trained or chosen on.
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
bitextmine eval xsts "${models[@]}" --data "$data/xsts"
bitextmine eval tatoeba "${models[@]}" --data "$data/tatoeba" --langs "$tatoeba"
bitextmine eval xsim "${models[@]}" "${sources[@]}" --tgt "$data/ntrex/ntrex.eng.txt.zst" --worst 0
