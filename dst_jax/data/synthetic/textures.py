"""Procedural textures, outlines and cut-out objects for synthetic video."""

from typing import TypeAlias

import cv2
import numpy as np

from dst_jax.errors import InputError
from dst_jax.typing import Float

Colours: TypeAlias = Float[np.ndarray, "h w 3"]
Field: TypeAlias = Float[np.ndarray, "h w"]

SHAPES = ("blob", "ellipse", "polygon", "rectangle", "pair")
_PATTERNS = ("cloud", "stripes", "checks", "spots", "cells", "rings")


def noise_field(
    rng: np.random.Generator, height: int, width: int, *, cells: float, octaves: int
) -> Field:
    """Returns smooth random values in [0, 1].

    They are a sum of random grids, each twice as fine as the last and 0.55 times as
    strong.

    Args:
      rng: Generator, which is advanced.
      height: Rows.
      width: Columns.
      cells: Grid cells along the longer side in the coarsest grid.
      octaves: Number of grids.

    Returns:
      Values that reach 0 and 1.
    """
    longer = max(height, width)
    total = np.zeros((height, width), np.float32)
    for octave in range(octaves):
        side = cells * 2.0**octave
        # Cubic interpolation looks beyond the ends, which takes three more cells.
        rows, columns = (int(np.ceil(side * n / longer)) + 3 for n in (height, width))
        grid = rng.random((rows, columns), np.float32) * 0.55**octave
        total += cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
    low, high = float(total.min()), float(total.max())
    return (total - low) / max(high - low, 1e-6)


def palette(
    rng: np.random.Generator, *, count: int, vivid: float
) -> Float[np.ndarray, "n 3"]:
    """Returns RGB colours 0..255 around two hues, from light to dark or the reverse.

    Args:
      rng: Generator, which is advanced.
      count: Number of colours.
      vivid: Largest saturation, 0..1.

    Returns:
      One colour per row.
    """
    hues = rng.random() * 360.0 + np.where(rng.random(count) < 0.6, 0.0, 1.0) * (
        rng.uniform(60.0, 300.0)
    )
    hues = (hues + rng.normal(0.0, 15.0, count)) % 360.0
    saturation = vivid * rng.uniform(0.35, 1.0, count)
    value = np.linspace(rng.uniform(0.1, 0.45), rng.uniform(0.7, 1.0), count)
    if rng.random() < 0.5:
        value = value[::-1]
    hsv = np.stack([hues, saturation, value], axis=-1)[None].astype(np.float32)
    return np.asarray(cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB))[0] * np.float32(255.0)


def texture(
    rng: np.random.Generator, height: int, width: int, *, vivid: float, cells: float
) -> Colours:
    """Returns a grainy pattern: clouds, stripes, checks, spots, cells or rings.

    Args:
      rng: Generator, which is advanced.
      height: Rows.
      width: Columns.
      vivid: Largest saturation, 0..1.
      cells: Periods of the pattern along the longer side.

    Returns:
      An RGB image, 0..255.
    """
    pattern = _PATTERNS[rng.integers(len(_PATTERNS))]
    field = _pattern_field(rng, pattern, (height, width), cells)
    colours = palette(rng, count=int(rng.integers(3, 6)), vivid=vivid)
    position = np.clip(field, 0.0, 1.0) * (len(colours) - 1)
    if rng.random() < 0.5:
        position = np.rint(position)  # makes flat areas with sharp borders
    knots = np.arange(len(colours))
    flat = [np.interp(position.ravel(), knots, colours[:, c]) for c in range(3)]
    image = np.stack(flat, axis=-1).reshape(height, width, 3).astype(np.float32)
    grain = noise_field(rng, height, width, cells=6.0 * cells, octaves=2)
    strength = rng.uniform(0.15, 0.5)
    return image * (1.0 + strength * (grain[..., None] - 0.5)).astype(np.float32)


