"""Named architectures: the papers' trackers and a miniature family."""

import dataclasses
from collections.abc import Sequence
from typing import Literal

from dst_jax.arch.backbones.chain import Chain
from dst_jax.arch.backbones.conv import ConvSpec, PoolSpec
from dst_jax.arch.backbones.residual import ResidualSpec
from dst_jax.arch.edit import chain_of, scale_widths, with_bias, with_widths
from dst_jax.arch.heads import CorrelationHeadSpec, RegionHeadSpec
from dst_jax.arch.ids import spec_from_json
from dst_jax.arch.one_stream import ONE_STREAM
from dst_jax.arch.spec import InputSpec, TrackerSpec
from dst_jax.errors import InputError
from dst_jax.files import read_json, user_path


def _alexnet(groups: int) -> Chain:
    """Returns SiamFC's AlexNet: five valid convolutions, total stride 8."""
    pool = PoolSpec(window=3, stride=2)
    return Chain(
        layers=(
            ConvSpec(96, 11, stride=2, pool=pool),
            ConvSpec(256, 5, groups=groups, pool=pool),
            ConvSpec(384, 3),
            ConvSpec(384, 3, groups=groups),
            ConvSpec(256, 3, groups=groups, batch_norm=False, activation="none"),
        )
    )


def _siamrpn(scale: int) -> TrackerSpec:
    """Returns DaSiamRPN's network: AlexNet without groups, `scale` times as wide.

    DaSiamRPN pools before the ReLU, which gives the same values: both are monotone.
    """
    base = _alexnet(groups=1)
    norm = dataclasses.replace(base.layers[-1], batch_norm=True)
    layers = tuple(
        dataclasses.replace(layer, features=scale * layer.features)
        for layer in (*base.layers[:-1], norm)
    )
    backbone = Chain(layers=layers, norm_epsilon=1e-5, norm_momentum=0.9)
    crops = InputSpec(template_px=127, search_px=271, train_search_px=271)
    return TrackerSpec(backbone, RegionHeadSpec(features=scale * 256), crops)


def _siamrpn_depthwise() -> TrackerSpec:
    """Returns the depth-wise head on that backbone, pysot's `alex` configuration."""
    spec = _siamrpn(1)
    crops = InputSpec(template_px=127, search_px=287, train_search_px=255)
    head = RegionHeadSpec(form="depthwise", features=256)
    return dataclasses.replace(spec, head=head, input=crops)


def _mini() -> TrackerSpec:
    """Returns a like SiamFC for template crops of 79 px, small enough for two cores."""
    pool = PoolSpec(window=3, stride=2)
    backbone = Chain(
        layers=(
            ConvSpec(24, 7, stride=2, pool=pool),
            ConvSpec(48, 3, groups=2, pool=pool),
            ConvSpec(64, 3),
            ConvSpec(64, 3, groups=2),
            ConvSpec(48, 1, groups=2, batch_norm=False, activation="none"),
        ),
        # A demonstration trains for hundreds of steps, not tens of thousands.
        norm_momentum=0.9,
    )
    crops = InputSpec(template_px=79, search_px=159, train_search_px=143)
    return TrackerSpec(backbone, CorrelationHeadSpec(scale=1e-2), crops)


def _mini_siamrpn() -> TrackerSpec:
    """Returns a SiamRPN of the miniature's size.

    Its head reads maps of 3 x 3 cells, so the convolutions before the correlation are
    1 x 1; its middle anchor has the size of a square target.
    """
    mini = _mini()
    chain = chain_of(mini, "The miniature")
    layers = [dataclasses.replace(layer, groups=1) for layer in chain.layers]
    layers[-1] = dataclasses.replace(layers[-1], batch_norm=True)
    backbone = dataclasses.replace(chain, layers=tuple(layers))
    head = RegionHeadSpec(features=48, kernel=1, ratios=(0.5, 1.0, 2.0), scales=(5,))
    return TrackerSpec(backbone, head, mini.input)


def _resnet(
    form: Literal["bottleneck", "basic"],
    blocks: Sequence[int],
    *,
    stem: int = 64,
    inner: Sequence[int] = (64, 128, 256, 512),
) -> Chain:
    """Returns pysot's ResNet, which dilates where others step: total stride 8."""
    pool = PoolSpec(3, 2, padding=1)
    geometry = ((1, 1), (2, 1), (1, 2), (1, 4))
    layers = (
        ResidualSpec(width * (4 if form == "bottleneck" else 1), width, n, form, *how)
        for width, n, how in zip(inner, blocks, geometry, strict=True)
    )
    first = ConvSpec(stem, 7, stride=2, bias=False, pool=pool)
    return Chain((first, *layers), norm_epsilon=1e-5, norm_momentum=0.9)


def _siamrpnpp(backbone: Chain, *, width: int = 256, adjust: int = 256) -> TrackerSpec:
    """Returns SiamRPN++: heads of `width` channels on the last three stages."""
    head = RegionHeadSpec(
        form="depthwise",
        features=width,
        levels=("layer2", "layer3", "layer4"),
        adjust=adjust,
        template_cells=7,
        fusion="learned",
    )
    crops = InputSpec(template_px=127, search_px=255, train_search_px=255)
    return TrackerSpec(backbone, head, crops)


