#!/usr/bin/env bash
# Runs `dst_jax.adapters.vot` in the VOT toolkit itself and compares its results.
#
# Run:  scripts/check_vot.sh [FOLDER]     (default runs/check_vot; PYTHON names a Python)
#
# The toolkit wants the OpenCV with windows, this package the one without: FOLDER/env is
# an environment of their own, in which the toolkit's is used by both.
set -euo pipefail

root=$(cd "$(dirname "$0")/.." && pwd)
folder=${1:-$root/runs/check_vot}
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
env=$folder/env
if [ ! -e "$env/.filled" ]; then
  "${PYTHON:-python3}" -m venv "$env"
  # A later attributee does not start on Python 3.11 and newer.
  "$env/bin/python" -m pip install --quiet vot-toolkit==0.9.0 attributee==0.1.9
  "$env/bin/python" - "$root/pyproject.toml" > "$folder/requirements.txt" <<'END'
import sys, tomllib
with open(sys.argv[1], "rb") as file:
    wanted = tomllib.load(file)["project"]["dependencies"]
print("\n".join(name for name in wanted if not name.startswith("opencv")))
END
  "$env/bin/python" -m pip install --quiet -r "$folder/requirements.txt"
  "$env/bin/python" -m pip install --quiet --no-deps --editable "$root"
  touch "$env/.filled"
fi
rm -rf "$folder/workspace"
"$env/bin/python" "$root/scripts/check_vot.py" make "$folder/workspace"
(
  # The protocol `python` spawns a process that imports the package by its name.
  cd "$folder/workspace"
  export VOT_RESULTS_BINARY=false
  "$env/bin/python" -m vot evaluate --workspace . student
  "$env/bin/python" -m vot analysis --workspace . --format json --name check student
)
"$env/bin/python" "$root/scripts/check_vot.py" compare "$folder/workspace"
