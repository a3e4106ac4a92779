"""No number of an architecture or of settings is beyond its bounds, however made."""

import dataclasses
import math
import time
import typing

import pytest

from dst_jax.arch import (
    ZOO,
    AreaCrop,
    Chain,
    ContextCrop,
    ConvSpec,
    CorrelationHeadSpec,
    InputSpec,
    PoolSpec,
    RegionHeadSpec,
    ResidualSpec,
    TrackerSpec,
    Zoom,
)
from dst_jax.errors import InputError
from dst_jax.track.config import SiamFCTracking, SiamRPNTracking

OWNERS = [
    ConvSpec(4, 3),
    PoolSpec(),
    ResidualSpec(8, 2, 1),
    Chain((ConvSpec(4, 3),)),
    CorrelationHeadSpec(),
    RegionHeadSpec(),
    InputSpec(),
    ContextCrop(),
    AreaCrop(),
    Zoom(127, 0.5),
    SiamFCTracking(),
    SiamRPNTracking(),
]


def numbers_of(owner):
    """The names of the fields that hold numbers."""
    for name, hint in typing.get_type_hints(type(owner)).items():
        kinds = {hint, *typing.get_args(hint)}
        if name in {f.name for f in dataclasses.fields(owner)} and kinds & {int, float}:
            yield name


CASES = [(owner, name) for owner in OWNERS for name in numbers_of(owner)]


def test_the_walk_finds_the_fields():
    found = {f"{type(owner).__name__}.{name}" for owner, name in CASES}
    assert {"Chain.norm_epsilon", "InputSpec.std", "RegionHeadSpec.scales"} <= found
    assert {"SiamFCTracking.lost_below", "ConvSpec.padding"} <= found
    assert {"ResidualSpec.blocks", "RegionHeadSpec.adjust"} <= found
    assert len(CASES) == 60


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf, 1e30, 10**9, -(10**9)])
@pytest.mark.parametrize(
    ("owner", "name"), CASES, ids=[f"{type(o).__name__}.{n}" for o, n in CASES]
)
def test_no_field_takes_what_is_no_number_or_far_too_large(owner, name, bad):
    value = getattr(owner, name)
    if isinstance(value, tuple):
        bad = (*value[:-1], bad)
    # In tests, types are checked before `__init__`, which would refuse some of these.
    owner = dataclasses.replace(owner)
    object.__setattr__(owner, name, bad)
    with pytest.raises(InputError, match=rf"{type(owner).__name__}\.{name}="):
        owner.__post_init__()


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Chain((ConvSpec(3, 1),) * 1_002), "1,002 stages; there may be 1,001"),
        (lambda: Chain((ConvSpec(1, 1),) * 10**6), "1,000,000 stages"),
        (
            lambda: Chain((ResidualSpec(4, 1, 500),)),
            "1,500 convolutions one after another; there may be 1,001",
        ),
        (
            lambda: TrackerSpec(
                Chain((ResidualSpec(4, 2_000, 1, stride=2),)),
                input=InputSpec(127, 2_048, 255),
            ),
            "layer1's map of an image of 2048 px has 2048 x 2048 x 2000 values",
        ),
        (
            lambda: Chain((ConvSpec(60_000, 3), ConvSpec(60_000, 3))),
            "kernels hold 3.2e+10 numbers",
        ),
        (
            lambda: TrackerSpec(
                Chain((ConvSpec(1_000, 1),)), input=InputSpec(127, 2_048, 255)
            ),
            "conv1's map of an image of 2048 px has 2048 x 2048 x 1000 values",
        ),
    ],
    ids=range(6),
)
def test_a_network_that_fits_no_memory_is_refused_at_once(make, message):
    began = time.process_time()
    with pytest.raises(InputError) as error:
        make()
    assert message in str(error.value)
    assert time.process_time() - began < 5.0


def test_the_bounds_leave_room_above_every_known_network():
    for spec in ZOO.values():
        if spec.head.one_stream:
            continue
        wide = dataclasses.replace(
            spec.backbone,
            layers=tuple(
                dataclasses.replace(layer, features=2 * layer.features)
                for layer in spec.backbone.layers
            ),
        )
        crops = dataclasses.replace(
            spec.input, search_px=2 * spec.input.search_px, train_search_px=1_024
        )
        TrackerSpec(wide, spec.head, crops)


def test_the_bounds_leave_room_above_every_known_transformer():
    for spec in ZOO.values():
        if spec.head.one_stream:
            # Twice as wide as the base is wider than ViT-H, which has 32 blocks.
            width = 2 * spec.backbone.width
            wide = dataclasses.replace(spec.backbone, width=width, depth=32)
            crops = dataclasses.replace(
                spec.input, template_px=512, search_px=1_024, train_search_px=1_024
            )
            TrackerSpec(wide, spec.head, crops)