def _mini_siamrpnpp(form: Literal["bottleneck", "basic"], *, width: int) -> TrackerSpec:
    """Returns a SiamRPN++ of the miniature's size: 13 x 13 cells, 11 in training."""
    backbone = _resnet(form, (1, 1, 1, 1), stem=16, inner=(8, 12, 16, 24))
    spec = _siamrpnpp(backbone, width=width, adjust=24)
    head = dataclasses.replace(spec.head, ratios=(0.5, 1.0, 2.0), scales=(5,))
    return dataclasses.replace(spec, head=head, input=MINI.input)


def _tiny_siamrpnpp() -> TrackerSpec:
    """Returns the smallest SiamRPN++ with every part, which answers for 5 x 5 cells."""
    backbone = _resnet("bottleneck", (1, 1, 1, 1), stem=4, inner=(2, 2, 3, 3))
    spec = _siamrpnpp(backbone, width=6, adjust=4)
    head = dataclasses.replace(spec.head, ratios=(0.5, 1.0, 2.0), scales=(5,))
    crops = InputSpec(template_px=79, search_px=95, train_search_px=95)
    return dataclasses.replace(spec, head=head, input=crops)


def _ciresnet(stem: int, inner: Sequence[int], blocks: Sequence[int] = (3, 4)) -> Chain:
    """Returns SiamDW's CIResNet, whose blocks cut off what their padding touched."""
    pool = PoolSpec(2, 2)
    first = ConvSpec(stem, 7, stride=2, padding=3, pool=pool, bias=False, crop=2)
    layer1, layer2 = (
        ResidualSpec(4 * width, width, count, crop=1)
        for width, count in zip(inner, blocks, strict=True)
    )
    layer2 = dataclasses.replace(layer2, pool_after_first=pool, last_activation="none")
    return Chain((first, layer1, layer2), norm_epsilon=1e-5, norm_momentum=0.9)


def _siamdw(stem: int, inner: Sequence[int]) -> TrackerSpec:
    """Returns SiamDW: a correlation on CIResNet22."""
    crops = InputSpec(template_px=127, search_px=255, train_search_px=255)
    return TrackerSpec(_ciresnet(stem, inner), CorrelationHeadSpec(scale=0.1), crops)


def _small_siamdw(
    stem: int, inner: Sequence[int], blocks: Sequence[int], crops: InputSpec
) -> TrackerSpec:
    """Returns a SiamDW with fewer blocks for smaller crops."""
    backbone = _ciresnet(stem, inner, blocks)
    return TrackerSpec(backbone, CorrelationHeadSpec(scale=0.1), crops)


SIAMFC_ALEXNET = TrackerSpec(_alexnet(groups=2))
SIAMFC_ALEXNET_UNGROUPED = TrackerSpec(_alexnet(groups=1))
SIAMFC_HALF = scale_widths(SIAMFC_ALEXNET, 0.5)
# The searched network was never published; this one has its size (0.7 MB).
DSTFC = with_widths(SIAMFC_ALEXNET, (28, 50, 114, 114, 76))

SIAMRPN_BIG = _siamrpn(2)
SIAMRPN = _siamrpn(1)  # SiamRPNvot and SiamRPNotb, which differ in tracking alone
# Its widths lie on the grid of the search's actions; it has the published 19.7 MB.
DSTRPN = dataclasses.replace(
    with_widths(SIAMRPN_BIG, (38, 102, 153, 76, 102)), head=RegionHeadSpec(features=153)
)

MINI = _mini()
MINI_HALF = scale_widths(MINI, 0.5)
MINI_DULL = with_widths(MINI, (8, 12, 16, 16, 12))

MINI_SIAMRPN = _mini_siamrpn()
MINI_SIAMRPN_HALF = scale_widths(MINI_SIAMRPN, 0.5)
MINI_SIAMRPN_DULL = dataclasses.replace(
    with_widths(MINI_SIAMRPN, (8, 12, 16, 16, 12)),
    head=dataclasses.replace(MINI_SIAMRPN.head, features=12),
)

_R50 = _resnet("bottleneck", (3, 4, 6, 3))
SIAMRPNPP_R50 = _siamrpnpp(_R50)
SIAMRPNPP_R18 = _siamrpnpp(_resnet("basic", (2, 2, 2, 2)))
# "Four times more channels in RPN" has two readings, of which the first one fits the
# published speeds.
SIAMRPNPP_BIG = _siamrpnpp(_R50, width=1024)
SIAMRPNPP_BIG_WIDE = _siamrpnpp(_R50, width=1024, adjust=1024)

SIAMDW = _siamdw(64, (64, 128))
SIAMDW_RPN = dataclasses.replace(SIAMDW, head=RegionHeadSpec(features=512))
_MINI_SIAMDW_CROPS = InputSpec(template_px=103, search_px=199, train_search_px=199)

