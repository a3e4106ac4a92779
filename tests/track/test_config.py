import dataclasses
import json

import pytest

from dst_jax.errors import InputError
from dst_jax.track.config import SiamFCTracking, tracking_from_json, tracking_to_json


def test_defaults_are_those_of_the_public_tracker():
    config = SiamFCTracking()
    assert (config.scale_count, config.scale_step, config.scale_rate) == (
        3,
        1.0375,
        0.59,
    )
    assert (config.scale_penalty, config.window_influence) == (0.9745, 0.176)
    assert config.response_upsampling == 16
    assert not config.has_states


@pytest.mark.parametrize("lost", [None, 0.25])
def test_json_round_trip_gives_an_equal_config(lost):
    config = SiamFCTracking(scale_count=5, scale_rate=0.5, lost_below=lost)
    assert (
        tracking_from_json(json.loads(json.dumps(tracking_to_json(config)))) == config
    )


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"scale_step": 1.0}, "scale_step=1.0"),
        ({"scale_count": 2}, "scale_count=2"),
        ({"scale_count": 3.5}, "scale_count=3.5"),
        ({"scale_rate": float("nan")}, "scale_rate=nan"),
        ({"window_influence": 1.5}, "window_influence=1.5"),
        ({"scale_penalty": "high"}, "scale_penalty='high'"),
        ({"scale_penalty": None}, "scale_penalty=None"),
        ({"response_upsampling": True}, "response_upsampling=True"),
        ({"lost_below": 0.9, "uncertain_below": 0.5}, "lost_below=0.9"),
        ({"lost_below": 2.0}, "lost_below=2.0"),
        ({"scale_stop": 1.1}, "unknown tracking field 'scale_stop'"),
    ],
)
def test_bad_fields_are_named_with_their_value(change, message):
    values = {**tracking_to_json(SiamFCTracking()), **change}
    with pytest.raises(InputError, match=message):
        tracking_from_json(values)


def test_missing_field_is_named():
    values = tracking_to_json(SiamFCTracking())
    del values["scale_rate"]
    with pytest.raises(InputError, match="'scale_rate' is missing"):
        tracking_from_json(values)


def test_config_is_hashable_and_frozen():
    assert hash(SiamFCTracking()) == hash(SiamFCTracking())
    with pytest.raises(dataclasses.FrozenInstanceError):
        SiamFCTracking().scale_count = 5  # pyright: ignore
