"""VOT's protocols with resets against vot-toolkit's figures and cases made by hand."""

import json
import pathlib

import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.evaluate import named_protocol
from dst_jax.evaluate.region_overlap import region_overlap
from dst_jax.evaluate.restart_run import run_with_restarts
from dst_jax.evaluate.restarts import RegionTruth, score_runs
from tests.evaluate import vot_case

GOLDEN = json.loads(
    (pathlib.Path(__file__).parent / "goldens" / "vot_toolkit.json").read_text()
)
TRUTHS = {
    name: RegionTruth(tuple(vot_case.truth_of(name)), vot_case.SIZE)
    for name in vot_case.SEQUENCES
}
EXACT = {"rel": 0.0, "abs": 1e-12}
# The toolkit averages overlaps in float32.
SINGLE = {"rel": 0.0, "abs": 1e-6}


def made_up_run(name, number):
    """The made-up tracker's run, whose regions the toolkit keeps in float32."""

    def follow(start):
        for frame in range(start + 1, len(TRUTHS[name].regions)):
            yield vot_case.predicted(name, number, start, frame)

    return run_with_restarts(follow, TRUTHS[name], skip=vot_case.SKIP)


@pytest.fixture(scope="module")
def runs():
    numbers = range(1, vot_case.RUNS + 1)
    return {n: [made_up_run(n, k) for k in numbers] for n in vot_case.SEQUENCES}


def test_overlaps_are_the_toolkits_pixel_for_pixel():
    given = vot_case.pairs()
    found = [region_overlap(a, b, vot_case.SIZE) for a, b in given]
    assert found == pytest.approx(GOLDEN["overlaps"], **EXACT)
    assert sum(0.0 < overlap < 1.0 for overlap in found) > 80


def test_a_tracker_starts_and_fails_where_the_toolkit_says(runs):
    for name, several in runs.items():
        for number, run in enumerate(several, 1):
            found = {
                "starts": [i for i, region in enumerate(run) if region == (1.0,)],
                "failures": [i for i, region in enumerate(run) if region == (2.0,)],
            }
            assert found == GOLDEN["runs"][f"{name}_{number:03d}"]


@pytest.mark.parametrize("year", ["vot2016", "vot2018", "vot2019"])
def test_scores_are_the_toolkits(runs, year):
    wanted = GOLDEN["scores"]
    found = score_runs(runs, TRUTHS, named_protocol(f"{year}/vot-toolkit"))
    assert found.values["eao"] == pytest.approx(wanted["eao"][year], **SINGLE)
    assert found.values["accuracy"] == pytest.approx(wanted["accuracy"], **EXACT)
    assert found.values["robustness"] == pytest.approx(wanted["robustness"], **EXACT)
    for name, part in found.sequences.items():
        each = wanted["sequences"][name]
        assert part.values["accuracy"] == pytest.approx(each["accuracy"], **EXACT)
        assert part.values["robustness"] == pytest.approx(each["failures"], **EXACT)
        assert part.failures == part.values["robustness"]


# A box of 10 x 10 that stands still; the half of it to the left overlaps it by 1/2.
STILL, HALF = (10.0, 10.0, 10.0, 10.0), (10.0, 10.0, 5.0, 10.0)
START, LOST, NOTHING = (1.0,), (2.0,), (0.0,)


def still(frames, *, size=(40, 40)):
    return RegionTruth((STILL,) * frames, size)


@pytest.mark.parametrize("kit", ["pysot", "vot-toolkit"])
@pytest.mark.parametrize("year", [2016, 2018, 2019])
def test_a_perfect_tracker_has_all_of_the_overlap_and_no_failure(kit, year):
    run = (START, *(STILL,) * 399)
    found = score_runs(
        {"a": [run]}, {"a": still(400)}, named_protocol(f"vot{year}/{kit}")
    )
    assert found.values == {"eao": 1.0, "accuracy": 1.0, "robustness": 0.0}


def test_kits_weigh_sequences_by_length_or_take_all_frames_together():
    # 100 frames at 1/2 without a failure; 50 at 1 with one in frame 40, five frames
    # from the end of which none is left that counts.
    runs = {
        "long": [(START, *(HALF,) * 99)],
        "short": [(START, *(STILL,) * 39, LOST, *(NOTHING,) * 4, START, *(STILL,) * 4)],
    }
    truths = {"long": still(100), "short": still(50)}
    toolkit = score_runs(runs, truths, named_protocol("vot2019/vot-toolkit"))
    assert toolkit.values["accuracy"] == pytest.approx((100 * 0.5 + 50 * 1.0) / 150)
    assert toolkit.values["robustness"] == pytest.approx(50 * 1.0 / 150)
    pysot = score_runs(runs, truths, named_protocol("vot2019/pysot"))
    # Ten frames from each start do not count: 90 of the long one, 30 of the short one.
    assert pysot.values["accuracy"] == pytest.approx((90 * 0.5 + 30 * 1.0) / 120)
    assert pysot.values["robustness"] == pytest.approx(100 * 1.0 / 150)
    assert [part.frames for part in pysot.sequences.values()] == [90, 30]


