#!/usr/bin/env bash
# Prints the newest Python, 3.14 down to 3.11, that runs here and for which what has to
# be compiled is to be had as a wheel. Pythons of pyenv count, on the path or not.
#
#     scripts/newest_python.sh            # some seconds for the look at wheels
#     scripts/newest_python.sh --only 11  # Python 3.11, if it runs
set -u
project=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
COMPILED=jaxlib,numpy,scipy,ml-dtypes,opencv-python-headless,safetensors,tensorstore
COMPILED+=,grain,array-record,matplotlib,contourpy,kiwisolver,pillow

runs() { # python, minor version: a shim of pyenv is there for versions that do not run
  "$1" -c "import sys, venv; sys.exit(sys.version_info[:2] != (3, $2))" >/dev/null 2>&1
}

has_wheels() { # python
  local scratch status=0
  scratch=$(mktemp -d)
  "$1" -m venv "$scratch/venv" >/dev/null 2>&1 &&
    "$scratch/venv/bin/python" -m pip install --quiet --dry-run --ignore-installed \
      --only-binary "$COMPILED" "$project" >"$scratch/log" 2>&1 || status=$?
  ((status == 0)) || echo "$1 is passed over: $(grep -m 1 ERROR "$scratch/log")" >&2
  rm -rf "$scratch"
  return "$status"
}

minors=(14 13 12 11)
[[ ${1-} == --only ]] && minors=("$2")
for minor in "${minors[@]}"; do
  for python in "python3.$minor" python3 \
    "${PYENV_ROOT:-$HOME/.pyenv}/versions/3.$minor".*/bin/python; do
    if runs "$python" "$minor" && { [[ ${1-} == --only ]] || has_wheels "$python"; }; then
      command -v "$python"
      exit
    fi
  done
done
echo "No Python from 3.11 to 3.14 will do; name one: make PYTHON=/path/to/python" >&2
exit 2
