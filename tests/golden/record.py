"""Records what the code of the day computes: `python -m tests.golden.record DIR`.

Names of files after DIR record those alone. Nothing is ever overwritten.
"""

import argparse
import json
import pathlib
import sys
import tempfile

# First: it sets JAX up as the tests do.
from tests import conftest as conftest

# isort: split
import numpy as np

from tests import golden_words as words

COMMIT = "8209193"


def write_json(path, values):
    path.write_text(json.dumps(values, indent=1, sort_keys=True) + "\n")


def record_made_with(path):
    write_json(path, {"commit": COMMIT, **words.versions()})


def record_spec_ids(path):
    write_json(path, words.spec_ids())


def record_draws(path):
    write_json(path, golden().draws())


def record_steps(path):
    family = path.stem.removeprefix("steps_")
    found = {}
    for setting in golden().SETTINGS:
        for dtype in golden().TOLERANCES:
            parts = golden().three_steps(family, setting, dtype)
            print(family, setting, dtype, flush=True)
            found[f"{setting}/names"] = np.array(list(parts))
            sizes = [part.size for part in parts.values()]
            found[f"{setting}/sizes"] = np.array(sizes, np.int32)
            found[f"{setting}/{dtype}"] = np.concatenate(list(parts.values()))
    np.savez_compressed(path, **found)


def record_boxes(path):
    np.savez_compressed(path, **golden().tracks())


def record_ledger(path):
    family = path.stem.removeprefix("ledger_")
    with tempfile.TemporaryDirectory() as folder:
        lines = golden().ledger(family, pathlib.Path(folder))
    path.write_text("".join(line + "\n" for line in lines))


def record_bundles(path):
    expected, answers = {}, {}
    for family, (network, settings) in golden().BUNDLES.items():
        words.save(path / family, network, settings)
        found = words.load(path / family)
        for name, array in found.pop("answer").items():
            answers[f"{family}/{name}"] = array
        expected[family] = found
    write_json(path / "expected.json", expected)
    np.savez_compressed(path / "answers.npz", **answers)


def golden():
    """The settings: read late, since the module wants to know its `made_with.json`."""
    from tests import test_golden

    return test_golden


# In this order: the rest reads the first.
FILES = {
    "made_with.json": record_made_with,
    "spec_ids.json": record_spec_ids,
    "draws.json": record_draws,
    "boxes.npz": record_boxes,
    "ledger_siamfc.jsonl": record_ledger,
    "ledger_siamrpn.jsonl": record_ledger,
    "bundles": record_bundles,
    "steps_siamfc.npz": record_steps,
    "steps_siamrpn.npz": record_steps,
}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("files", nargs="*", metavar="FILE", help=", ".join(FILES))
    arguments = parser.parse_args()
    chosen = arguments.files or list(FILES)
    arguments.folder.mkdir(parents=True, exist_ok=True)
    for name in chosen:
        path = arguments.folder / name
        if path.exists():
            sys.exit(f"{path} exists; goldens are not overwritten.")
        if name not in FILES:
            sys.exit(f"{name}: there is {', '.join(FILES)}.")
    for name in chosen:
        FILES[name](arguments.folder / name)


if __name__ == "__main__":
    main()