def test_after_a_failure_the_overlap_is_0_and_the_end_of_a_video_is_no_fault():
    # One start, 48 frames after it: overlap 1 in 23 of them, then a failure.
    lost = (START, *(STILL,) * 23, LOST, *(NOTHING,) * 4)
    runs, truths = {"a": [(*lost, START, *(STILL,) * 19)]}, {"a": still(49)}
    # Of N frames after the first start 23 have overlap 1; the second fragment, which
    # ends with the video after 19 frames, says nothing of more of them.
    toolkit = score_runs(runs, truths, named_protocol("vot2019/vot-toolkit"))
    assert toolkit.values["eao"] == pytest.approx(23 / 46)
    pysot = score_runs(runs, truths, named_protocol("vot2019/pysot"))
    lengths = np.arange(45, 49)
    assert pysot.values["eao"] == pytest.approx((23 / lengths).mean())


def test_a_failure_too_late_for_a_start_is_an_end_of_the_video_in_pysot_alone():
    long, late = 400, 60
    runs = {
        "long": [(START, *(STILL,) * (long - 1))],
        "late": [(START, *(STILL,) * (late - 2), LOST)],
    }
    truths = {"long": still(long), "late": still(late)}
    lengths = np.arange(45, 291)
    # In pysot the frame of the failure has overlap 0, and nothing is known after it.
    known = np.where(lengths < late - 1, 1.0, np.where(lengths > late - 1, np.nan, 0.0))
    second = np.where(lengths == late - 1, (late - 2) / (late - 1), known)
    means = np.nanmean([np.ones(len(lengths)), second], axis=0)
    pysot = score_runs(runs, truths, named_protocol("vot2019/pysot"))
    assert pysot.values["eao"] == pytest.approx(means.mean())
    lengths = np.arange(46, 292)
    toolkit = score_runs(runs, truths, named_protocol("vot2019/vot-toolkit"))
    second = np.minimum(late - 2, lengths) / lengths
    assert toolkit.values["eao"] == pytest.approx(((1.0 + second) / 2).mean())


def test_a_failure_five_frames_from_the_end_weighs_a_little_less_in_pysot():
    long, late = 400, 60
    runs = {
        "long": [(START, *(STILL,) * (long - 1))],
        "late": [(START, *(STILL,) * (late - 6), LOST, *(NOTHING,) * 4)],
    }
    truths = {"long": still(long), "late": still(late)}
    found = score_runs(runs, truths, named_protocol("vot2019/pysot"))
    lengths = np.arange(45, 291)
    second = np.minimum(late - 6, lengths) / lengths
    # Its fragment has 60 of the 61 frames to the next start, which would be the 61st.
    means = (1.0 + 60 / 61 * second) / (1.0 + 60 / 61)
    assert found.values["eao"] == pytest.approx(means.mean(), rel=1e-12)


def test_the_image_bounds_a_region():
    wide, narrow = (30.0, 0.0, 15.0, 4.0), (30.0, 0.0, 10.0, 4.0)
    # Of both, ten columns lie within 40 x 40; 5 more of the first one do not count.
    assert region_overlap(wide, narrow, (40, 40)) == 1.0
    assert region_overlap(wide, narrow, (40, 60)) == pytest.approx(10 / 15)


def test_a_tracker_starts_from_the_next_frame_with_a_region_and_asks_for_no_more():
    regions = [STILL] * 12
    regions[6] = regions[7] = (0.0,)
    regions[8] = (200.0, 10.0, 10.0, 10.0)  # outside of the image
    asked = []

    def follow(start):
        for frame in range(start + 1, 12):
            asked.append(frame)
            yield STILL if frame != 1 else (30.0, 30.0, 5.0, 5.0)

    run = run_with_restarts(follow, RegionTruth(tuple(regions), (40, 40)), skip=5)
    assert run == (START, LOST, *(NOTHING,) * 7, START, STILL, STILL)
    assert asked == [1, 10, 11]


def test_sequences_too_short_for_the_interval_are_refused():
    run, truth = {"a": [(START, STILL)]}, {"a": still(2)}
    with pytest.raises(InputError, match="vot2019/vot-toolkit: no sequence has 47 f"):
        score_runs(run, truth, named_protocol("vot2019/vot-toolkit"))
    with pytest.raises(InputError, match="a run of 2 frames for 3; give one region"):
        score_runs(run, {"a": still(3)}, named_protocol("vot2019"))
