"""A Siamese network in training mode, restated in NumPy from its spec."""

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from dst_jax.arch import RegionHeadSpec


def respond(spec, params, template, search):
    """Last features of the search image, response and offsets (or None)."""
    z, x = (backbone(spec, params["backbone"], i) for i in (template, search))
    if not isinstance(spec.head, RegionHeadSpec):
        return x, correlate(x, z[:, :, :, None])[..., 0] * spec.head.scale, None
    head, params, k = spec.head, params["head"], spec.head.anchors
    branch = up_channel if head.form == "up_channel" else depthwise
    logits, offsets = (
        branch(spec, params, name, z, x, number * k)
        for name, number in (("cls", 2), ("r", 4))
    )
    if head.form == "up_channel":
        offsets = conv(offsets, params["regress_adjust"])
    cells = x.shape[0], *logits.shape[1:3]
    order = (0, 1, 2, 4, 3)
    return (
        x,
        logits.reshape(*cells, 2, k).transpose(order),
        offsets.reshape(*cells, 4, k).transpose(order),
    )


def backbone(spec, params, x):
    for index, layer in enumerate(spec.backbone.layers, start=1):
        part = params[f"conv{index}"]
        edges = layer.padding, layer.padding - layer.trim
        x = conv(x, part["conv"], layer.stride, edges, layer.groups)
        if layer.batch_norm:
            x = normalised(x, part["norm"], spec.backbone.norm_epsilon)
        if layer.activation == "relu":
            x = np.maximum(x, 0)
        if layer.pool:
            step = layer.pool.stride
            x = windows(x, layer.pool.window)[:, ::step, ::step].max(axis=(-2, -1))
    return x


def up_channel(spec, params, name, z, x, outputs):
    kernels = conv(z, params[f"{name}1"])
    # Channel o * width + d is the d-th weight of output o.
    kernels = kernels.reshape(*kernels.shape[:3], outputs, spec.head.features)
    return correlate(conv(x, params[f"{name}2"]), kernels)


def depthwise(spec, params, name, z, x, outputs):
    def layer(part, y):
        stage = params[f"{name}_{part}"]
        y = normalised(
            conv(y, stage["conv"]), stage["norm"], spec.backbone.norm_epsilon
        )
        return np.maximum(y, 0)

    z, x = layer("template", z), layer("search", x)
    mixed = np.einsum("buvdij,bijd->buvd", windows(x, z.shape[1]), z)
    return conv(layer("mix", mixed), params[f"{name}_read"])


def correlate(x, kernels):
    """Every example with its own kernels [b, i, j, o, d]."""
    return np.einsum("buvdij,bijod->buvo", windows(x, kernels.shape[1]), kernels)


def conv(x, params, stride=1, edges=(0, 0), groups=1):
    for axis in (1, 2):
        low, high = edges
        widths = [(0, 0)] * 4
        widths[axis] = max(low, 0), max(high, 0)
        x = np.pad(x, widths)
        cut = slice(max(-low, 0), x.shape[axis] - max(-high, 0))
        x = x[:, cut] if axis == 1 else x[:, :, cut]
    kernel = params["kernel"]
    seen = windows(x, kernel.shape[0])[:, ::stride, ::stride]
    split = zip(
        np.split(seen, groups, axis=3), np.split(kernel, groups, axis=3), strict=True
    )
    parts = [np.tensordot(s, k, ((3, 4, 5), (2, 0, 1))) for s, k in split]
    return np.concatenate(parts, axis=3) + params.get("bias", 0.0)


def normalised(x, params, epsilon):
    mean, var = x.mean(axis=(0, 1, 2)), x.var(axis=(0, 1, 2))
    return (x - mean) / np.sqrt(var + epsilon) * params["scale"] + params["bias"]


def windows(x, side):
    return sliding_window_view(x, (side, side), axis=(1, 2))
