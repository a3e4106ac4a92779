"""What a demonstration says in words, of scores made by hand."""

import pytest

from dst_jax.workflows.demo_verdict import differences, verdict
from tests.evaluate.test_difference import made


def scores(**by_tracker):
    """Scores on two videos, of which the second is .01 better."""
    return {
        name.replace("_", " "): made(a=value, b=value + 0.01)
        for name, value in by_tracker.items()
    }


ROWS = ("NOKD", "TSKD", "TSsKD")
GOOD = scores(teacher=0.66, dull_NOKD=0.51, dull_TSKD=0.60, dull_TSsKD=0.59, still=0.14)


def said(found, *, rows=ROWS, gate=0.58):
    # The mean over videos stands in a score's own values.
    for one in found.values():
        videos = [v.values["success_auc"] for v in one.sequences.values()]
        one.values["success_auc"] = sum(videos) / len(videos)
    return verdict(found, ["dull"], rows, ratios={"dull": 26.3}, gates={"dull": gate})


def test_a_good_run_is_told_in_words():
    assert said(GOOD)[:3] == [
        "The teacher's AUC is 0.665, +0.150 from the best student without it (dull, "
        "0.515).",
        "dull, 26.3 times smaller: 0.605 with the teacher (TSKD), 0.515 without "
        "(NOKD): +0.090 (+0.090 to +0.090): distillation helps.",
        "dull: 0.595 when the students share too (TSsKD, gate open 58%): -0.010 "
        "(-0.010 to -0.010) from TSKD: sharing harms.",
    ]
    assert said(GOOD)[3].startswith("Intervals are of 95 %, over 2 videos")


def test_a_teacher_that_is_hardly_better_is_told():
    found = {**GOOD, **scores(teacher=0.53)}
    assert "+0.020 from the best student" in said(found)[0]
    assert said(found)[0].endswith("do not judge distillation by this run.")


@pytest.mark.parametrize("gate", [0.0, None])
def test_a_gate_that_stayed_shut_is_told(gate):
    assert said(GOOD, gate=gate)[2] == (
        "dull: its gate stayed shut, so that TSsKD is TSKD here."
    )


def test_videos_that_disagree_show_nothing():
    found = {**GOOD, "dull TSKD": made(a=0.7, b=0.4)}
    assert said(found)[1].endswith("(-0.120 to +0.190): no clear effect.")


def test_rows_without_sharing_tell_of_features_alone():
    found = scores(teacher=0.66, dull_NOKD=0.51, dull_DLF=0.60, still=0.14)
    lines = said(found, rows=("NOKD", "DLF"), gate=None)
    assert len(lines) == 3
    assert lines[1] == (
        "dull, 26.3 times smaller: 0.605 with the teacher (DLF), 0.515 without "
        "(NOKD): +0.090 (+0.090 to +0.090): distillation helps."
    )
    assert list(differences(found, ["dull"], ("NOKD", "DLF"))) == [
        "dull DLF - dull NOKD"
    ]


def test_every_pair_of_rows_has_its_difference():
    found = differences(GOOD, ["dull"], ROWS)
    assert {pair: round(one.mean, 6) for pair, one in found.items()} == {
        "dull TSKD - dull NOKD": 0.09,
        "dull TSsKD - dull TSKD": -0.01,
        "dull TSsKD - dull NOKD": 0.08,
    }
