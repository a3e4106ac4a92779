"""Tiny frames for trees of files that look like published data sets."""

import cv2
import numpy as np

HEIGHT, WIDTH = 40, 60


def write_frames(folder, numbers, *, digits=8, suffix=".jpg", size=(HEIGHT, WIDTH)):
    folder.mkdir(parents=True, exist_ok=True)
    for number in numbers:
        pixels = np.random.default_rng(number).integers(0, 256, (*size, 3), np.uint8)
        assert cv2.imwrite(str(folder / f"{number:0{digits}d}{suffix}"), pixels)


def write_rows(path, rows, *, separator=","):
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [separator.join(str(value) for value in row) for row in rows]
    path.write_text("\n".join(lines) + "\n")


def names(frames):
    """File names without folders."""
    return [frame.rsplit("/", 1)[1] for frame in frames]
