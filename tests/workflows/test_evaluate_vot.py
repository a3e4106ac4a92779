"""Runs with restarts: from files of VOT's kits, and of a tracker that is run."""

import io
import json

import numpy as np
import pytest
from rich.console import Console

from dst_jax.boxes import cxcywh_to_xywh
from dst_jax.bundle import load_bundle
from dst_jax.data import read_frame
from dst_jax.data.readers import read_sequences
from dst_jax.errors import InputError
from dst_jax.evaluate.region_overlap import region_overlap
from dst_jax.regions import starting_box
from dst_jax.track import Session
from dst_jax.workflows import tracker_runs
from dst_jax.workflows.evaluate import evaluate_results, evaluate_trackers
from dst_jax.workflows.publishing import Outputs
from tests.data.readers.trees import HEIGHT, WIDTH, write_frames, write_rows
from tests.evaluate import vot_case
from tests.evaluate.test_vot import GOLDEN
from tests.workflows.bundles import save_tiny

# A diamond that stands still and is somewhere else from frame 20 on.
HERE = (18, 8, 27, 17, 18, 26, 9, 17)
THERE = tuple(value + 24 if i % 2 == 0 else value + 6 for i, value in enumerate(HERE))
JUMP, FRAMES = 20, 50


def write_vot(root, name, lines, *, size=(HEIGHT, WIDTH)):
    write_frames(root / name / "color", range(1, len(lines) + 1), size=size)
    write_rows(root / name / "groundtruth.txt", lines)
    return f"vot:{root}"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return save_tiny(tmp_path_factory.mktemp("bundles") / "mine")


@pytest.fixture(scope="module")
def jumping(tmp_path_factory):
    rows = [HERE] * JUMP + [THERE] * (FRAMES - JUMP)
    return write_vot(tmp_path_factory.mktemp("vot"), "bag", rows)


@pytest.fixture(scope="module")
def car(tmp_path_factory):
    """The made-up sequence of which the toolkit's own file is a golden."""
    root = tmp_path_factory.mktemp("car")
    return write_vot(root, "car", vot_case.truth_of("car"), size=vot_case.SIZE)


def shown(dataset, results, **options):
    console = Console(file=io.StringIO(), width=200)
    found = evaluate_results(dataset, results, console=console, **options)
    return found, console.file.getvalue()


def write_run(folder, name, text):
    path = folder / "baseline" / name / f"{name}_001.txt"
    path.parent.mkdir(parents=True)
    path.write_text(text)
    return folder


@pytest.mark.parametrize("rows", [[HERE] * 47, [(5, 7, 10, 20)] * 47])
def test_the_truth_as_a_result_scores_as_a_perfect_tracker(tmp_path, rows):
    data = write_vot(tmp_path / "d", "bag", rows)
    write_rows(tmp_path / "mine" / "bag.txt", rows)
    write_run(tmp_path / "run", "bag", (tmp_path / "mine" / "bag.txt").read_text())
    for folder in ("mine", "run"):
        found, _ = shown(data, tmp_path / folder)
        wanted = {"eao": 1.0, "accuracy": 1.0, "robustness": 0.0}
        assert found.scores[folder].values == wanted
        assert found.scores[folder].protocol.name == "vot2019/pysot"


def test_a_file_of_the_toolkit_is_read_and_the_table_says_how_it_is_scored(
    tmp_path, car
):
    mine = write_run(tmp_path / "mine", "car", GOLDEN["text"]["car_001"])
    file = tmp_path / "scores.json"
    found, text = shown(
        car, mine, protocol="vot2019/vot-toolkit", outputs=Outputs(json=file)
    )
    assert found.scores["mine"].values["robustness"] == 2.0
    accuracy = pytest.approx(GOLDEN["accuracy"]["car_001"], abs=1e-12)
    assert found.scores["mine"].values["accuracy"] == accuracy
    assert "by vot2019/vot-toolkit" in text
    heading = next(line for line in text.splitlines() if "tracker" in line)
    assert [word for word in heading.split() if word.isalpha()] == [
        "tracker",
        "EAO",
        "A",
        "R",
    ]
    assert "mine: 2 failures in 1 sequence." in text
    written = json.loads(file.read_text())
    assert written["protocol"]["low"] == 46
    assert written["trackers"]["mine"]["sequences"]["car"]["robustness"] == 2.0
    assert "eao" not in written["trackers"]["mine"]["sequences"]["car"]


def session_run(bundle, sequence):
    """What a session does that is started anew five frames after each failure."""
    session, run = Session(load_bundle(bundle)), []
    for number, path in enumerate(sequence.frames):
        image, truth = read_frame(path), sequence.regions[number]
        if len(run) > number:
            continue  # the frame is skipped after a failure
        if not run or run[-1] == (0.0,):
            cx, cy, width, height = starting_box(truth)
            session.init(image, (cx - width / 2, cy - height / 2, width, height))
            run.append((1.0,))
            continue
        box = tuple(session.update(image).box)
        lost = region_overlap(box, truth, sequence.size) == 0.0
        run += [(2.0,), *[(0.0,)] * 4] if lost else [box]
    return run[: len(sequence)]