ZOO: dict[str, TrackerSpec] = {
    "siamfc-alexnet": SIAMFC_ALEXNET,
    "siamfc-alexnet-ungrouped": SIAMFC_ALEXNET_UNGROUPED,
    "siamfc-half": SIAMFC_HALF,
    "dstfc": DSTFC,
    "siamfc-w40": scale_widths(SIAMFC_ALEXNET, 0.40),
    "siamfc-w45": scale_widths(SIAMFC_ALEXNET, 0.45),
    "siamfc-w50": scale_widths(SIAMFC_ALEXNET, 0.50),
    "siamfc-w55": scale_widths(SIAMFC_ALEXNET, 0.55),
    "siamrpn-big": SIAMRPN_BIG,
    "siamrpn": SIAMRPN,
    "dstrpn": DSTRPN,
    "siamrpn-w40": scale_widths(SIAMRPN_BIG, 0.40),
    "siamrpn-w45": scale_widths(SIAMRPN_BIG, 0.45),
    "siamrpn-w50": scale_widths(SIAMRPN_BIG, 0.50),
    "siamrpn-w55": scale_widths(SIAMRPN_BIG, 0.55),
    "siamrpn-depthwise": _siamrpn_depthwise(),
    "siamrpnpp-r50": SIAMRPNPP_R50,
    "siamrpnpp-r18": SIAMRPNPP_R18,
    "siamrpnpp-r34": _siamrpnpp(_resnet("basic", (3, 4, 6, 3))),
    "siamrpnpp-big": SIAMRPNPP_BIG,
    "siamrpnpp-big-wide": SIAMRPNPP_BIG_WIDE,
    "siamdw": SIAMDW,
    "siamdw-l": _siamdw(35, (33, 62)),
    "siamdw-s": _siamdw(16, (19, 39)),
    "siamdw-half": _siamdw(32, (32, 64)),
    "siamdw-rpn": SIAMDW_RPN,
    "mini": MINI,
    "mini-half": MINI_HALF,
    "mini-dull": MINI_DULL,
    "mini-siamrpn": MINI_SIAMRPN,
    "mini-siamrpn-half": MINI_SIAMRPN_HALF,
    "mini-siamrpn-dull": MINI_SIAMRPN_DULL,
    "mini-siamrpnpp-big": _mini_siamrpnpp("bottleneck", width=96),
    "mini-siamrpnpp-r50": _mini_siamrpnpp("bottleneck", width=24),
    "mini-siamrpnpp-r18": _mini_siamrpnpp("basic", width=24),
    "mini-siamdw": _small_siamdw(24, (16, 32), (2, 3), _MINI_SIAMDW_CROPS),
    "mini-siamdw-l": _small_siamdw(12, (8, 16), (2, 3), _MINI_SIAMDW_CROPS),
    "mini-siamdw-s": _small_siamdw(8, (6, 12), (2, 3), _MINI_SIAMDW_CROPS),
    # The smallest network with every part of the family, for tests.
    "tiny": dataclasses.replace(
        with_widths(MINI, (4, 6, 8, 8, 6)),
        input=InputSpec(template_px=79, search_px=111, train_search_px=111),
    ),
    "tiny-siamrpn": dataclasses.replace(
        with_widths(MINI_SIAMRPN, (4, 6, 8, 8, 6)),
        head=dataclasses.replace(MINI_SIAMRPN.head, features=6),
        input=InputSpec(template_px=79, search_px=111, train_search_px=111),
    ),
    "tiny-siamrpnpp": _tiny_siamrpnpp(),
    "tiny-siamdw": _small_siamdw(
        4, (2, 3), (1, 2), InputSpec(79, search_px=111, train_search_px=111)
    ),
    **ONE_STREAM,
}
# What people should know of an architecture before they quote its figures.
NOTES: dict[str, str] = dict.fromkeys(
    ("siamdw-l", "siamdw-s"),
    "DLF did not publish its students' widths: these are the best fit to the printed "
    "number of parameters and compression rate.",
)


BIAS = "+bias"


def read_spec(what: str) -> TrackerSpec:
    """Returns the architecture that `what` names.

    Args:
      what: A name in the zoo, or the path of a JSON file. "+bias" after it asks for the
        same network with a learnable bias on the response, as the public recipe of
        SiamFC has.

    Raises:
      InputError: If it is neither, the file holds no architecture, or its head has no
        bias.
    """
    if what.endswith(BIAS):
        try:
            return with_bias(read_spec(what.removesuffix(BIAS)))
        except InputError as error:
            raise InputError(f"{what}: {error}") from None
    path = user_path(what)
    if what in ZOO or path.suffix != ".json":
        return named(what)
    if not path.is_file():
        raise InputError(f"{path}: no such file; give an architecture as JSON.")
    values = read_json(path)
    try:
        # A bundle's spec.json wraps the architecture; a bare one is taken too.
        return spec_from_json(values.get("tracker", values))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def named(name: str) -> TrackerSpec:
    """Returns the architecture that the zoo calls `name`.

    Raises:
      InputError: If there is none; it lists those that exist.
    """
    if name not in ZOO:
        raise InputError(f"no architecture {name!r}; there are {', '.join(ZOO)}.")
    return ZOO[name]
