"""OSTrack's online tracking against its public procedure restated in NumPy."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from dst_jax.errors import InputError
from dst_jax.models import CentreAnswer, build, init_variables, remember, respond
from dst_jax.track import OSTrackTracking, make_tracker, ostrack
from dst_jax.track.config import tracking_from_json, tracking_to_json
from dst_jax.track.procedure import default_tracking, require_matching
from tests import networks
from tests.track import ostrack_reference, scenes

SPEC = networks.one_stream(32)
MODULE = build(SPEC)


@functools.cache
def weights():
    """Weights whose answers differ from crop to crop; sizes are about a fifth."""
    fresh = init_variables(jax.random.key(0), SPEC)
    values = jax.tree.map(lambda x: 4.0 * x if x.ndim == 2 else 2.0 * x, fresh)
    head = values["params"]["head"]
    head["size"]["read"]["bias"] = np.float32([-1.4, -1.4])
    head["offset"]["read"]["kernel"] = head["offset"]["read"]["kernel"] * 0.1
    return values


def network(template, crop):
    template, crop = jnp.float32(template)[None], jnp.float32(crop)[None]
    answer = ask(weights(), template, crop)
    return answer.response[0], answer.offsets[0]


@jax.jit
def ask(variables, template, crop):
    return respond(MODULE, variables, remember(MODULE, variables, template), crop)


@pytest.mark.parametrize("start", [(40.0, 50.0), (140.0, 108.0)], ids=["in", "corner"])
@pytest.mark.parametrize("window", [True, False])
def test_boxes_are_those_of_the_restated_tracker(start, window):
    frames, _ = scenes.video(25, start=(40.0, 50.0), velocity=(2.0, 1.0))
    box = np.float32([*start, 20.0, 16.0])
    config = OSTrackTracking(window=window, literal_border=True)
    result = make_tracker(SPEC, weights(), tracking=config).track(frames, box)
    boxes = np.asarray(result.boxes)
    # Untrained answers jump with the last bit of a pixel, so that steps are compared.
    expected, scores = ostrack_reference.track(
        frames, box, network, spec=SPEC, window=window, before=boxes
    )
    found = boxes[1:]
    assert np.abs(found - expected).mean() <= 0.5
    np.testing.assert_allclose(np.asarray(result.scores)[1:], scores, atol=0.01)
    # The box moves, and so does its size.
    assert np.abs(expected[-1] - box).min() > 0.5


def shown(middle, side, *, literal):
    config = OSTrackTracking(literal_border=literal)
    hw = jnp.array([90, 120])
    middle, side = jnp.float32(middle), jnp.float32(side)
    return ostrack.shown_frame(middle, side, hw, config).tolist()


def test_only_literal_borders_turn_black():
    # A window of 20 px ends at column 120 and row 60.
    assert shown([110.0, 50.0], 20.0, literal=True) == [90, 119]
    assert shown([109.0, 50.0], 20.0, literal=True) == [90, 120]
    assert shown([110.0, 85.0], 20.0, literal=True) == [89, 119]
    assert shown([110.0, 85.0], 20.0, literal=False) == [90, 120]


def answer(row, column, *, offset=(0.0, 0.0), size=(0.25, 0.125), logit=3.0):
    response = np.full((8, 8), -9.0, np.float32)
    response[row, column] = logit
    offsets = np.tile(np.float32([*offset, *size]), (8, 8, 1))
    return CentreAnswer(jnp.asarray(response), jnp.asarray(offsets))


def moved(found, box=(60.0, 45.0, 10.0, 10.0), **options):
    config = OSTrackTracking(**options)
    run = jax.jit(
        lambda *x: ostrack.update_box(MODULE, *x, jnp.array([90, 120]), config=config)
    )
    return run(jnp.float32(box), found)


def test_a_cell_says_where_its_box_lies_in_the_window():
    # The window shows ceil(5 * 10) = 50 frame pixels, a cell 6.25.
    box, score = moved(answer(4, 6, offset=(0.5, 0.0)))
    expected = [60 - 25 + 6.5 * 6.25, 45.0, 12.5, 10.0]  # 6.25 px grow to 10
    expected[1] = 45.0 - 25.0 + 4 * 6.25 - 3.125 + 5.0
    np.testing.assert_allclose(box, expected, rtol=1e-6)
    np.testing.assert_allclose(score, 1.0 / (1.0 + np.exp(-3.0)), rtol=1e-6)


def test_the_window_prefers_the_middle_and_leaves_the_score():
    found = answer(0, 0, logit=3.0)
    response = found.response.at[4, 4].set(1.0)
    _, score = moved(found._replace(response=response))
    np.testing.assert_allclose(score, 1.0 / (1.0 + np.exp(-1.0)), rtol=1e-6)
    _, score = moved(found._replace(response=response), window=False)
    np.testing.assert_allclose(score, 1.0 / (1.0 + np.exp(-3.0)), rtol=1e-6)


def test_scores_are_multiplied_by_the_window():
    # In row 3 the window is .941 in column 3 and .401 in column 1. So .3 and .8 become
    # .282 and .321, whereas their sums would be 1.241 and 1.201.
    found = answer(3, 3, logit=math.log(0.3 / 0.7))
    response = found.response.at[3, 1].set(math.log(0.8 / 0.2))
    _, score = moved(found._replace(response=response))
    np.testing.assert_allclose(score, 0.8, rtol=1e-6)


def test_an_answer_that_is_not_finite_moves_nothing():
    found = answer(4, 6)
    broken = found._replace(response=found.response.at[1, 1].set(jnp.nan))
    box, score = moved(broken)
    assert box.tolist() == [60.0, 45.0, 10.0, 10.0] and score == 0.0


def test_settings_are_stored_and_match_their_family_alone():
    config = OSTrackTracking(window=False, border_px=4.0, literal_border=True)
    assert tracking_from_json(tracking_to_json(config)) == config
    assert default_tracking(SPEC) == OSTrackTracking()
    with pytest.raises(InputError, match=r"OSTrackTracking: this tracker's head"):
        require_matching(networks.REGION_TEACHER, config)
    with pytest.raises(InputError, match=r"border_px=0.0: must"):
        OSTrackTracking(border_px=0.0)


def test_the_window_leaves_the_border_a_chance():
    # Its first sample is (1 - cos 40 degrees) / 2 = .117, not 0.
    _, score = moved(answer(0, 0, logit=3.0))
    np.testing.assert_allclose(score, 1.0 / (1.0 + np.exp(-3.0)), rtol=1e-6)