def test_a_tracker_does_what_a_session_does_that_is_started_anew(
    tmp_path, bundle, jumping
):
    out = tmp_path / "out"
    (score,) = evaluate_trackers(jumping, [bundle], results_out=out).scores.values()
    (sequence,) = read_sequences(jumping)
    wanted = session_run(bundle, sequence)
    lines = (out / "mine" / "baseline" / "bag" / "bag_001.txt").read_text().splitlines()
    found = [tuple(float(v) for v in line.split(",")) for line in lines]
    assert len(found) == len(wanted) == FRAMES
    assert wanted.count((2.0,)) >= 1 and wanted[JUMP] == (2.0,)
    for ours, theirs in zip(found, wanted, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=2e-3)
    assert score.values["robustness"] == 100 * wanted.count((2.0,)) / FRAMES


def moved(jumps, count):
    """A diamond that is elsewhere from each of some frames on, and then back."""
    places, rows = (HERE, THERE), []
    for number in range(count):
        rows.append(places[sum(number >= jump for jump in jumps) % 2])
    return rows


def written(folder):
    return {path.name: path.read_text() for path in sorted(folder.rglob("*_001.txt"))}


def test_restarts_of_videos_in_a_batch_are_those_of_each_alone(tmp_path, bundle):
    jumps = {"a": [20], "b": [5, 9, 30, 31], "c": [], "d": [46], "e": [1, 40]}
    for count, (name, at) in enumerate(jumps.items(), 46):
        data = write_vot(tmp_path / "d", name, moved(at, count))
    # The other canvas has a program of its own.
    write_vot(tmp_path / "d", "wide", moved([8], 50), size=(HEIGHT, 170))
    found = {}
    for batch in (1, 4):
        out = tmp_path / f"out-{batch}"
        scored = evaluate_trackers(data, [bundle], results_out=out, batch=batch)
        found[batch] = scored.scores["mine"].values, written(out)
    assert found[4] == found[1]
    assert len(found[1][1]) == 6
    sequences = {sequence.name: sequence for sequence in read_sequences(data)}
    for name, text in found[1][1].items():
        wanted = session_run(bundle, sequences[name.removesuffix("_001.txt")])
        ours = [tuple(map(float, line.split(","))) for line in text.splitlines()]
        assert [one for one in ours if len(one) == 1] == [
            one for one in wanted if len(one) == 1
        ]


def test_a_bad_frame_ends_a_video_unless_it_is_skipped_after_a_failure(
    tmp_path, bundle
):
    for name in ("skipped", "seen", "good"):
        data = write_vot(tmp_path / "d", name, moved([20], 50))
    write_vot(tmp_path / "d", "short", moved([1], 5))
    out = tmp_path / "out"
    evaluate_trackers(data, [bundle], results_out=out, batch=2)
    lines = written(out)["good_001.txt"].splitlines()
    failed = lines.index("2")
    # After its failure the short one has no frame left for a start.
    assert written(out)["short_001.txt"] == "1\n2\n0\n0\n0\n"
    bad = {"skipped": failed + 2, "seen": failed + 7, "short": 3}
    for name, number in bad.items():
        path = sorted((tmp_path / "d" / name / "color").iterdir())[number]
        path.write_bytes(b"no image")
    with pytest.raises(InputError, match=r"1 of 4 videos cannot be used: .*seen"):
        evaluate_trackers(data, [bundle], results_out=tmp_path / "again", batch=2)
    again = written(tmp_path / "again")
    names = ["good_001.txt", "short_001.txt", "skipped_001.txt"]
    assert again == {name: written(out)[name] for name in names}


def test_runs_are_taken_up_scored_from_their_files_and_told_from_boxes(
    tmp_path, bundle, jumping, monkeypatch
):
    out = tmp_path / "out"
    first = evaluate_trackers(jumping, [bundle], results_out=out)
    monkeypatch.setattr(tracker_runs, "follow_bundle_with_resets", None)
    again = evaluate_trackers(jumping, [bundle], results_out=out, protocol="vot2019")
    read, _ = shown(jumping, out / "mine")
    assert again.scores["mine"].values == first.scores["mine"].values
    assert read.scores["mine"].values == first.scores["mine"].values
    with pytest.raises(InputError, match="holds boxes of a protocol with other resta"):
        evaluate_trackers(jumping, [bundle], results_out=out, protocol="otb")
    message = "has the layout of a VOT workspace, .* by --protocol vot2019"
    with pytest.raises(InputError, match=message):
        shown(jumping, out / "mine", protocol="otb")


def test_a_start_is_pysots_box_around_pixels():
    # Pixels 0 to 9 in both: the box is theirs, as that of a rectangle.
    square = (0.0, 0.0, 9.0, 0.0, 9.0, 9.0, 0.0, 9.0)
    assert starting_box(square).tolist() == [5.0, 5.0, 10.0, 10.0]
    assert starting_box((0.0, 0.0, 10.0, 10.0)).tolist() == [5.0, 5.0, 10.0, 10.0]
    # A square on its tip has half the area of its bounding box.
    diamond = tuple(float(value) for value in HERE)
    side = 18.0 * 0.5**0.5 + 1.0
    assert starting_box(diamond) == pytest.approx([18.5, 17.5, side, side])
    assert np.isnan(starting_box((0.0,))).all()
    assert cxcywh_to_xywh(starting_box(square)).tolist() == [0.0, 0.0, 10.0, 10.0]


