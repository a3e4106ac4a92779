"""Paired differences of two trackers, against values counted by hand."""

import dataclasses

import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.evaluate import OTB, Score, paired_difference, score


def made(**values: float) -> Score:
    """A score whose videos have these AUC."""
    box = np.array([[5.0, 5.0, 4.0, 4.0]] * 3)
    truth = dict.fromkeys(values, box)
    base = score(truth, truth, OTB)
    videos = {
        name: dataclasses.replace(one, values={**one.values, "success_auc": value})
        for (name, one), value in zip(
            base.sequences.items(), values.values(), strict=True
        )
    }
    return dataclasses.replace(base, sequences=videos)


def test_videos_are_paired_by_name():
    first, second = made(a=0.5, b=0.9), made(b=0.5, a=0.3)
    assert paired_difference(first, second).mean == pytest.approx(0.3)


def test_the_interval_of_two_videos_reaches_from_one_to_the_other():
    # Of two videos a quarter of the draws takes the first alone, a quarter the second.
    found = paired_difference(made(a=0.5, b=0.9), made(a=0.4, b=0.5))
    assert (found.low, found.high) == pytest.approx((0.1, 0.4))
    assert found.videos == 2 and found.sign == 1


def test_the_interval_of_many_videos_is_that_of_their_mean():
    # Half of 400 videos are .2 ahead and half .1 behind: the deviation is .15, that of
    # the mean .15 / 20, and 1.96 times as much lies on either side of .05.
    ahead = {f"v{i}": 0.7 if i % 2 else 0.4 for i in range(400)}
    found = paired_difference(made(**ahead), made(**dict.fromkeys(ahead, 0.5)))
    assert found.mean == pytest.approx(0.05)
    assert found.low == pytest.approx(0.05 - 1.96 * 0.0075, abs=1e-3)
    assert found.high == pytest.approx(0.05 + 1.96 * 0.0075, abs=1e-3)


@pytest.mark.parametrize(
    ("second", "sign"), [({"a": 0.6, "b": 0.7}, -1), ({"a": 0.6, "b": 0.3}, 0)]
)
def test_the_sign_is_that_of_an_interval_without_0(second, sign):
    assert paired_difference(made(a=0.5, b=0.5), made(**second)).sign == sign


def test_equal_scores_differ_by_nothing():
    found = paired_difference(made(a=0.5, b=0.7), made(a=0.5, b=0.7))
    assert (found.mean, found.low, found.high, found.sign) == (0.0, 0.0, 0.0, 0)


def test_a_single_video_has_no_interval():
    found = paired_difference(made(a=0.5), made(a=0.2))
    assert found.mean == pytest.approx(0.3)
    assert (found.low, found.high, found.sign) == (None, None, 0)


def test_other_videos_and_other_measures_are_refused():
    with pytest.raises(ValueError, match="different videos"):
        paired_difference(made(a=0.5), made(b=0.5))
    with pytest.raises(InputError, match="measure 'eao': must be one of success_auc,"):
        paired_difference(made(a=0.5), made(a=0.5), measure="eao")
