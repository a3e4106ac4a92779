"""Makes tests/evaluate/goldens/got10k_layouts.json: raw files and a toolkit's scores.

Run:  pip install --no-deps --target KIT got10k==0.1.3
      python scripts/make_layout_goldens.py --kit KIT

It writes made-up data sets in seven layouts and result files of a made-up tracker,
reads both with the got10k toolkit's own readers and scores them with its reports. The
golden holds every file's text and every report. Remake it only to widen it: the figures
are the kit's, so a test that fails against them has found a fault of ours.
"""

import argparse
import datetime
import importlib.metadata
import json
import pathlib
import sys
import tempfile
from collections.abc import Callable
from typing import Any

import numpy as np

sys.path.insert(0, str(pathlib.Path(__file__).parent))
from make_goldens import (
    _stand_in_for_what_the_kit_imports_and_a_report_does_not_use as stand_in,
)

GOLDEN = pathlib.Path(__file__).parents[1] / "tests" / "evaluate" / "goldens"
SEED, NAN = 0, float("nan")
WIDTH, HEIGHT, FRAMES = 320, 240, 24
NAMES = ("Ant-1", "Bee-2")
SPREAD = {"Ant-1": (4.0, 0.1), "Bee-2": (25.0, 0.3)}


def walk(rng: np.random.Generator, *, frames: int, digits: int) -> np.ndarray:
    """Returns true boxes x,y,w,h, the last of which leave an image of 320 x 240."""
    start = np.array([120.0, 90.0, 40.0, 60.0])
    corner = start[:2] + np.cumsum(rng.standard_normal((frames, 2)) * 4.0, axis=0)
    side = start[2:] + np.cumsum(rng.standard_normal((frames, 2)), axis=0)
    boxes = np.concatenate([corner, side], axis=1).round(digits)
    boxes[-1, :2], boxes[-2, :2] = (WIDTH - 15.0, HEIGHT - 30.0), (-12.0, -8.0)
    return boxes


def drifted(
    rng: np.random.Generator, truth: np.ndarray, shift: float, stretch: float
) -> np.ndarray:
    """Returns the boxes of a tracker, of which the fourth has no width."""
    boxes = np.where(np.isfinite(truth), truth, 50.0)
    boxes[:, :2] += shift * rng.standard_normal((len(boxes), 2))
    boxes[:, 2:] *= np.exp(stretch * rng.standard_normal((len(boxes), 2)))
    boxes[3, 2] = 0.0
    return boxes.round(3)


def lines(rows: np.ndarray, *, separator: str = ",") -> str:
    """Returns rows of numbers as the text of a file."""
    text = [separator.join(f"{v:g}" for v in row) for row in rows.tolist()]
    return "\n".join(text) + "\n"


def text_of(layout: str, name: str, truth: np.ndarray) -> dict[str, str]:
    """Returns the annotation files of one sequence by their places."""
    count = len(truth)
    if layout in ("otb", "dtb70"):
        return {f"{name}/groundtruth_rect.txt": lines(truth)}
    if layout == "uav123":
        return {f"anno/UAV123/{name}.txt": lines(truth)}
    if layout == "tc128":
        return {
            f"{name}/{name}_gt.txt": lines(truth),
            f"{name}/{name}_frames.txt": f"1,{count}\n",
        }
    if layout == "nfs":
        corners = np.concatenate([truth[:, :2], truth[:, :2] + truth[:, 2:]], axis=1)
        rows = [" ".join(f"{v:g}" for v in row) for row in corners.tolist()]
        marks = ["1 0" if i == 5 else "0 1" if i == 6 else "0 0" for i in range(count)]
        numbered = enumerate(zip(rows, marks, strict=True))
        vatic = [f'0 {box} {i} {mark} 0 "ball"' for i, (box, mark) in numbered]
        return {f"{name}/30/{name}.txt": "\n".join(vatic) + "\n"}
    if layout == "lasot":
        folder = f"{name.rpartition('-')[0]}/{name}"
        gone = ["1" if i in (5, 6) else "0" for i in range(count)]
        covered = ["1" if i == 8 else "0" for i in range(count)]
        return {
            f"{folder}/groundtruth.txt": lines(truth),
            f"{folder}/out_of_view.txt": ",".join(gone) + "\n",
            f"{folder}/full_occlusion.txt": ",".join(covered) + "\n",
        }
    cover = ["0" if i in (5, 6) else "8" for i in range(count)]
    return {
        f"{name}/groundtruth.txt": lines(truth),
        f"{name}/absence.label": "0\n" * count,
        f"{name}/cover.label": "\n".join(cover) + "\n",
        f"{name}/cut_by_image.label": "0\n" * count,
        f"{name}/meta_info.ini": f"[METAINFO]\nresolution: ({WIDTH}, {HEIGHT})\n",
    }


def frames_of(layout: str, name: str) -> str:
    """Returns the folder of a sequence's frames."""
    return {
        "uav123": f"data_seq/UAV123/{name}",
        "nfs": f"{name}/30/{name}",
        "lasot": f"{name.rpartition('-')[0]}/{name}/img",
        "got10k": name,
    }.get(layout, f"{name}/img")


