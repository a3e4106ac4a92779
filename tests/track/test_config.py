import dataclasses
import json

import pytest

from dst_jax.arch import named
from dst_jax.errors import InputError
from dst_jax.track.config import (
    SIAMDW_PRESETS,
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


# scale_step, scale_rate, scale_penalty, window.
@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("siamdw-otb15", (1.1897, 0.2226, 0.9370, 0.2897)),
        ("siamdw-otb13", (1.0482, 0.3629, 0.9997, 0.3896)),
        ("siamdw-vot15", (1.1190, 0.4373, 0.9811, 0.2569)),
        ("siamdw-vot16", (1.1535, 0.4596, 0.9259, 0.3309)),
        ("siamdw-vot17", (1.1466, 0.2061, 0.9994, 0.3242)),
    ],
)
def test_siamdws_presets_have_its_figures_and_conventions(name, published):
    preset = SIAMDW_PRESETS[name]
    assert isinstance(preset, SiamFCTracking)
    figures = preset.scale_step, preset.scale_rate, preset.scale_penalty
    assert (*figures, preset.window_influence) == published
    assert (preset.peak_origin, preset.search_bounds) == ("public", (0.2, 5.0))
    assert (preset.min_side_px, preset.clip_to_frame) == (10.0, True)


# penalty_k, size_rate, window; whether small targets get a crop of 287 px.
@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("otb13", (0.256, 0.439, 0.074, False)),
        ("otb15", (0.841, 0.714, 0.390, False)),
        ("vot17", (0.038, 0.388, 0.347, True)),
    ],
)
def test_siamdws_presets_for_regions_have_its_figures(name, published):
    preset = SIAMDW_PRESETS[f"siamdw-rpn-{name}"]
    assert isinstance(preset, SiamRPNTracking)
    figures = preset.penalty_k, preset.size_rate, preset.window_influence
    assert (*figures, preset.small_search_cells == 2) == published


def test_json_leaves_out_conventions_that_are_off():
    assert (
        list(tracking_to_json(SiamFCTracking()))
        == (
            "kind lost_below uncertain_below scale_count scale_step scale_rate "
            "scale_penalty window_influence response_upsampling"
        ).split()
    )


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"search_bounds": (1.5, 5.0)}, "search_bounds=(1.5, 5.0): must be a factor"),
        ({"search_bounds": (0.2, 0.5)}, "search_bounds=(0.2, 0.5): must be a factor"),
        ({"min_side_px": 0.0}, "min_side_px=0.0: must lie in (0, 100,000] px"),
    ],
)
def test_conventions_that_cannot_be_are_refused(changes, message):
    with pytest.raises(InputError) as error:
        SiamFCTracking(**changes)
    assert message in str(error.value)


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
        *SIAMDW_PRESETS.values(),
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
        ({"kind": "siamfc"}, "unknown field 'penalty_k'"),
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
