"""Every layout's truth, written as its own kit writes results, is a perfect tracker."""

import io

import numpy as np
import pytest
from rich.console import Console

from dst_jax.data.readers import READERS, read_sequences
from dst_jax.errors import InputError
from dst_jax.workflows import tracker_runs
from dst_jax.workflows.evaluate import evaluate_results, evaluate_trackers
from dst_jax.workflows.runner import Outcome
from tests.data.readers.test_broken_files import TEXTS, write_layout
from tests.data.readers.trees import write_frames, write_rows
from tests.workflows.bundles import save_tiny

PERFECT = 20 / 21
# What the protocol of a layout's papers quotes first, and what a perfect tracker has.
# LaSOT and GOT-10k of `write_layout` lack labels or have them all.
QUOTED = {"trackingnet": ("success_area", 1.0), "got10k": ("average_overlap", 1.0)}
# x,y,w,h of every frame of a sequence of `write_layout`, from the first pixel on that
# the data set's kit counts from; where the truth is such a text, it is `TEXTS`.
LINES = {
    ("folder", "bee-cat"): "1,1,10,20\n" * 3,
    "nfs": "1,1,9,19\n" * 3,  # xmin ymin xmax ymax are 1 1 10 20
    "nfs-240": "1,1,9,19\n" * 3,
    "vot": "1,1,10,20\n" * 3,  # a rectangle's corners
    "davis": "10,5,20,10\n" * 2,  # rows 5 to 14 and columns 10 to 29 of the mask
    "vid": "10,5,20,10\n" * 2,  # xmin 10 to xmax 29, both included
    "ytbb": "6,4,24,16\n" * 3,  # .1 to .5 of 60 x 40
}
VIDEO = [layout for layout in READERS if layout not in ("det", "coco")]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("bundles") / "mine")


@pytest.mark.parametrize("layout", VIDEO)
def test_the_truth_in_the_files_of_its_kit_scores_as_a_perfect_tracker(
    tmp_path, layout, bundle, monkeypatch
):
    write_layout(tmp_path / "data", layout)
    source = f"{layout}:{tmp_path / 'data'}"
    sequences = read_sequences(source)
    for sequence in sequences:
        text = LINES.get((layout, sequence.name), LINES.get(layout, TEXTS))
        rows = np.loadtxt(io.StringIO(text), delimiter=",")[: len(sequence)]
        write_rows(tmp_path / "mine" / f"{sequence.name}.txt", rows.tolist())
    (quoted,) = evaluate_results(source, tmp_path / "mine").scores.values()
    measure, value = QUOTED.get(layout, ("success_auc", PERFECT))
    assert quoted.values[measure] == pytest.approx(value, rel=1e-12)
    by_otb = evaluate_results(source, tmp_path / "mine", protocol="otb")
    (score,) = by_otb.scores.values()
    assert score.values["success_auc"] == pytest.approx(PERFECT, rel=1e-12)
    assert score.curves["precision"][0] == 1.0  # no centre is off by half a pixel

    def perfect(_, given, **__):
        for one in given:
            yield Outcome(one.name, one.boxes)

    monkeypatch.setattr(tracker_runs, "follow_bundle", perfect)
    evaluate_trackers(source, [bundle], results_out=tmp_path / "out")
    for sequence in sequences:
        written = tmp_path / "out" / "mine" / f"{sequence.name}.txt"
        wanted = tmp_path / "mine" / f"{sequence.name}.txt"
        np.testing.assert_array_equal(
            np.loadtxt(written, delimiter=","), np.loadtxt(wanted, delimiter=",")
        )


# Where boxes and frames lie, by layout.
PLACES = {
    "otb": ("{}/groundtruth_rect.txt", "{}/img"),
    "dtb70": ("{}/groundtruth_rect.txt", "{}/img"),
    "tc128": ("{0}/{0}_gt.txt", "{}/img"),
    "got10k": ("{}/groundtruth.txt", "{}"),
    "vot": ("{}/groundtruth.txt", "{}"),
    "nfs": ("{0}/30/{0}.txt", "{0}/30/{0}"),
    "lasot": ("{}/groundtruth.txt", "{}/img"),
    "trackingnet": ("anno/{}.txt", "frames/{}"),
    "uav123": ("anno/UAV123/{}.txt", "data_seq/UAV123/{}"),
}
GOOD = [(5, 7, 10, 20), (6, 8, 10, 20), (7, 8, 10, 20)]


