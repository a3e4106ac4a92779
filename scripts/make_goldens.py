"""Makes the goldens of the tests from independent implementations.

Run:  pip install --no-deps --target KIT got10k==0.1.3
      python scripts/make_goldens.py otb --kit KIT

`otb` writes tests/golden/otb_got10k.json: made-up boxes and the scores that the got10k
toolkit's own OTB report gives them. Remake it only to widen it: the figures are the
kit's, so a test that fails against them has found a fault of ours.
"""

import argparse
import datetime
import importlib.metadata
import json
import pathlib
import sys
import tempfile
import types
from typing import Any

import numpy as np

GOLDEN = pathlib.Path(__file__).parents[1] / "tests" / "golden"
SEED = 0


def made_up_boxes() -> dict[str, dict[str, np.ndarray]]:
    """Truth and prediction (x, y, w, h; 1-based) of sequences from good to lost."""
    rng = np.random.default_rng(SEED)
    spread = {"good": (2.0, 0.05), "poor": (12.0, 0.3), "lost": (80.0, 0.5)}
    sequences = {}
    for name, (shift, stretch) in spread.items():
        truth = _walk(rng, frames=30)
        predicted = truth.copy()
        predicted[:, :2] += shift * rng.standard_normal((30, 2))
        predicted[:, 2:] *= np.exp(stretch * rng.standard_normal((30, 2)))
        sequences[name] = {"truth": truth, "predicted": predicted.round(3)}
    sequences["ties"] = _ties()
    empty = {"truth": _walk(rng, frames=6), "predicted": _walk(rng, frames=6)}
    empty["predicted"][2:4, 2:] = 0.0
    return {**sequences, "empty": empty}


def _walk(rng: np.random.Generator, *, frames: int) -> np.ndarray:
    corner = 150.0 + np.cumsum(rng.standard_normal((frames, 2)) * 4.0, axis=0)
    side = np.array([40.0, 60.0]) + np.cumsum(rng.standard_normal((frames, 2)), axis=0)
    return np.concatenate([corner, side], axis=1).round()


def _ties() -> dict[str, np.ndarray]:
    """Overlaps of exactly k / 20, and centre errors of exactly k / 2 px."""
    truth = np.tile([11.0, 21.0, 20.0, 7.0], (21, 1))
    predicted = truth.copy()
    predicted[:, 2] = np.arange(21.0)[::-1]
    return {"truth": truth, "predicted": predicted}


def got10k_report(kit: pathlib.Path, sequences: dict[str, Any]) -> dict[str, Any]:
    """The kit's OTB report on `sequences`: its own code, with files on disk."""
    sys.path.insert(0, str(kit))
    _stand_in_for_what_the_kit_imports_and_a_report_does_not_use()
    from got10k.experiments import ExperimentOTB  # pyright: ignore

    class Boxes(list):
        seq_names = tuple(sequences)

    experiment: Any = object.__new__(ExperimentOTB)
    experiment.dataset = Boxes(([], s["truth"].copy()) for s in sequences.values())
    experiment.nbins_iou, experiment.nbins_ce = 21, 51
    experiment.plot_curves = lambda names: None
    with tempfile.TemporaryDirectory() as folder:
        root = pathlib.Path(folder)
        experiment.result_dir = str(root / "results")
        experiment.report_dir = str(root / "reports")
        (root / "results" / "t").mkdir(parents=True)
        for name, boxes in sequences.items():
            file = root / "results" / "t" / f"{name}.txt"
            np.savetxt(file, boxes["predicted"], fmt="%.6f", delimiter=",")
        return experiment.report(["t"])["t"]


def _stand_in_for_what_the_kit_imports_and_a_report_does_not_use() -> None:
    shapely = types.ModuleType("shapely")
    geometry = types.ModuleType("shapely.geometry")
    setattr(geometry, "box", None)  # noqa: B010
    setattr(geometry, "Polygon", None)  # noqa: B010
    modules = {"shapely": shapely, "shapely.geometry": geometry}
    for name in ("wget", "six"):
        modules[name] = types.ModuleType(name)
    setattr(modules["six"], "string_types", (str,))  # noqa: B010
    for name, module in modules.items():
        sys.modules.setdefault(name, module)


def make_otb(kit: pathlib.Path) -> None:
    """Writes tests/golden/otb_got10k.json."""
    sequences = made_up_boxes()
    report = got10k_report(kit, sequences)
    version = next(
        d.version
        for d in importlib.metadata.distributions(path=[str(kit)])
        if d.name == "got10k"
    )
    certificate = {
        "made_by": "scripts/make_goldens.py otb",
        "reference": f"got10k {version}, ExperimentOTB.report",
        "numpy": np.__version__,
        "date": datetime.date.today().isoformat(),
        "inputs": f"made_up_boxes(), default_rng({SEED}); x,y,w,h, 1-based",
        "why": "the public toolkit whose convention the OTB protocol follows",
    }
    boxes = {
        name: {key: value.tolist() for key, value in s.items()}
        for name, s in sequences.items()
    }
    golden = {"certificate": certificate, "boxes": boxes, "report": report}
    GOLDEN.mkdir(exist_ok=True)
    (GOLDEN / "otb_got10k.json").write_text(json.dumps(golden) + "\n")


def main() -> None:
    """Parses the command line and makes one golden."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("golden", choices=["otb"])
    parser.add_argument("--kit", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    make_otb(arguments.kit)


if __name__ == "__main__":
    main()
