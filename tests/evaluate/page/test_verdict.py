"""What a page says in words, of scores made by hand."""

import dataclasses

import pytest

from dst_jax.evaluate.page import verdict
from tests.evaluate.page.cases import benchmark, entry
from tests.evaluate.test_difference import made


def dull(*, plain=0.51, taught=0.60, shared=0.59, gate=0.58, teacher=0.66):
    """A teacher, a student in three rows, and a box that never moves."""
    return benchmark(
        entry("teacher", teacher),
        entry("dull NOKD", plain),
        entry("dull TSKD", taught),
        entry("dull TSsKD", shared, gate=gate),
        entry("still", 0.14),
    )


def test_a_good_run_is_told_in_words_the_outcome_first():
    headline, *lines = verdict(dull())
    assert headline == (
        "dull TSsKD: AUC 0.595, 0.080 above NOKD, 26.3 times smaller than the teacher "
        "(0.665)."
    )
    assert lines[:3] == [
        "The teacher's AUC is 0.665, +0.150 from the best student without it (dull, "
        "0.515).",
        "dull, 26.3 times smaller: 0.605 with the teacher (TSKD), 0.515 without "
        "(NOKD): +0.090 (+0.090 to +0.090): distillation helps.",
        "dull: 0.595 when the students share too (TSsKD, gate open 58%): -0.010 "
        "(-0.010 to -0.010) from TSKD: sharing harms.",
    ]
    assert lines[3].startswith("Intervals are of 95 %, over 2 videos")


def test_the_smallest_student_comes_first_whatever_the_order():
    entries = dull().entries
    wide = entry("intelligent NOKD", 0.5), entry("intelligent TSKD", 0.4)
    lines = verdict(benchmark(*wide, *entries))
    assert lines[0].startswith("dull TSsKD: ")
    assert any(line.startswith("intelligent, 6.6 times smaller") for line in lines)


def test_a_student_below_its_counterpart_is_told():
    assert "0.495, 0.020 below NOKD" in verdict(dull(shared=0.49))[0]


def test_a_teacher_that_is_hardly_better_is_told():
    teacher = verdict(dull(teacher=0.53))[1]
    assert "+0.020 from the best student" in teacher
    assert teacher.endswith("do not judge distillation by this run.")


def test_a_gate_that_stayed_shut_is_told():
    assert verdict(dull(gate=0.0))[3] == (
        "dull: its gate stayed shut, so that TSsKD is TSKD here."
    )


def test_of_a_gate_that_nobody_knows_nothing_is_said():
    assert "gate" not in " ".join(verdict(dull(gate=None)))
    assert "share too (TSsKD): -0.010" in verdict(dull(gate=None))[3]


def test_videos_that_disagree_show_nothing():
    found = dull()
    (network,) = found.entries[2].networks
    network = dataclasses.replace(network, score=made(a=0.7, b=0.4))
    taught = dataclasses.replace(found.entries[2], networks=(network,))
    entries = *found.entries[:2], taught, *found.entries[3:]
    (line,) = (x for x in verdict(benchmark(*entries)) if "with the teacher" in x)
    assert line.endswith("(-0.120 to +0.190): no clear effect.")
    # Where that row is the last one, the headline does not keep it back.
    headline = verdict(benchmark(*entries[:3]))[0]
    assert "above NOKD (no clear effect), 26.3 times smaller" in headline


def test_rows_without_sharing_tell_of_features_alone():
    found = entry("teacher", 0.66), entry("dull NOKD", 0.51), entry("dull DLF", 0.60)
    lines = verdict(benchmark(*found))
    assert len(lines) == 4
    assert lines[2] == (
        "dull, 26.3 times smaller: 0.605 with the teacher (DLF), 0.515 without "
        "(NOKD): +0.090 (+0.090 to +0.090): distillation helps."
    )


def test_students_with_all_of_the_teachers_parameters_have_fewer_multiply_adds():
    same = {"parameters": 131_500, "search_macs": 20_000_000}
    rows = [entry(f"dull {row}", 0.5, **same) for row in ("NOKD", "LoReTrack")]
    lines = verdict(benchmark(entry("teacher", 0.66), *rows))
    assert lines[2].startswith("dull, 4.0 times fewer multiply-adds: 0.505 with")


def test_of_several_seeds_the_spread_of_seeds_is_told():
    lines = verdict(
        benchmark(
            entry("teacher", 0.66, 0.66, 0.66),
            entry("dull NOKD", 0.50, 0.52, 0.54),
            entry("dull TSKD", 0.53, 0.53, 0.56),
        )
    )
    # Differences of .03, .01, .02: sd .01, and Student's quantile for two is 4.303.
    assert "+0.020 (-0.005 to +0.045), ahead on 3 of 3 seeds: no clear" in lines[2]
    assert lines[3:] == ["Intervals are of 95 %, Student's, over 3 seeds of training."]


def test_strangers_are_ranked():
    found = benchmark(entry("a", 0.5), entry("b", 0.6), entry("c", 0.4))
    (line,) = verdict(found)
    assert line.startswith(
        "b has the best AUC of 3 trackers, 0.605; a follows with 0.505: +0.100 "
        "(+0.100 to +0.100), a clear lead."
    )
    assert verdict(benchmark(entry("a", 0.5))) == ["a: AUC 0.505."]


@pytest.mark.parametrize("row", ["NOKD", "TSsKD"])
def test_a_row_alone_is_beside_no_other(row):
    lines = verdict(benchmark(entry("teacher", 0.66), entry(f"dull {row}", 0.6)))
    assert lines[0] == (
        f"dull {row}: AUC 0.605, 26.3 times smaller than the teacher (0.665)."
    )
    assert not any("without" in line and "with the" in line for line in lines)
