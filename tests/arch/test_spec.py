"""Architectures: values that hash, store, and refuse to be wrong."""

import dataclasses
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dst_jax import arch
from dst_jax.arch import Chain, ConvSpec, PoolSpec, TrackerSpec
from dst_jax.errors import InputError


@pytest.mark.parametrize("name", arch.ZOO)
def test_json_round_trip_keeps_value_hash_and_identity(name):
    spec = arch.named(name)
    again = arch.spec_from_json(arch.spec_to_json(spec))
    assert again == spec
    assert hash(again) == hash(spec)
    assert arch.spec_id(again) == arch.spec_id(spec)


def test_identity_is_the_same_on_every_host():
    # Tripwire: changes only when a field of the spec is added, renamed or removed;
    # then bundles need a new format_version, unless nothing was released since.
    assert arch.spec_id(arch.named("tiny")).startswith(GOLDEN_ID)


GOLDEN_ID = "00f29619706a274d"


def test_identities_differ_between_architectures():
    ids = {arch.spec_id(spec) for spec in arch.ZOO.values()}
    assert len(ids) == len(set(arch.ZOO.values()))


@pytest.mark.parametrize(
    ("make", "field"),
    [
        (lambda: ConvSpec(0, 3), "features"),
        (lambda: ConvSpec(4, 0), "kernel"),
        (lambda: ConvSpec(5, 3, groups=2), "features"),
        (lambda: PoolSpec(window=0), "window"),
        (lambda: arch.InputSpec(template_px=200, search_px=100), "search_px"),
        (lambda: arch.InputSpec(std=(1.0, 0.0, 1.0)), "std"),
        (lambda: arch.CorrelationHeadSpec(scale=0.0), "scale"),
    ],
)
def test_a_bad_field_is_named(make, field):
    with pytest.raises(InputError, match=field):
        make()


def test_groups_must_divide_the_channels_below():
    layers = (ConvSpec(5, 3), ConvSpec(4, 3, groups=2))
    with pytest.raises(InputError, match="2 groups"):
        arch.Chain(layers)


def test_a_crop_too_small_for_the_network_is_refused():
    spec = arch.named("siamfc-alexnet")
    crops = dataclasses.replace(spec.input, template_px=60)
    with pytest.raises(InputError, match="no cell left"):
        dataclasses.replace(spec, input=crops)


def test_unknown_and_ill_typed_json_fields_are_named():
    values = arch.spec_to_json(arch.named("tiny"))
    with pytest.raises(InputError, match="unknown field 'heads'"):
        arch.spec_from_json({**values, "heads": {}})
    values["input"]["template_px"] = "79"
    with pytest.raises(InputError, match=r"spec\.input\.template_px='79'"):
        arch.spec_from_json(values)


@settings(deadline=None)  # a busy machine is no fault of the code's
@given(factor=st.floats(0.05, 2.0))
def test_scaled_widths_always_build(factor):
    spec = arch.scale_widths(arch.named("siamfc-alexnet"), factor)
    for layer, width in zip(
        spec.backbone.layers, arch.named("siamfc-alexnet").backbone.widths, strict=True
    ):
        assert 0 < layer.features <= max(width * factor + 1e-6, 2)


def test_the_wrong_number_of_widths_is_refused():
    with pytest.raises(InputError, match="5 widths"):
        arch.with_widths(arch.named("tiny"), (4, 4))


def test_arch_loads_no_array_library():
    code = (
        "import sys, dst_jax.arch;"
        "print([m for m in ('jax', 'numpy', 'flax') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert out.stdout.strip() == "[]", out.stderr


def test_a_head_does_not_read_behind_a_pooling():
    layers = (ConvSpec(4, 7, stride=2), ConvSpec(4, 3, pool=PoolSpec()))
    with pytest.raises(InputError, match="reads the last stage before its pooling"):
        TrackerSpec(Chain(layers))
