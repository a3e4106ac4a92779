"""The got10k toolkit runs and scores a bundle by its own experiment."""

import json
import subprocess
import sys

import cv2
import numpy as np
import pytest

from dst_jax.bundle import Bundle, save_bundle
from dst_jax.track import SiamFCTracking
from tests.track import scenes

COUNT = 6


@pytest.fixture
def bundle(tmp_path):
    value = Bundle(scenes.SPEC, scenes.weights(), SiamFCTracking(), {})
    return save_bundle(value, tmp_path / "student.bundle")


@pytest.fixture
def data(tmp_path):
    """Two sequences in GOT-10k's layout, whose squares move by whole pixels."""
    root = tmp_path / "data" / "val"
    for number, velocity in enumerate([(2.0, 1.0), (-1.0, 2.0)], start=1):
        folder = root / f"GOT-10k_Val_{number:06d}"
        folder.mkdir(parents=True)
        frames, boxes = scenes.video(COUNT, velocity=velocity, seed=number)
        for t, frame in enumerate(frames, start=1):
            cv2.imwrite(str(folder / f"{t:08d}.jpg"), frame[..., ::-1])
        corners = boxes - np.array([10.0, 10.0, 0.0, 0.0])
        np.savetxt(folder / "groundtruth.txt", corners, delimiter=",", fmt="%.4f")
        for label, value in (("absence", 0), ("cut_by_image", 0), ("cover", 8)):
            (folder / f"{label}.label").write_text(f"{value}\n" * COUNT)
        (folder / "meta_info.ini").write_text("[METAINFO]\nresolution: (150, 120)\n")
    names = sorted(path.name for path in root.iterdir())
    (root / "list.txt").write_text("\n".join(names) + "\n")
    return root.parent


def test_the_toolkit_s_experiment_finds_the_targets(
    bundle, data, tmp_path, monkeypatch
):
    pytest.importorskip("got10k", reason="pip install got10k==0.1.3")
    import matplotlib

    matplotlib.use("Agg")
    from got10k.experiments import ExperimentGOT10k

    from dst_jax.adapters.got10k import Got10kTracker

    monkeypatch.chdir(tmp_path)
    experiment = ExperimentGOT10k(str(data), subset="val")
    experiment.run(Got10kTracker(bundle, name="student"))
    performance = experiment.report(["student"])
    folder = tmp_path / "results" / "GOT-10k" / "student"
    # It is deterministic: one repetition each.
    files = sorted(path.name for path in folder.glob("*/*_00?.txt"))
    assert files == [f"GOT-10k_Val_00000{n}_001.txt" for n in (1, 2)]
    for number, (dx, dy) in enumerate([(2, 1), (-1, 2)], start=1):
        name = f"GOT-10k_Val_{number:06d}"
        boxes = np.loadtxt(folder / name / f"{name}_001.txt", delimiter=",")
        expected = [(60 + dx * t, 50 + dy * t, 20, 20) for t in range(COUNT)]
        np.testing.assert_allclose(boxes, expected, atol=3.0)
    assert performance["student"]["overall"]["ao"] > 0.7
    written = json.loads(
        (tmp_path / "reports/GOT-10k/student/performance.json").read_text()
    )
    assert written["student"]["overall"]["sr"] == 1.0


WITHOUT = """
import sys
sys.modules["got10k"] = None
from dst_jax.errors import InputError
try:
    import dst_jax.adapters.got10k
except InputError as error:
    print(error)
"""


def test_without_the_toolkit_a_line_says_what_to_install():
    program = [sys.executable, "-c", WITHOUT]
    said = subprocess.run(program, capture_output=True, text=True, check=True).stdout
    assert said.startswith("dst_jax.adapters.got10k: ") and said.endswith(
        "; pip install got10k.\n"
    )
    assert said.count("\n") == 1
