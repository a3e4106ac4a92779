"""Made-up sequences of VOT and a made-up tracker, the same in every Python.

`scripts/make_vot_goldens.py` gives them to vot-toolkit in an environment of its own, so
that this file takes the standard library alone.
"""

import math
import random

SIZE = (60, 80)  # height, width
# Lengths, and how fast the tracker drifts off: late, sooner, never, at once.
SEQUENCES = {
    "ants": (430, 0.06),
    "bag": (150, 0.5),
    "car": (64, 1.2),
    "elk": (300, 0.02),
    "dot": (21, 9.0),
}
RUNS = 3
SKIP = 5


def pairs():
    """Pairs of regions, near each other, far off, at the border, small and equal."""
    rng = random.Random(3)
    found = []
    for number in range(240):
        first = _shape(rng, number % 5)
        kind = number % 7
        if kind == 6:
            second = first
        elif kind < 4:
            second = moved(first, rng.gauss(0.0, 4.0), rng.gauss(0.0, 4.0))
        else:
            second = _shape(rng, rng.randrange(5))
        found.append((first, second))
    return found


def truth(name):
    """The true region of every frame, polygons, or rectangles in `bag`."""
    rng = random.Random(f"truth of {name}")
    count, _ = SEQUENCES[name]
    x, y, turn, found = 40.0, 30.0, 0.0, []
    for _ in range(count):
        x = min(max(x + rng.gauss(0.0, 1.5), -2.0), 81.0)
        y = min(max(y + rng.gauss(0.0, 1.5), -2.0), 61.0)
        turn += rng.gauss(0.0, 0.05)
        if name == "bag":
            found.append(rounded(x - 9.0, y - 6.0, 18.0, 12.0))
        else:
            found.append(_turned(x, y, 18.0, 12.0, turn))
    return found


def predicted(name, run, start, frame):
    """The tracker's rectangle in a frame, which drifts since its start."""
    rng = random.Random(f"{name} {run} {frame}")
    _, speed = SEQUENCES[name]
    region = truth_of(name)[frame]
    left, right = min(region[0::2]), max(region[0::2])
    top, bottom = min(region[1::2]), max(region[1::2])
    if len(region) == 4:
        left, top, right, bottom = *region[:2], region[0] + region[2], sum(region[1::2])
    off = speed * (frame - start) * rng.random()
    width, height = (right - left) * 0.9, (bottom - top) * 0.8
    return rounded(left + off + rng.gauss(0.0, 0.7), top - off / 2, width, height)


_TRUTHS = {}


def truth_of(name):
    if name not in _TRUTHS:
        _TRUTHS[name] = truth(name)
    return _TRUTHS[name]


def moved(region, right, down):
    if len(region) == 4:
        return rounded(region[0] + right, region[1] + down, *region[2:])
    shifts = (right, down)
    return rounded(*(value + shifts[i % 2] for i, value in enumerate(region)))


def rounded(*values):
    return tuple(round(value, 2) for value in values)


def _shape(rng, kind):
    x, y = rng.uniform(-10.0, 90.0), rng.uniform(-10.0, 70.0)
    if kind == 0:
        return rounded(x, y, rng.uniform(0.3, 40.0), rng.uniform(0.3, 40.0))
    if kind == 1:
        return tuple(float(round(v)) for v in (x, y, rng.uniform(1, 30), 12.0))
    if kind == 2:
        return _turned(x, y, rng.uniform(2, 40), rng.uniform(2, 20), rng.uniform(0, 7))
    corners = 4 if kind == 3 else rng.randrange(3, 8)
    spread = rng.uniform(1.0, 15.0)
    values = (rng.gauss(x if i % 2 == 0 else y, spread) for i in range(2 * corners))
    # Halves of pixels are rounded to even.
    return tuple(round(v * 2) / 2 for v in values)


def _turned(x, y, width, height, turn):
    cos, sin = math.cos(turn), math.sin(turn)
    values = []
    for across, along in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
        a, b = across * width / 2, along * height / 2
        values += [x + cos * a - sin * b, y + sin * a + cos * b]
    return rounded(*values)
