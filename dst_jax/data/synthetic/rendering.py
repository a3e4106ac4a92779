"""Rendering synthetic video: textured objects over moving, cluttered scenes."""

import dataclasses
from collections.abc import Callable
from typing import NamedTuple

import cv2
import numpy as np

from dst_jax.data.synthetic.sprites import Pose, Sprite, paste, smooth_path
from dst_jax.data.synthetic.textures import SHAPES, Colours, cutout, scene, texture
from dst_jax.require import require, require_at_least, require_share
from dst_jax.typing import Bool, Float, UInt8

# A target counts as absent if a smaller share of it can be seen.
_LEAST_VISIBLE = 0.1
# Sprites are drawn larger than their mean size, so that they shrink more than grow.
_DRAWN_SCALE = 1.3
# The occluder passes in front of the target up to this many frames from their meeting,
# and behind it otherwise.
_FRONT = 12


@dataclasses.dataclass(frozen=True, slots=True)
class SyntheticConfig:
    """Number, size and difficulty of synthetic videos.

    Attributes:
      videos: Number of videos, one target each.
      length: Frames per video.
      height: Rows, px.
      width: Columns, px.
      distractors: Largest number of other moving objects; at least one if above 0.
      similar: Share of distractors that have the target's texture.
      occlusion: Share of videos in which something passes in front of the target.
      camera: Strength of pan, zoom, roll and shake; 0 holds the camera still.
      scale_range: Least and largest size of the target relative to its mean.
      rotation_deg: Largest angle in the image plane, degrees, either way.
      period: Frames in which the target crosses about half the frame; fewer are faster.
      illumination: Strength of the drift of brightness and colour.
      noise: Standard deviation of the sensor's noise, grey levels.
    """

    videos: int
    length: int = 60
    height: int = 180
    width: int = 240
    distractors: int = 3
    similar: float = 0.4
    occlusion: float = 0.4
    camera: float = 1.0
    scale_range: tuple[float, float] = (0.6, 1.6)
    rotation_deg: float = 30.0
    period: float = 22.0
    illumination: float = 0.2
    noise: float = 3.0

    def __post_init__(self):
        require_at_least(1, self, "videos", "length")
        require_at_least(64, self, "height", "width")
        require_at_least(2.0, self, "period")
        strengths = ("distractors", "camera", "rotation_deg", "illumination", "noise")
        require_at_least(0, self, *strengths)
        require_share(self, "similar", "occlusion")
        least, largest = self.scale_range
        within = 0.2 <= least <= largest <= 3.0
        text = "give least and largest, within 0.2 and 3"
        require(within, self, "scale_range", text)


class Video(NamedTuple):
    """A rendered video.

    Attributes:
      frames: Images, RGB.
      boxes: (cx, cy, w, h) of the target in frame pixels, NaN where it is absent.
      visible: Whether enough of the target can be seen.
    """

    frames: UInt8[np.ndarray, "t h w 3"]
    boxes: Float[np.ndarray, "t 4"]
    visible: Bool[np.ndarray, " t"]


class _Mover(NamedTuple):
    """An object, its poses, and whether it is in front of the target in each frame."""

    sprite: Sprite
    poses: list[Pose]
    in_front: Bool[np.ndarray, " t"]


def render_video(rng: np.random.Generator, config: SyntheticConfig) -> Video:
    """Renders one video; the same generator state gives the same bytes.

    Args:
      rng: Generator, which is advanced.
      config: Size, length and difficulty; `videos` plays no part.

    Returns:
      Frames, exact boxes of the whole target (parts that are hidden or outside the
      frame included), and whether at least a tenth of the target can be seen.
    """
    length = config.length
    camera = _camera_views(rng, config)
    target, colours = _target(rng, config)
    others = _distractors(rng, config, colours)
    if rng.random() < config.occlusion:
        others.append(_occluder(rng, config, target))
    gains = _gains(rng, config)
    shape = (config.height, config.width, 3)
    grain = rng.normal(0.0, config.noise, (2 * shape[0], 2 * shape[1], 3))
    grain = grain.astype(np.float32)
    sigma = rng.uniform(0.3, 0.9)
    frames = np.zeros((length, *shape), np.uint8)
    boxes = np.zeros((length, 4), np.float32)
    seen = np.zeros(length)
    for t in range(length):
        canvas = camera(t)
        for mover in others:
            if not mover.in_front[t]:
                paste(canvas, mover.sprite, mover.poses[t])
        boxes[t], cover = paste(canvas, target.sprite, target.poses[t])
        free = np.ones_like(cover)
        for mover in others:
            if mover.in_front[t]:
                free *= 1.0 - paste(canvas, mover.sprite, mover.poses[t])[1]
        # The ratio of areas gives the whole coverage, parts outside the frame included.
        whole = _whole_coverage(target, t)
        seen[t] = float((cover * free).sum()) / whole
        frames[t] = _expose(rng, canvas, gains[t], grain, sigma)
    visible = seen >= _LEAST_VISIBLE
    boxes[~visible] = np.nan
    return Video(frames, boxes, visible)