BOX = "5,7,10,20"


def padded(*head):
    return [*head, *[BOX] * (47 - len(head))]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (padded("1", BOX, "1"), "line 3: 1 where the tracker runs, not a region or 2"),
        (padded("1", "2"), "line 3: .* waits for a start, not 0 or 1; restore the"),
        (["0"] * 47, "no line has a 1, a start"),
        (padded("1", "5,7,10"), "line 2: '5,7,10' is no code 0, 1 or 2, rectangle or"),
        (padded("1", "nan,7,10,20"), "line 2: .* is no code"),
        (padded("1")[:46], "ends at line 46, but the sequence has 47 frames; give one"),
        (padded(BOX, "50,30,4,4"), "line 2: .* line 1 has no 1, .* --protocol otb"),
        (padded(BOX, "2"), "line 3: .* waits for a start"),
    ],
)
def test_a_file_that_is_no_run_is_refused_with_its_line(tmp_path, lines, message):
    data = write_vot(tmp_path / "d", "bag", [(5, 7, 10, 20)] * 47)
    mine = write_run(tmp_path / "mine", "bag", "\n".join(lines) + "\n")
    with pytest.raises(InputError, match=message):
        evaluate_results(data, mine)


def test_what_has_no_regions_or_is_too_short_is_refused_and_not_the_default(tmp_path):
    write_rows(tmp_path / "mine" / "bag.txt", [(5, 7, 10, 20)] * 47)
    boxes = [(5, 7, 10, 20)] * 47
    write_rows(tmp_path / "otb" / "bag" / "groundtruth_rect.txt", boxes)
    masks = [*boxes[1:], ("m5", 7, 10, 20, 0, 200)]
    no_regions = "rectangles or polygons in VOT's layout, without masks"
    needs = {
        f"otb:{tmp_path / 'otb'}": no_regions,
        write_vot(tmp_path / "masks", "bag", masks): no_regions,
        write_vot(tmp_path / "s", "bag", boxes[:45]): "videos of more than 45 frames",
    }
    for data, need in needs.items():
        with pytest.raises(InputError) as caught:
            evaluate_results(data, tmp_path / "mine", protocol="vot2019")
        assert str(caught.value) == (
            f"protocol vot2019/pysot: needs {need}, which {data} does not state; add "
            "them, or choose another protocol, such as otb/got10k."
        )
    found, text = shown(f"vot:{tmp_path / 'masks'}", tmp_path / "mine")
    assert found.scores["mine"].protocol.name == "otb/got10k"
    assert "By otb/got10k, since vot2019/pysot needs rectangles or polygons" in text


def test_binary_files_and_another_origin_are_refused(tmp_path):
    data = write_vot(tmp_path / "d", "bag", [HERE] * 47)
    place = tmp_path / "mine" / "baseline" / "bag" / "bag_001.bin"
    place.parent.mkdir(parents=True)
    place.write_bytes(b"\x01\x00")
    with pytest.raises(InputError, match=r"bag_001\.bin; write text, with resu"):
        evaluate_results(data, tmp_path / "mine")
    with pytest.raises(InputError, match="--results-origin 1: VOT's files count"):
        evaluate_results(data, tmp_path / "mine", origin=1)


def test_the_plots_show_the_overlap_to_expect(tmp_path):
    data = write_vot(tmp_path / "d", "bag", [HERE] * 60)
    run = ["1", *[",".join(map(str, HERE))] * 29, "2", *["0"] * 29]
    mine = write_run(tmp_path / "mine", "bag", "\n".join(run) + "\n")
    outputs = Outputs(plots=tmp_path / "plots")
    found, _ = shown(data, mine, outputs=outputs, protocol="vot2019/vot-toolkit")
    assert sorted(path.name for path in (tmp_path / "plots").iterdir()) == [
        "eao.png",
        "eao.svg",
    ]
    svg = (tmp_path / "plots" / "eao.svg").read_text()
    assert "Expected overlap by vot2019/vot-toolkit" in svg
    curve = found.scores["mine"].curves["expected_overlap"]
    # Of N frames after the start the first 29 have overlap 1.
    assert curve.tolist() == pytest.approx(
        [min(29, length) / length for length in range(1, 47)]
    )


def test_the_default_names_the_year_and_the_other_ones(tmp_path):
    data = write_vot(tmp_path / "d", "bag", [HERE] * 120)
    write_rows(tmp_path / "mine" / "bag.txt", [HERE] * 120)
    _, text = shown(data, tmp_path / "mine")
    assert "By vot2019/pysot; --protocol vot2016 or vot2018 for these years." in text
    found, text = shown(data, tmp_path / "mine", protocol="vot2016")
    assert found.scores["mine"].protocol.name == "vot2016/pysot"
    assert "for these years" not in text