def made_up(layout: str) -> tuple[dict[str, str], dict[str, str]]:
    """Returns the files of a data set and those of a tracker's results."""
    rng = np.random.default_rng((SEED, *layout.encode()))
    data: dict[str, str] = {}
    results: dict[str, str] = {}
    for name in NAMES:
        truth = walk(rng, frames=FRAMES, digits=4 if layout == "got10k" else 0)
        if layout == "uav123":
            truth[5:7] = NAN
        elif layout != "got10k":
            # TC-128, DTB70 and NfS could have such a frame, as OTB and LaSOT do.
            truth[5] = (truth[5, 0], truth[5, 1], 0, 0) if layout == "nfs" else 0.0
        data |= text_of(layout, name, truth)
        runs = [drifted(rng, truth, *SPREAD[name]) for _ in range(3)]
        if layout != "got10k":
            results[f"{name}.txt"] = lines(runs[0])
            continue
        for number, run in enumerate(runs, 1):
            results[f"{name}/{name}_{number:03d}.txt"] = lines(run)
        results[f"{name}/{name}_time.txt"] = "0.01,0.02,0.04\n" * len(truth)
    if layout == "got10k":
        data["list.txt"] = "\n".join(NAMES) + "\n"
    return data, results


def report(layout: str, root: pathlib.Path) -> dict[str, Any]:
    """Returns the kit's report on what lies below a folder: its own code throughout."""
    from got10k import datasets, experiments  # pyright: ignore

    data = root / "data"
    read: dict[str, tuple[Callable[[], Any], str]] = {
        "otb": (lambda: _otb(datasets, data), "OTB"),
        "dtb70": (lambda: datasets.DTB70(str(data)), "DTB70"),
        "uav123": (lambda: _uav123(datasets, data), "UAV123"),
        "nfs": (lambda: datasets.NfS(str(data), 30), "NfS"),
        "tc128": (lambda: datasets.TColor128(str(data), download=False), "TColor128"),
        "lasot": (lambda: _lasot(datasets, data), "UAV123"),
        "got10k": (lambda: _got10k(datasets, data), "GOT10k"),
    }
    dataset, kit = read[layout]
    experiment = object.__new__(getattr(experiments, f"Experiment{kit}"))
    experiment.dataset, experiment.subset = dataset(), "val"
    experiment.nbins_iou, experiment.nbins_ce = 21, 51
    experiment.result_dir = str(root / "results")
    experiment.report_dir = str(root / "reports")
    experiment.plot_curves = lambda *names: None
    return experiment.report(["t"])["t"]


def _otb(datasets: Any, data: pathlib.Path) -> Any:
    dataset = object.__new__(datasets.OTB)  # its constructor knows real names alone
    dataset.root_dir, dataset.version = str(data), 2015
    dataset.seq_names = list(NAMES)
    dataset.anno_files = [str(data / n / "groundtruth_rect.txt") for n in NAMES]
    dataset.seq_dirs = [str(data / n) for n in NAMES]
    return dataset


def _uav123(datasets: Any, data: pathlib.Path) -> Any:
    dataset = object.__new__(datasets.UAV123)
    dataset.version, dataset.seq_names = "UAV123", list(NAMES)
    whole = {"start_frame": 1, "end_frame": FRAMES}
    dataset.seq_metas = {"UAV123": dict.fromkeys(NAMES, whole)}
    dataset.seq_dirs = [str(data / frames_of("uav123", name)) for name in NAMES]
    dataset.anno_files = [str(data / "anno/UAV123" / f"{n}.txt") for n in NAMES]
    return dataset


def _lasot(datasets: Any, data: pathlib.Path) -> Any:
    # This release reads LaSOT, whose constructor fails, and has no report of its own;
    # the one that later releases have treats overlaps and errors as UAV123's does.
    dataset = object.__new__(datasets.LaSOT)
    dataset.seq_names, dataset.return_meta = list(NAMES), False
    folders = [data / n.rpartition("-")[0] / n for n in NAMES]
    dataset.seq_dirs = [str(folder / "img") for folder in folders]
    dataset.anno_files = [str(folder / "groundtruth.txt") for folder in folders]
    return dataset


def _got10k(datasets: Any, data: pathlib.Path) -> Any:
    (data / "val").symlink_to(data)
    return datasets.GOT10k(str(data), subset="val", return_meta=True)


def write(root: pathlib.Path, files: dict[str, str]) -> None:
    """Writes files by their places below a folder."""
    for place, text in files.items():
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).write_text(text)


def make(kit: pathlib.Path) -> None:
    """Writes the golden."""
    sys.path.insert(0, str(kit))
    stand_in()
    found = {}
    for layout in ("otb", "dtb70", "uav123", "nfs", "tc128", "lasot", "got10k"):
        data, results = made_up(layout)
        with tempfile.TemporaryDirectory() as folder:
            root = pathlib.Path(folder)
            write(root / "data", data)
            for name in NAMES:
                place = frames_of(layout, name)
                empty = {f"{place}/{i + 1:08d}.jpg": "" for i in range(FRAMES)}
                write(root / "data", empty)
            write(root / "results" / "t", results)
            scores = report(layout, root)
        found[layout] = {"data": data, "results": results, "report": scores}
    (version,) = (
        d.version
        for d in importlib.metadata.distributions(path=[str(kit)])
        if d.name == "got10k"
    )
    certificate = {
        "made_by": "scripts/make_layout_goldens.py",
        "reference": f"got10k {version}, its readers and reports",
        "numpy": np.__version__,
        "date": datetime.date.today().isoformat(),
        "why": "the public toolkit that the presets */got10k reproduce",
    }
    GOLDEN.mkdir(exist_ok=True)
    golden = {"certificate": certificate, "layouts": found}
    (GOLDEN / "got10k_layouts.json").write_text(json.dumps(golden) + "\n")


def main() -> None:
    """Parses the command line and makes the golden."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kit", type=pathlib.Path, required=True)
    make(parser.parse_args().kit)


if __name__ == "__main__":
    main()
