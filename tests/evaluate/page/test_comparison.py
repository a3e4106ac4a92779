"""Rows beside their counterparts, against differences computed by hand."""

import pytest

from dst_jax.evaluate.page import comparisons
from tests.evaluate.page.cases import benchmark, entry


def test_every_row_stands_beside_the_plain_one_and_sharing_beside_teaching():
    rows = {"NOKD": 0.51, "TSKD": 0.60, "TSsKD": 0.59}
    found = comparisons(benchmark(*(entry(f"dull {r}", v) for r, v in rows.items())))
    assert {(one.row, one.other): round(one.mean, 6) for one in found} == {
        ("TSKD", "NOKD"): 0.09,
        ("TSsKD", "NOKD"): 0.08,
        ("TSsKD", "TSKD"): -0.01,
    }
    assert {(one.seeds, one.videos) for one in found} == {(1, 2)}
    assert [one.sign for one in found] == [1, 1, -1]


def test_seeds_are_paired_and_their_spread_makes_the_interval():
    plain, taught = entry("dull NOKD", 0.50, 0.52, 0.54), entry("dull TSKD", 0.6, 0.6)
    (found,) = comparisons(benchmark(plain, taught))
    # Seeds 0 and 1 are common: .10 and .08, sd .01414, quantile of one degree 12.706.
    assert found.mean == pytest.approx(0.09)
    assert found.spread == pytest.approx(0.0002**0.5)
    assert found.high == pytest.approx(0.09 + 12.7062 * 0.01, abs=1e-5)
    assert (found.seeds, found.ahead, found.sign) == (2, 2, 0)


def test_networks_without_seeds_are_compared_over_videos():
    rows = [entry(f"dull {row}", 0.5, 0.5, seeds=False) for row in ("NOKD", "TSKD")]
    (found,) = comparisons(benchmark(*rows))
    assert found.seeds == 1 and found.spread is None


def test_without_a_plain_row_the_first_is_the_counterpart():
    rows = [entry(f"dull {row}", 0.5) for row in ("TSKD", "TSsKD")]
    assert [(x.row, x.other) for x in comparisons(benchmark(*rows))] == [
        ("TSsKD", "TSKD")
    ]


def test_strangers_have_no_counterparts():
    assert comparisons(benchmark(entry("a", 0.5), entry("teacher", 0.6))) == []
