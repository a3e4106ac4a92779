"""Makes a workspace for the VOT toolkit, and compares what it has written there.

`scripts/check_vot.sh` calls both parts and the toolkit between them. The sequence has a
textured square that moves by whole pixels, and the bundle filters that find it, so that
the truth is known.
"""

import argparse
import json
import pathlib
import sys

import cv2
import numpy as np

from dst_jax.arch import Chain, ConvSpec, CorrelationHeadSpec, InputSpec, TrackerSpec
from dst_jax.bundle import Bundle, load, save_bundle
from dst_jax.data import read_frame
from dst_jax.track import SiamFCTracking

SPEC = TrackerSpec(
    Chain((ConvSpec(8, 7, stride=4, batch_norm=False, activation="none"),)),
    CorrelationHeadSpec(scale=1e-7),
    InputSpec(template_px=39, search_px=79, train_search_px=79),
)
COUNT, SIDE, START, STEP = 40, 20, (60, 50), (2, 1)
NAME = "square"
STACK = """title: check
experiments:
  baseline:
    type: unsupervised
    repetitions: 1
    analyses:
      - type: average_accuracy
"""
TRACKERS = """[student]
label = student
protocol = python
command = dst_jax.adapters.vot:VotTracker
arg_bundle = {bundle}
timeout = 600
"""


def main() -> int:
    """Makes or compares; returns 1 if what was found is not what was expected."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("part", choices=("make", "compare"))
    parser.add_argument("workspace", type=pathlib.Path)
    words = parser.parse_args()
    if words.part == "make":
        make(words.workspace)
        return 0
    return compare(words.workspace)


def make(workspace: pathlib.Path) -> None:
    """Writes a workspace with one sequence and one tracker.

    Args:
      workspace: Its folder, which is made.
    """
    images = workspace / "sequences" / NAME / "color"
    images.mkdir(parents=True)
    rng = np.random.default_rng(0)
    texture = np.kron(rng.integers(0, 256, (5, 5, 3)), np.ones((4, 4, 1)))
    rows, columns = np.mgrid[0:150, 0:200]
    shade = 90 + 30 * np.sin(rows / 17.0) + 25 * np.cos(columns / 23.0)
    for number, (x, y, _, _) in enumerate(truth(), start=1):
        frame = np.repeat(shade[..., None], 3, axis=2)
        frame[y : y + SIDE, x : x + SIDE] = texture
        cv2.imwrite(str(images / f"{number:08d}.png"), frame.astype(np.uint8))
    lines = "".join(f"{x},{y},{w},{h}\n" for x, y, w, h in truth())
    (images.parent / "groundtruth.txt").write_text(lines)
    (images.parent / "sequence").write_text(
        f"name={NAME}\nfps=30\nformat=default\nchannel.default=color\n"
        "channels.color=color/%08d.png\n"
    )
    (workspace / "sequences" / "list.txt").write_text(f"{NAME}\n")
    (workspace / "stack.yaml").write_text(STACK)
    settings = (
        "stack: ./stack.yaml\nregistry:\n- ./trackers.ini\nsequences: sequences\n"
    )
    (workspace / "config.yaml").write_text(settings)
    bundle = save_bundle(
        Bundle(SPEC, weights(), SiamFCTracking(), {}), workspace / "student.bundle"
    )
    (workspace / "trackers.ini").write_text(TRACKERS.format(bundle=bundle.absolute()))


def compare(workspace: pathlib.Path) -> int:
    """Prints how far the toolkit's results are from a session's and from the truth.

    Args:
      workspace: Its folder.

    Returns:
      1 if they differ by more than a thousandth of a pixel, or miss the target.
    """
    found = np.loadtxt(
        workspace / f"results/student/baseline/{NAME}/{NAME}_001.txt",
        delimiter=",",
        skiprows=1,
    )
    session = load(workspace / "student.bundle")
    files = sorted((workspace / "sequences" / NAME / "color").iterdir())
    session.init(read_frame(files[0]), truth()[0])
    alone = [session.update(read_frame(file)).box for file in files[1:]]
    # The toolkit writes four digits.
    apart = float(abs(found - alone).max())
    missed = float(abs(found - truth()[1:]).max())
    reports = sorted(workspace.glob("analysis/**/*.json"))
    scores = [json.loads(report.read_text())["results"] for report in reports]
    print(f"frames after the first: {len(found)}")
    print(f"from a session: {apart:.4f} px at most; from the truth: {missed:.2f} px")
    print(f"analysis: {json.dumps(scores)[:600]}")
    return int(len(found) != COUNT - 1 or apart > 1e-3 or missed > 4.0 or not scores)


def truth() -> list[tuple[int, int, int, int]]:
    """Returns the target's corner and size in each frame."""
    (x, y), (dx, dy) = START, STEP
    return [(x + dx * t, y + dy * t, SIDE, SIDE) for t in range(COUNT)]


def weights() -> dict:
    """Returns filters that sum to zero: smooth background vanishes, texture stays."""
    kernel = np.random.default_rng(3).normal(size=(7, 7, 3, 8)).astype(np.float32)
    kernel -= kernel.mean(axis=(0, 1, 2), keepdims=True)
    conv = {"kernel": kernel, "bias": np.zeros(8, np.float32)}
    return {"params": {"backbone": {"conv1": {"conv": conv}}}, "batch_stats": {}}


if __name__ == "__main__":
    sys.exit(main())
