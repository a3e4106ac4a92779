"""Every architecture and every setting that can be written comes back from a bundle."""

import json
import tempfile
from typing import Any

import jax
import numpy as np
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from dst_jax.arch import (
    AreaCrop,
    Chain,
    ConvSpec,
    CorrelationHeadSpec,
    InputSpec,
    PoolSpec,
    RegionHeadSpec,
    TrackerSpec,
    spec_from_json,
    spec_id,
    spec_to_json,
)
from dst_jax.bundle import Bundle, load_bundle, save_bundle
from dst_jax.errors import InputError
from dst_jax.models import variable_shapes
from dst_jax.track.config import SiamFCTracking, SiamRPNTracking

numbers = st.floats


def fields_of(kind, **fields):
    """A class and its fields; the type checks of a class use randomness of their own,
    which a strategy may not.
    """
    return st.tuples(st.just(kind), st.fixed_dictionaries(fields))


def made(value) -> Any:
    """The value of which `fields_of` drew the fields."""
    if not isinstance(value, tuple):
        return value
    if not (value and isinstance(value[0], type)):
        return tuple(map(made, value))
    return value[0](**{name: made(one) for name, one in value[1].items()})


@st.composite
def layers(draw):
    drawn, below = [], 3
    for _ in range(draw(st.integers(1, 3))):
        groups = draw(st.sampled_from([g for g in (1, 2, 3) if below % g == 0]))
        below = groups * draw(st.integers(1, 3))
        stage = fields_of(
            ConvSpec,
            features=st.just(below),
            kernel=st.integers(1, 3),
            stride=st.integers(1, 2),
            padding=st.integers(-1, 2),
            trim=st.integers(0, 1),
            groups=st.just(groups),
            batch_norm=st.booleans(),
            activation=st.sampled_from(["relu", "none"]),
            pool=st.none() | POOLS,
        )
        drawn.append(draw(stage))
    return tuple(drawn)


def tuples(inner, most):
    return st.lists(inner, min_size=1, max_size=most).map(tuple)


POOLS = fields_of(PoolSpec, window=st.integers(1, 2), stride=st.integers(1, 2))
CHAINS = fields_of(
    Chain,
    layers=layers(),
    norm_epsilon=numbers(1e-12, 1.0),
    norm_momentum=numbers(0.0, 1.0),
)
HEADS = fields_of(
    CorrelationHeadSpec, scale=numbers(1e-12, 1e6), bias=st.booleans()
) | fields_of(
    RegionHeadSpec,
    form=st.sampled_from(["up_channel", "depthwise"]),
    features=st.integers(1, 4),
    kernel=st.integers(1, 2),
    ratios=tuples(numbers(0.001, 1000.0), 3),
    scales=tuples(st.integers(1, 1000), 2),
)
FACTORS = numbers(0.001, 1000.0)
AREAS = fields_of(AreaCrop, template=FACTORS, search=FACTORS)
INPUT = {
    "template_px": st.integers(60, 80),
    "search_px": st.integers(80, 120),
    "train_search_px": st.integers(80, 120),
    "scale": numbers(1e-12, 1e6),
    "mean": st.tuples(*3 * [numbers(-1e6, 1e6)]),
    "std": st.tuples(*3 * [numbers(1e-12, 1e6)]),
}
INPUTS = fields_of(InputSpec, context=numbers(0.0, 1000.0), **INPUT) | fields_of(
    InputSpec, area=AREAS, **INPUT
)
SPECS = fields_of(TrackerSpec, backbone=CHAINS, head=HEADS, input=INPUTS)

SHARES = numbers(0.0, 1.0)
LEVELS = {
    "lost_below": st.none() | numbers(0.0, 0.4),
    "uncertain_below": st.none() | numbers(0.4, 1.0),
}
TRACKINGS = fields_of(
    SiamFCTracking,
    **LEVELS,
    scale_count=st.integers(0, 50).map(lambda n: 2 * n + 1),
    scale_step=numbers(1.0, 2.0, exclude_min=True),
    scale_rate=SHARES,
    scale_penalty=numbers(0.0, 1.0, exclude_min=True),
    window_influence=SHARES,
    response_upsampling=st.integers(1, 256),
) | fields_of(
    SiamRPNTracking,
    **LEVELS,
    penalty_k=numbers(0.0, 100.0),
    window_influence=SHARES,
    size_rate=SHARES,
    small_target_share=SHARES,
    small_search_cells=st.integers(0, 50).map(lambda n: 2 * n),
    min_side_px=numbers(0.0, 1e5, exclude_min=True),
)


def possible(drawn):
    """The value that was drawn, unless its crops are too small for its layers."""
    try:
        return made(drawn)
    except InputError:
        reject()


@settings(deadline=None, max_examples=60)
@given(SPECS)
def test_every_architecture_comes_back_from_json(drawn):
    spec = possible(drawn)
    again = spec_from_json(json.loads(json.dumps(spec_to_json(spec))))
    assert again == spec and spec_id(again) == spec_id(spec)


@settings(deadline=None, max_examples=12)
@given(SPECS, TRACKINGS, st.integers(0, 2**32 - 1))
def test_every_architecture_comes_back_from_a_bundle(drawn, settled, seed):
    spec, tracking = possible(drawn), made(settled)
    rng = np.random.default_rng(seed)
    variables = jax.tree.map(
        lambda leaf: rng.uniform(0.0, 1e3, leaf.shape).astype(np.float32),
        variable_shapes(spec),
    )
    with tempfile.TemporaryDirectory() as folder:
        path = save_bundle(Bundle(spec, variables, tracking, {}), f"{folder}/tracker")
        again = load_bundle(path)
    assert (again.spec, again.tracking) == (spec, tracking)
    jax.tree.map(np.testing.assert_array_equal, again.variables, variables)


def test_the_bias_of_a_correlation_is_a_scalar_and_comes_back(tmp_path):
    layers = (ConvSpec(2, 3, batch_norm=False),)
    spec = TrackerSpec(Chain(layers), CorrelationHeadSpec(bias=True))
    kernel = np.full((3, 3, 3, 2), 0.5, np.float32)
    conv = {"kernel": kernel, "bias": np.ones(2, np.float32)}
    params = {"backbone": {"conv1": {"conv": conv}}, "head": {"bias": np.float32(-3)}}
    variables = {"params": params, "batch_stats": {}}
    save_bundle(Bundle(spec, variables, SiamFCTracking(), {}), tmp_path / "tracker")
    bias = load_bundle(tmp_path / "tracker").variables["params"]["head"]["bias"]
    assert bias.shape == () and bias == -3