def _whole_coverage(mover: _Mover, t: int) -> float:
    pose = mover.poses[t]
    return float(mover.sprite[..., 3].sum()) * pose.scale_x * pose.scale_y


def _camera_views(
    rng: np.random.Generator, config: SyntheticConfig
) -> Callable[[int], Colours]:
    """Returns a function of t that gives the background of frame t.

    The background moves under pan, zoom, roll and shake.
    """
    margin = 0.35 * config.camera
    height = int(config.height * (1.0 + 2.0 * margin))
    width = int(config.width * (1.0 + 2.0 * margin))
    image, length = scene(rng, height, width), config.length
    period = rng.uniform(25.0, 50.0)
    pan_x, pan_y, zoom, roll = (smooth_path(rng, length, period=period) for _ in "xyzr")
    shake = rng.normal(0.0, rng.uniform(0.0, 0.8) * config.camera, (length, 2))
    scale = 1.0 - min(0.12 * config.camera, 0.3) * 0.5 * (1.0 + zoom)
    angle = np.deg2rad(2.0 * config.camera * roll)
    reach = 0.8 * margin * np.array([config.width, config.height])
    centre = np.stack([pan_x, pan_y], axis=-1) * reach + shake
    centre += np.array([0.5 * width, 0.5 * height])

    def view(t: int) -> Colours:
        # The matrix maps the frame to the scene, which cv2 calls the inverse map.
        cos, sin = scale[t] * np.cos(angle[t]), scale[t] * np.sin(angle[t])
        linear = np.array([[cos, -sin], [sin, cos]])
        middle = np.array([0.5 * config.width - 0.5, 0.5 * config.height - 0.5])
        offset = centre[t] - 0.5 - linear @ middle
        return np.asarray(
            cv2.warpAffine(
                image,
                np.concatenate([linear, offset[:, None]], axis=1),
                (config.width, config.height),
                flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
                borderMode=cv2.BORDER_REFLECT_101,
            )
        )

    return view


def _object_size(rng: np.random.Generator, config: SyntheticConfig) -> tuple[int, int]:
    """Returns the rows and columns in which an object is drawn."""
    side = rng.uniform(0.15, 0.26) * np.sqrt(config.height * config.width)
    aspect = np.exp(rng.uniform(-0.45, 0.45))
    rows, columns = side / np.sqrt(aspect), side * np.sqrt(aspect)
    return max(int(_DRAWN_SCALE * rows), 12), max(int(_DRAWN_SCALE * columns), 12)


def _target(
    rng: np.random.Generator, config: SyntheticConfig
) -> tuple[_Mover, Colours]:
    """Returns the target and its texture; 60 % of it or more stay inside the frame."""
    rows, columns = _object_size(rng, config)
    colours = texture(rng, rows, columns, vivid=1.0, cells=rng.uniform(1.5, 4.0))
    sprite = cutout(rng, colours, shape=SHAPES[rng.integers(len(SHAPES))])
    poses = _wander(rng, config, (rows, columns), config.period)
    return _Mover(sprite, poses, np.zeros(config.length, bool)), colours


