#!/usr/bin/env bash
# Prints the newest Python, 3.14 down to 3.11, that runs here and for which every
# dependency has a wheel. Those of pyenv count, though only one of them is on the path.
#
#     scripts/newest_python.sh          # with the check of wheels: some seconds each
#     scripts/newest_python.sh --quick  # the newest that runs
set -u
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# What has to be compiled where there is no wheel; the rest is plain Python.
COMPILED=jaxlib,numpy,scipy,ml-dtypes,opencv-python-headless,safetensors,tensorstore,grain,array-record,matplotlib,contourpy,kiwisolver,pillow

runs() { # python, minor version: a shim of pyenv is there for versions that do not run
  "$1" -c "import sys, venv; sys.exit(sys.version_info[:2] != (3, $2))" >/dev/null 2>&1
}

has_wheels() { # python
  local scratch status=0
  scratch=$(mktemp -d)
  "$1" -m venv "$scratch/venv" >/dev/null 2>&1 &&
    "$scratch/venv/bin/python" -m pip install --quiet --dry-run --ignore-installed \
      --only-binary "$COMPILED" "$project" >"$scratch/log" 2>&1 || status=$?
  ((status == 0)) || echo "$1: $(grep -m 1 ERROR "$scratch/log")" >&2
  rm -rf "$scratch"
  return "$status"
}

for minor in 14 13 12 11; do
  for python in "python3.$minor" python3 \
    "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor".*/bin/python; do
    if runs "$python" "$minor" && { [[ ${1-} == --quick ]] || has_wheels "$python"; }; then
      command -v "$python"
      exit
    fi
  done
done
echo "No Python 3.11 or newer found; name one: make PYTHON=/path/to/python" >&2
exit 2