def _pattern_field(
    rng: np.random.Generator, pattern: str, shape: tuple[int, int], cells: float
) -> Field:
    height, width = shape
    smooth = noise_field(rng, height, width, cells=cells, octaves=4)
    if pattern == "cloud":
        return smooth
    if pattern == "spots":
        blobs = noise_field(rng, height, width, cells=2.0 * cells, octaves=1)
        return np.clip(4.0 * (blobs - rng.uniform(0.4, 0.6)) + 0.5, 0.0, 1.0)
    if pattern == "cells":
        return _voronoi(rng, height, width, count=int(2.0 * cells * cells) + 3)
    angle = rng.uniform(0.0, np.pi)
    y, x = np.mgrid[:height, :width].astype(np.float32) / max(shape)
    bend = rng.uniform(0.0, 0.25) * smooth
    along = np.cos(angle) * x + np.sin(angle) * y + bend
    across = np.cos(angle) * y - np.sin(angle) * x + bend
    frequency = 2.0 * np.pi * cells
    if pattern == "stripes":
        return 0.5 + 0.5 * np.sin(frequency * along)
    if pattern == "checks":
        return 0.5 + 0.5 * np.sin(frequency * along) * np.sin(frequency * across)
    radius = np.hypot(x - rng.uniform(0.2, 0.8), y - rng.uniform(0.2, 0.8)) + bend
    return 0.5 + 0.5 * np.sin(frequency * radius)


def _voronoi(rng: np.random.Generator, height: int, width: int, *, count: int) -> Field:
    seeds = np.full((height, width), 255, np.uint8)
    seeds[rng.integers(height, size=count), rng.integers(width, size=count)] = 0
    _, labels = cv2.distanceTransformWithLabels(seeds, cv2.DIST_L2, 3)
    values = rng.random(int(labels.max()) + 1, np.float32)
    return values[np.asarray(labels, np.int64)]


def outline(rng: np.random.Generator, shape: str, *, height: int, width: int) -> Field:
    """Returns the coverage of a random shape that fills its image up to a thin border.

    The border is one or two pixels wide.

    Args:
      rng: Generator, which is advanced.
      shape: One of `SHAPES`.
      height: Rows, at least 8.
      width: Columns, at least 8.

    Returns:
      Values 0..1, which change over about a pixel at the edge.

    Raises:
      InputError: If the shape is unknown.
    """
    if shape not in SHAPES:
        raise InputError(f"shape {shape!r} is unknown; use one of {SHAPES}.")
    angles = np.linspace(0.0, 2.0 * np.pi, 72, endpoint=False)
    radius = np.ones_like(angles)
    if shape == "blob":
        for wave in (2, 3, 4, 5):
            amplitude, phase = rng.uniform(0.0, 0.5 / wave), rng.uniform(0.0, 6.3)
            radius += amplitude * np.cos(wave * angles + phase)
    elif shape == "polygon":
        picks = np.arange(0, 72, 72 // int(rng.integers(4, 9)))
        angles = angles[picks]
        radius = rng.uniform(0.65, 1.0, len(picks))
    elif shape == "rectangle":
        power = rng.uniform(0.1, 0.25)  # a superellipse has slightly round corners
        sides = np.abs(np.stack([np.cos(angles), np.sin(angles)]))
        radius = np.sum(sides ** (2.0 / power), axis=0) ** (-0.5 * power)
    points = np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=-1)
    parts = [points]
    if shape == "pair":  # a body with a head
        head = np.array([rng.uniform(-0.4, 0.4), -1.3]) + rng.uniform(0.4, 0.7) * points
        parts.append(head)
    return _fill(parts, height, width)


