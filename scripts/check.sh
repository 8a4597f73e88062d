#!/usr/bin/env bash
# Exactly what CI runs: lint, format, types, tests. Tests that measure time or memory run alone.
set -euo pipefail
cd "$(dirname "$0")/.."
bin="${VENV:-.venv}/bin"
"$bin/ruff" check .
"$bin/ruff" format --check .
"$bin/mypy"
"$bin/pytest" --numprocesses auto --dist worksteal -m "not alone" "$@"
"$bin/pytest" -m alone "$@" || [ $? -eq 5 ]  # 5: none of the tests asked for is one of these
