"""Named architectures of one stream: OSTrack and its miniatures."""

import dataclasses

from dst_jax.arch.backbones.token import TokenBackboneSpec
from dst_jax.arch.crops import AreaCrop
from dst_jax.arch.heads import CentreHeadSpec
from dst_jax.arch.spec import InputSpec, TrackerSpec

_SIDES_PX = (384, 256, 192, 128, 96)
_BASE = TokenBackboneSpec(768, 12, 12)
_SMALL = TokenBackboneSpec(384, 12, 6)
_TINY = TokenBackboneSpec(192, 12, 3)
_MINI = TokenBackboneSpec(96, 4, 3, patch=8)
_ELIMINATION = ((3, 0.7), (6, 0.7), (9, 0.7))


def _input(search_px: int, *, factor: float = 5.0) -> InputSpec:
    """Returns OSTrack's crops, and ImageNet's mean and deviation of values in [0, 1].

    LoReTrack's students see as much of the frame as their teacher of 384 px.
    """
    return InputSpec(
        template_px=search_px // 2,
        search_px=search_px,
        train_search_px=search_px,
        scale=1.0 / 255.0,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        area=AreaCrop(template=2.0, search=factor),
    )


def _eliminating(spec: TrackerSpec) -> TrackerSpec:
    """Returns a network that drops three tenths of its search tokens three times."""
    backbone = dataclasses.replace(_BASE, eliminate=_ELIMINATION)
    return dataclasses.replace(spec, backbone=backbone)


_FACTOR_4 = TrackerSpec(_BASE, CentreHeadSpec(), _input(256, factor=4.0))
_LARGEST = TrackerSpec(_BASE, CentreHeadSpec(), _input(384))

ONE_STREAM: dict[str, TrackerSpec] = {
    **{
        f"ostrack-{name}{px}": TrackerSpec(backbone, CentreHeadSpec(), _input(px))
        for name, backbone in (("", _BASE), ("s-", _SMALL), ("ti-", _TINY))
        for px in _SIDES_PX
    },
    "ostrack-256-f4": _FACTOR_4,
    "ostrack-256-f4-ce": _eliminating(_FACTOR_4),
    "ostrack-384-ce": _eliminating(_LARGEST),
    **{
        f"mini-ostrack-{px}": TrackerSpec(_MINI, CentreHeadSpec(32), _input(px))
        for px in (128, 96, 64, 48)
    },
}
