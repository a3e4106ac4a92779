"""Networks small enough to compile in a second, with every part of the family."""

import dataclasses

import jax
import jax.numpy as jnp

from dst_jax import arch
from dst_jax.arch import (
    AreaCrop,
    CentreHeadSpec,
    Chain,
    ConvSpec,
    CorrelationHeadSpec,
    InputSpec,
    PoolSpec,
    RegionHeadSpec,
    ResidualSpec,
    TokenBackboneSpec,
    TrackerSpec,
)
from dst_jax.models import forward, init_variables

# Three stages, groups, pooling, a stage without normalisation; 5 x 5 responses of
# stride 4 in training.
TEACHER = TrackerSpec(
    Chain(
        layers=(
            ConvSpec(6, 3, stride=2, pool=PoolSpec()),
            ConvSpec(8, 3, groups=2),
            ConvSpec(6, 1, batch_norm=False, activation="none"),
        ),
        norm_momentum=0.9,
    ),
    CorrelationHeadSpec(scale=1e-2),
    InputSpec(template_px=31, search_px=63, train_search_px=47),
)
STUDENTS = {
    "dull": arch.with_widths(TEACHER, (2, 4, 4)),
    "intelligent": arch.with_widths(TEACHER, (4, 6, 4)),
}

# The same with a region head: 5 x 5 cells of 3 anchors, the middle one 16 px wide.
REGION_TEACHER = dataclasses.replace(
    TEACHER,
    head=RegionHeadSpec(features=4, ratios=(0.5, 1.0, 2.0), scales=(4,)),
)
REGION_STUDENTS = {
    name: dataclasses.replace(
        spec, head=dataclasses.replace(REGION_TEACHER.head, features=features)
    )
    for (name, spec), features in zip(STUDENTS.items(), (2, 3), strict=True)
}

# A stem and two residual stages, both of which the head reads; 5 x 5 responses of
# stride 4 in training.
LEVELS = TrackerSpec(
    Chain(
        layers=(
            ConvSpec(4, 3, stride=2, bias=False, pool=PoolSpec(3, 2, padding=1)),
            ResidualSpec(6, 3, 1),
            ResidualSpec(5, 4, 1, "basic", dilation=2),
        ),
        norm_momentum=0.9,
    ),
    RegionHeadSpec(
        form="depthwise",
        features=8,
        ratios=(0.5, 1.0),
        scales=(4,),
        levels=("layer1", "layer2"),
        adjust=4,
        template_cells=4,
        fusion="learned",
    ),
    InputSpec(template_px=31, search_px=47, train_search_px=31),
)

# CIResNet's stem, crops and pool; 5 x 5 responses of stride 8. The smaller student is
# narrower in its last stage, so that point needs adapters of unequal shapes. Images of
# 0 to 1 and the factor .01 keep features and responses of untrained networks small,
# whose gates and terms have no gradient otherwise.
_TINY_SIAMDW = arch.named("tiny-siamdw")
SIAMDW = dataclasses.replace(
    _TINY_SIAMDW,
    head=CorrelationHeadSpec(scale=1e-2),
    input=dataclasses.replace(_TINY_SIAMDW.input, scale=1 / 255),
)
_LAST = SIAMDW.backbone.layers[-1]
_THIN = dataclasses.replace(_LAST, features=8, inner=2)
_THIN_LAYERS = (*SIAMDW.backbone.layers[:-1], _THIN)
SIAMDW_STUDENTS = {
    "l": SIAMDW,
    "s": dataclasses.replace(
        SIAMDW, backbone=dataclasses.replace(SIAMDW.backbone, layers=_THIN_LAYERS)
    ),
}


def one_stream(search_px, *, width=12, factor=5.0, eliminate=()):
    """A transformer of two blocks on patches of 4 px."""
    return TrackerSpec(
        TokenBackboneSpec(width, 2, 3, patch=4, eliminate=eliminate),
        CentreHeadSpec(8),
        InputSpec(
            search_px // 2,
            search_px,
            search_px,
            scale=1 / 255,
            mean=(0.5, 0.4, 0.3),
            std=(0.2, 0.3, 0.25),
            area=AreaCrop(2.0, factor),
        ),
    )


# Answers of 8 x 8 cells; students of lower resolution have 4 x 4 and 6 x 6.
ONE_STREAM_TEACHER = one_stream(32)
ONE_STREAM_STUDENTS = {"dull": one_stream(16), "intelligent": one_stream(24)}


def teacher_variables(dtype=jnp.float32):
    """A teacher whose loss is about log 2: its last kernel is small."""
    variables = init_variables(jax.random.key(9), TEACHER, param_dtype=dtype)
    conv = variables["params"]["backbone"]["conv3"]["conv"]
    conv["kernel"] = conv["kernel"] * conv["kernel"].dtype.type(0.002)
    return variables


def features(module, variables, image):
    """Feature maps of images by stage, in inference mode."""
    taps = forward(module, variables, image, image).taps
    stages = (name.removeprefix("search/") for name in taps if "search/" in name)
    return {stage: taps[f"search/{stage}"] for stage in stages}