def _fill(parts: list[Float[np.ndarray, "n 2"]], height: int, width: int) -> Field:
    everything = np.concatenate(parts)
    low, span = everything.min(axis=0), np.ptp(everything, axis=0)
    room = np.array([width - 4.0, height - 4.0])
    mask = np.zeros((height, width), np.uint8)
    for part in parts:
        # OpenCV takes indices of pixel centres in fixed point with 4 fractional bits.
        pixels = np.rint((2.0 - 0.5 + (part - low) / span * room) * 16.0)
        cv2.fillPoly(mask, [pixels.astype(np.int32)], 255, cv2.LINE_AA, 4)
    return cv2.GaussianBlur(mask, (3, 3), 0.6).astype(np.float32) / np.float32(255.0)


def cutout(
    rng: np.random.Generator,
    colours: Colours,
    *,
    shape: str,
) -> Float[np.ndarray, "h w 4"]:
    """Returns an object: a shaded texture in an outline, with parts of other colours.

    Args:
      rng: Generator, which is advanced.
      colours: The texture, RGB 0..255; its size is the object's.
      shape: One of `SHAPES`.

    Returns:
      RGB times coverage, and coverage 0..1, which can be blended and warped as it is.
    """
    height, width = colours.shape[:2]
    alpha = outline(rng, shape, height=height, width=width)
    image = colours.copy()
    for _ in range(int(rng.integers(0, 3))):  # parts such as windows or faces
        colour = palette(rng, count=1, vivid=0.9)[0]
        rows, columns = (int(n * rng.uniform(0.2, 0.45)) + 8 for n in (height, width))
        rows, columns = min(rows, height), min(columns, width)
        top = int(rng.integers(height - rows + 1))
        left = int(rng.integers(width - columns + 1))
        mask = outline(rng, "blob", height=rows, width=columns)[..., None]
        window = image[top : top + rows, left : left + columns]
        window += mask * (colour - window)
    depth = cv2.distanceTransform((alpha > 0.5).astype(np.uint8), cv2.DIST_L2, 3)
    rim = np.clip(depth / (0.12 * min(height, width)), 0.0, 1.0)
    light = np.linspace(1.0, rng.uniform(0.6, 1.0), height, dtype=np.float32)[:, None]
    shaded = np.clip(image * ((0.55 + 0.45 * rim) * light)[..., None], 0.0, 255.0)
    cover = alpha[..., None]
    return np.concatenate([shaded * cover, cover], axis=-1).astype(np.float32)


def scene(rng: np.random.Generator, height: int, width: int) -> Colours:
    """Returns a background: a large texture and clutter of many sizes.

    Its colours are less vivid than those of targets.

    Args:
      rng: Generator, which is advanced.
      height: Rows.
      width: Columns.

    Returns:
      An RGB image, 0..255.
    """
    vivid = rng.uniform(0.15, 0.6)
    image = texture(rng, height, width, vivid=vivid, cells=rng.uniform(2.0, 6.0))
    image = np.ascontiguousarray(image * np.float32(rng.uniform(0.6, 1.0)))
    if rng.random() < 0.5:  # the scene gets a horizon
        top = int(height * rng.uniform(0.25, 0.6))
        far = texture(rng, top, width, vivid=0.5 * vivid, cells=2.0)
        image[:top] = 0.5 * far + 0.5 * far.mean(axis=(0, 1))
    for _ in range(int(rng.integers(8, 40))):
        side = int(np.exp(rng.uniform(np.log(12.0), np.log(0.35 * height))))
        rows, columns = int(side * rng.uniform(0.5, 1.5)) + 8, side + 8
        colours = texture(rng, rows, columns, vivid=vivid, cells=rng.uniform(1.0, 4.0))
        part = cutout(rng, colours, shape=SHAPES[rng.integers(len(SHAPES))])
        top = int(rng.integers(max(height - rows, 1)))
        left = int(rng.integers(max(width - columns, 1)))
        window = image[top : top + rows, left : left + columns]
        part = part[: window.shape[0], : window.shape[1]]
        window *= 1.0 - part[..., 3:]
        window += part[..., :3]
    return np.clip(image, 0.0, 255.0)