def _wander(
    rng: np.random.Generator,
    config: SyntheticConfig,
    drawn: tuple[int, int],
    period: float,
) -> list[Pose]:
    length, pace = config.length, rng.uniform(0.8, 1.6)
    across, down = (smooth_path(rng, length, period=pace * period) for _ in "xy")
    growth, turn, squeeze = (
        smooth_path(rng, length, period=rng.uniform(20.0, 40.0)) for _ in "grs"
    )
    low, high = np.log(config.scale_range)
    scale = np.exp(low + (high - low) * 0.5 * (1.0 + growth)) / _DRAWN_SCALE
    squeeze = np.exp(0.12 * squeeze)
    angle = config.rotation_deg * rng.random() * turn
    # If its centre is 0.3 of a side inside both borders, 0.8 * 0.8 of it is in the
    # frame.
    inside_x = 0.3 * drawn[1] * scale * squeeze
    inside_y = 0.3 * drawn[0] * scale / squeeze
    x = 0.5 * config.width + across * (0.5 * config.width - inside_x)
    y = 0.5 * config.height + down * (0.5 * config.height - inside_y)
    values = (x, y, scale * squeeze, scale / squeeze, angle)
    rows = np.stack(values, axis=-1).tolist()
    return [Pose(*row) for row in rows]


def _distractors(
    rng: np.random.Generator, config: SyntheticConfig, target: Colours
) -> list[_Mover]:
    count = int(rng.integers(1, config.distractors + 1)) if config.distractors else 0
    movers = []
    for _ in range(count):
        rows, columns = _object_size(rng, config)
        if rng.random() < config.similar:
            colours = np.asarray(cv2.resize(target, (columns, rows)))
        else:
            cells = rng.uniform(1.5, 4.0)
            colours = texture(rng, rows, columns, vivid=1.0, cells=cells)
        sprite = cutout(rng, colours, shape=SHAPES[rng.integers(len(SHAPES))])
        poses = _wander(rng, config, (rows, columns), 1.5 * config.period)
        movers.append(_Mover(sprite, poses, np.zeros(config.length, bool)))
    return movers


def _occluder(
    rng: np.random.Generator, config: SyntheticConfig, target: _Mover
) -> _Mover:
    """Returns an object that crosses the target's path once, on a straight line."""
    length = config.length
    meeting = int(rng.uniform(0.3, 0.85) * length)
    place, size = target.poses[meeting], max(target.sprite.shape[:2]) / _DRAWN_SCALE
    rows = max(int(size * rng.uniform(0.8, 2.2)), 12)
    columns = max(int(size * rng.uniform(0.4, 1.0)), 12)
    colours = texture(rng, rows, columns, vivid=0.6, cells=rng.uniform(1.0, 3.0))
    sprite = cutout(rng, colours, shape=("rectangle", "polygon")[rng.integers(2)])
    direction, speed = rng.uniform(0.0, 2.0 * np.pi), rng.uniform(2.5, 5.0)
    step_x, step_y = speed * np.cos(direction), speed * np.sin(direction)
    angle = rng.uniform(-30.0, 30.0)
    times = np.arange(length) - meeting
    poses = [
        Pose(place.x + step_x * t, place.y + step_y * t, 1.0, 1.0, angle)
        for t in times.tolist()
    ]
    # The occluder is never in front at the start: the first box must show the target.
    front = (np.abs(times) <= _FRONT) & (np.arange(length) >= 3)
    return _Mover(sprite, poses, front)


def _gains(
    rng: np.random.Generator, config: SyntheticConfig
) -> Float[np.ndarray, "t 3"]:
    """Returns factors of the three colours that drift together and a little apart."""
    paths = [smooth_path(rng, config.length, period=30.0) for _ in range(4)]
    common = 1.0 + config.illumination * paths[0][:, None]
    apart = 1.0 + 0.25 * config.illumination * np.stack(paths[1:], axis=-1)
    return (common * apart).astype(np.float32)


def _expose(
    rng: np.random.Generator,
    canvas: Float[np.ndarray, "h w 3"],
    gain: Float[np.ndarray, " 3"],
    grain: Float[np.ndarray, "i j 3"],
    sigma: float,
) -> UInt8[np.ndarray, "h w 3"]:
    """Returns the exposed frame, with light, the lens's blur and the sensor's noise.

    The noise is a random window of one noise image.
    """
    height, width = canvas.shape[:2]
    top, left = int(rng.integers(height)), int(rng.integers(width))
    image = np.asarray(cv2.GaussianBlur(canvas, (3, 3), sigma)) * gain
    image += grain[top : top + height, left : left + width]
    return np.clip(np.rint(image), 0.0, 255.0).astype(np.uint8)