def write_truth(root, layout, rows, *, name="Board"):
    file, folder = (root / part.format(name) for part in PLACES[layout])
    write_frames(folder, range(1, len(rows) + 1))
    lines = [",".join(map(str, row)) for row in rows]
    if layout == "nfs":
        corners = [(x, y, x + w, y + h) for x, y, w, h in rows]
        texts = [" ".join(map(str, box)) for box in corners]
        lines = [f'0 {text} {i} 0 0 0 "a"' for i, text in enumerate(texts)]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(lines) + "\n")
    return f"{layout}:{root}"


def scored(tmp_path, source, rows, *, name="Board"):
    """Score and output by OTB's protocol, whatever the layout."""
    write_rows(tmp_path / "mine" / f"{name}.txt", rows)
    console = Console(file=io.StringIO(), width=200)
    mine = tmp_path / "mine"
    found = evaluate_results(source, mine, protocol="otb", console=console)
    return found.scores["mine"], console.file.getvalue()


CODED = ("lasot", "trackingnet", "uav123")


@pytest.mark.parametrize("layout", [name for name in PLACES if name not in CODED])
def test_truth_that_ends_in_zeros_counts_as_overlap_0_and_is_told(tmp_path, layout):
    source = write_truth(tmp_path / "d", layout, [*GOOD, (0, 0, 0, 0)])
    score, shown = scored(tmp_path, source, [*GOOD, (7, 8, 10, 20)])
    assert score.values["success_auc"] == pytest.approx(3 / 4 * PERFECT, rel=1e-12)
    assert (
        "1 frame of Board has a true box without area: it counts as overlap 0" in shown
    )
    (board,) = read_sequences(source)
    assert board.visible.tolist() == [True, True, True, False]


@pytest.mark.parametrize("layout", CODED)
def test_a_layouts_code_for_no_target_is_left_out_and_told(tmp_path, layout):
    source = write_truth(tmp_path / "d", layout, [*GOOD, (0, 0, 0, 0)])
    score, shown = scored(tmp_path, source, [*GOOD, (7, 8, 10, 20)])
    assert score.values["success_auc"] == pytest.approx(PERFECT, rel=1e-12)
    assert "1 frame of Board has no true box: it does not count" in shown


@pytest.mark.parametrize("layout", [name for name in PLACES if name != "nfs"])
def test_four_nan_are_left_out_in_every_layout(tmp_path, layout):
    source = write_truth(tmp_path / "d", layout, [*GOOD, ("nan",) * 4])
    score, _ = scored(tmp_path, source, [*GOOD, (7, 8, 10, 20)])
    assert score.values["success_auc"] == pytest.approx(PERFECT, rel=1e-12)


@pytest.mark.parametrize("layout", PLACES)
@pytest.mark.parametrize("row", [(5, 7, 0, 20), (5, 7, 10, -2), (70, 7, 10, 20)])
def test_a_kit_scores_what_training_refuses(tmp_path, layout, row):
    source = write_truth(tmp_path / "d", layout, [*GOOD, row])
    with pytest.raises(InputError, match=r"has no area|lies outside"):
        read_sequences(source)
    score, _ = scored(tmp_path, source, [*GOOD, (5, 7, 10, 20)])
    assert score.values["success_auc"] == pytest.approx(3 / 4 * PERFECT, rel=1e-12)


@pytest.mark.parametrize("layout", [name for name in PLACES if name != "nfs"])
@pytest.mark.parametrize("row", [("nan", 7, 10, 20), (5, 7, "inf", 20), (5, 7, 10)])
def test_half_a_line_is_a_fault_in_every_layout(tmp_path, layout, row):
    source = write_truth(tmp_path / "d", layout, [*GOOD, row])
    with pytest.raises(InputError, match="line 4"):
        scored(tmp_path, source, [*GOOD, (5, 7, 10, 20)])


@pytest.mark.parametrize(
    ("row", "fault"),
    [
        ((0, 0, 0, 0), "a box without area"),
        (("nan",) * 4, "no box"),
        ((70, 7, 10, 20), "a box outside of the image"),
    ],
)
def test_a_tracker_cannot_start_where_the_first_frame_has_no_target(
    tmp_path, bundle, row, fault
):
    source = write_truth(tmp_path / "d", "otb", [row, *GOOD])
    with pytest.raises(InputError) as caught:
        evaluate_trackers(source, [bundle])
    assert str(caught.value) == (
        f"1 of 1 video cannot be used: sequence 'Board' has {fault} in its first "
        "frame, from which a tracker starts; cut the frames before the target appears."
    )
