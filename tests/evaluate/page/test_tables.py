"""The tables of a page, and its means over seeds, against values made by hand."""

import dataclasses

import numpy as np
import pytest

from dst_jax.evaluate import named_protocol, score
from dst_jax.evaluate.page.content import mean_score
from dst_jax.evaluate.page.tables import (
    attribute_table,
    comparison_table,
    sequence_table,
    speed_table,
    tracker_table,
)
from tests.evaluate.page.cases import benchmark, entry, scored

TEACHER = entry("teacher", 0.66, fps=120.0)
PLAIN, SHARED = entry("dull NOKD", 0.5), entry("dull TSsKD", 0.6, gate=0.25)


def test_the_table_of_trackers_has_sizes_speeds_and_gates():
    table = tracker_table(benchmark(TEACHER, PLAIN, SHARED))
    teacher, _, shared = table.rows
    assert teacher["compression"] == 1.0 and shared["compression"] == 26.3
    assert (teacher["speed"], shared["speed"]) == (120.0, None)
    assert (teacher["gate open"], shared["gate open"]) == (None, 25.0)
    assert shared["AUC"] == pytest.approx(0.605)
    assert "TSsKD is TSKD" in table.caption


def test_speeds_of_stages_stand_beside_that_of_all_videos():
    timed = entry("teacher", 0.66, fps=120.0, stages={"network": 400.0})
    table = speed_table(benchmark(timed, PLAIN))
    assert table.rows == [
        {"tracker": "teacher", "network": 400.0, "all videos": 120.0},
        {"tracker": "dull NOKD", "network": None, "all videos": None},
    ]
    assert speed_table(benchmark(TEACHER, PLAIN)) is None


def test_columns_that_nobody_knows_are_left_out():
    (row,) = tracker_table(benchmark(entry("a", 0.5))).rows
    assert list(row) == ["tracker", "AUC", "P@20", "OP.5"]


def test_several_seeds_are_shown_with_their_number_and_spread():
    table = tracker_table(benchmark(TEACHER, entry("dull NOKD", 0.5, 0.6)))
    teacher, dull = table.rows
    assert (teacher["seeds"], teacher["±"]) == (1, None)
    assert dull["seeds"] == 2 and dull["AUC"] == pytest.approx(0.555)
    assert dull["±"] == pytest.approx(0.1 / 2**0.5)


def test_a_shut_gate_is_told_beside_the_row():
    shut = entry("dull TSsKD", 0.5, gate=0.0)
    (row,) = comparison_table(benchmark(TEACHER, PLAIN, shut)).rows
    assert row["row"] == "TSsKD (gate shut)" and "ahead" not in row


def test_differences_over_seeds_say_on_how_many():
    rows = entry("dull NOKD", 0.5, 0.5), entry("dull TSKD", 0.6, 0.4)
    (row,) = comparison_table(benchmark(*rows)).rows
    assert row["ahead"] == "on 1 of 2 seeds"
    assert row["± over seeds"] == pytest.approx(0.2 / 2**0.5)
    assert comparison_table(benchmark(TEACHER)) is None


def test_sequences_are_shown_the_hardest_first():
    table = sequence_table(benchmark(TEACHER, PLAIN))
    assert [row["sequence"] for row in table.rows] == ["a", "b"]
    assert table.rows[1]["teacher"] == pytest.approx(0.67)
    assert table.rows[1]["frames"] == 3 and list(table.compared) == [
        "teacher",
        "dull NOKD",
    ]


def test_attributes_are_means_over_the_sequences_that_have_them():
    attributes = {"occlusion": ("a", "b"), "blur": ("b",)}
    table = attribute_table(benchmark(TEACHER, PLAIN, attributes=attributes))
    assert [dict(row) for row in table.rows] == [
        {"attribute": "blur", "sequences": 1, "teacher": 0.67, "dull NOKD": 0.51},
        {
            "attribute": "occlusion",
            "sequences": 2,
            "teacher": pytest.approx(0.665),
            "dull NOKD": pytest.approx(0.505),
        },
    ]
    assert attribute_table(benchmark(TEACHER)) is None


def test_a_mean_score_is_that_of_numbers_curves_and_sequences():
    first, second = scored(0.5), scored(0.6)
    curves = {name: np.zeros_like(curve) for name, curve in second.curves.items()}
    second = dataclasses.replace(second, curves=curves)
    mean = mean_score([first, second])
    assert mean.values["success_auc"] == pytest.approx(0.555)
    assert mean.sequences["b"].values["success_auc"] == pytest.approx(0.56)
    half = first.curves["success"] / 2
    np.testing.assert_allclose(mean.curves["success"], half)


def test_every_protocol_has_its_own_columns():
    truth = {"a": np.array([[20.0, 30.0, 8.0, 10.0]] * 3)}
    found = score(truth, truth, named_protocol("lasot"))
    network = dataclasses.replace(entry("a", 0.5).networks[0], score=found)
    one = dataclasses.replace(entry("a", 0.5), networks=(network,))
    (row,) = tracker_table(benchmark(one)).rows
    headings = [measure.heading for measure in found.protocol.measures]
    assert list(row) == ["tracker", *headings]
