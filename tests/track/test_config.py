import dataclasses
import json

import pytest

from dst_jax.arch import named
from dst_jax.errors import InputError
from dst_jax.track.config import (
    SIAMRPN_PRESETS,
    SiamFCTracking,
    SiamRPNTracking,
    tracking_from_json,
    tracking_to_json,
)
from dst_jax.track.procedure import default_tracking


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


# lr, window influence, penalty_k; whether small targets get a crop of 287 px.
@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("big", (0.295, 0.42, 0.055, True)),
        ("vot", (0.45, 0.44, 0.04, False)),
        ("otb", (0.30, 0.40, 0.22, False)),
        ("alex", (0.30, 0.40, 0.16, False)),
        ("r50", (0.38, 0.42, 0.05, False)),
        ("r50-8gpu", (0.33, 0.44, 0.04, False)),
        ("r50-otb", (0.25, 0.50, 0.24, False)),
    ],
)
def test_presets_are_those_of_the_public_trackers(name, published):
    preset = SIAMRPN_PRESETS[name]
    grows = preset.small_search_cells == 2
    found = preset.size_rate, preset.window_influence, preset.penalty_k, grows
    assert found == published
    assert (preset.small_target_share, preset.min_side_px) == (0.004, 10.0)


def test_defaults_are_those_of_the_large_network():
    assert SiamRPNTracking() == SIAMRPN_PRESETS["big"]
    assert default_tracking(named("mini-siamrpn")) == SIAMRPN_PRESETS["big"]
    assert default_tracking(named("siamrpn-depthwise")) == SIAMRPN_PRESETS["alex"]
    assert default_tracking(named("siamrpnpp-r18")) == SIAMRPN_PRESETS["r50"]
    assert default_tracking(named("mini")) == SiamFCTracking()


@pytest.mark.parametrize("lost", [None, 0.25])
@pytest.mark.parametrize(
    "config",
    [
        SiamFCTracking(scale_count=5, scale_rate=0.5),
        SiamRPNTracking(penalty_k=0.1, small_search_cells=4),
    ],
)
def test_json_round_trip_gives_an_equal_config(config, lost):
    config = dataclasses.replace(config, lost_below=lost)
    text = json.dumps(tracking_to_json(config))
    assert tracking_from_json(json.loads(text)) == config


def test_settings_without_a_kind_are_siamfcs():
    values = tracking_to_json(SiamFCTracking(scale_step=1.05))
    assert values.pop("kind") == "siamfc"
    assert tracking_from_json(values) == SiamFCTracking(scale_step=1.05)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "siamban"}, "kind 'siamban': there are siamfc, siamrpn"),
        ({"kind": ["siamrpn"]}, "kind"),
        ({"kind": "siamfc"}, "unknown field 'min_side_px'"),
        ({"scale_step": 1.1}, "unknown field 'scale_step'"),
        ({"penalty_k": -0.1}, "SiamRPNTracking.penalty_k=-0.1"),
        ({"penalty_k": None}, "SiamRPNTracking.penalty_k=None"),
        ({"window_influence": 1.5}, "window_influence=1.5"),
        ({"size_rate": -0.5}, "size_rate=-0.5"),
        ({"small_target_share": 4}, "small_target_share=4"),
        ({"small_search_cells": 1}, "small_search_cells=1"),
        ({"small_search_cells": -2}, "small_search_cells=-2"),
        ({"small_search_cells": 2.5}, "small_search_cells=2.5"),
        ({"min_side_px": 0}, "min_side_px=0"),
        ({"lost_below": 0.9, "uncertain_below": 0.5}, "lost_below=0.9"),
    ],
)
def test_bad_fields_of_siamrpn_are_named_with_their_value(change, message):
    values = {**tracking_to_json(SiamRPNTracking()), **change}
    with pytest.raises(InputError, match=message) as error:
        tracking_from_json(values)
    assert "\n" not in str(error.value)


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
        ({"scale_stop": 1.1}, "unknown field 'scale_stop'"),
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
