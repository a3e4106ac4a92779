"""Edits of architectures."""

import dataclasses

import numpy as np
import pytest

from dst_jax.arch import (
    ConvSpec,
    named,
    scale_widths,
    shrink_kernel,
    width_multiples,
)
from dst_jax.arch.backbones.chain import Chain
from dst_jax.errors import InputError


def taps_read(layer, side):
    """The input cells that each output cell of a one-dimensional convolution reads."""
    cells = np.arange(-layer.padding, side + layer.padding - layer.trim)
    count = (len(cells) - layer.kernel) // layer.stride + 1
    return [
        cells[i * layer.stride : i * layer.stride + layer.kernel] for i in range(count)
    ]


@pytest.mark.parametrize("padding", [0, 1, 5])
@pytest.mark.parametrize(("kernel", "stride"), [(11, 2), (5, 1), (4, 1), (3, 2)])
def test_a_shrunk_kernel_reads_the_inner_taps_of_the_parents(kernel, stride, padding):
    parent = ConvSpec(8, kernel, stride=stride, padding=padding)
    for small in range(1, kernel + 1):
        low = (kernel - small) // 2
        want = [cells[low : low + small].tolist() for cells in taps_read(parent, 24)]
        got = [cells.tolist() for cells in taps_read(shrink_kernel(parent, small), 24)]
        assert got == want


@pytest.mark.parametrize("kernel", [0, 4])
def test_a_kernel_grows_no_larger_and_does_not_vanish(kernel):
    with pytest.raises(InputError, match="from 1 to 3"):
        shrink_kernel(ConvSpec(8, 3), kernel)


def test_widths_divide_by_their_own_groups_and_those_above():
    layers = ConvSpec(12, 1), ConvSpec(12, 1, groups=2), ConvSpec(12, 1, groups=3)
    assert width_multiples(Chain(layers)) == (2, 6, 3)
    assert width_multiples(named("siamfc-alexnet").backbone) == (2, 2, 2, 2, 2)


def test_a_kernel_shrunk_in_place_keeps_feature_maps_and_response():
    parent = named("siamfc-alexnet")
    layers = tuple(
        shrink_kernel(layer, max(layer.kernel * 6 // 10, 1))
        for layer in parent.backbone.layers
    )
    backbone = dataclasses.replace(parent.backbone, layers=layers)
    child = dataclasses.replace(parent, backbone=backbone)
    assert [layer.kernel for layer in layers] == [6, 3, 1, 1, 1]
    for pixels in (127, 239, 255):
        assert child.backbone.stage_sides(pixels) == parent.backbone.stage_sides(pixels)


def test_half_width_is_the_intelligent_student():
    half = scale_widths(named("siamfc-alexnet"), 0.5)
    assert half.backbone.widths == (48, 128, 192, 192, 128)
