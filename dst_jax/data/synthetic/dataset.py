"""Synthetic data sets with exact boxes, on disk in the GOT-10k layout."""

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable

import cv2
import numpy as np

from dst_jax.boxes import cxcywh_to_xywh
from dst_jax.data.synthetic.rendering import SyntheticConfig as SyntheticConfig
from dst_jax.data.synthetic.rendering import Video as Video
from dst_jax.data.synthetic.rendering import render_video as render_video
from dst_jax.errors import InputError
from dst_jax.files import require_text_name, user_path, whole_folder

_JPEG_QUALITY = 92


def write_synthetic(
    folder: str | os.PathLike[str],
    config: SyntheticConfig,
    *,
    seed: int,
    progress: Callable[[int, int], None] | None = None,
) -> pathlib.Path:
    """Writes videos in the GOT-10k layout, whole or not at all.

    Args:
      folder: Folder that must not exist, unless it holds the same data set already.
      config: Number and difficulty of the videos.
      seed: Seed of the data set; video i is a function of (seed, i) and the config.
      progress: Function that is called with (videos done, videos in all).

    Returns:
      The folder, for `read_got10k`.

    Raises:
      InputError: If the folder holds anything else.
    """
    root = user_path(folder)
    require_text_name(root)
    card = {"format": 1, "seed": seed, "config": dataclasses.asdict(config)}
    text = json.dumps(card, indent=2, sort_keys=True) + "\n"
    if root.exists():
        made = root / "synthetic.json"
        if made.is_file() and made.read_text() == text:
            return root
        raise InputError(
            f"{root} exists and is not this data set; remove it or name another folder."
        )
    with whole_folder(root) as temporary:
        names = [f"{i:06d}" for i in range(config.videos)]
        for i, name in enumerate(names):
            video = render_video(np.random.default_rng((seed, i)), config)
            _write_video(temporary / name, video, url=f"synthetic/{seed}-{name}")
            if progress is not None:
                progress(i + 1, config.videos)
        (temporary / "list.txt").write_text("\n".join(names) + "\n")
        (temporary / "synthetic.json").write_text(text)
    return root


def _write_video(folder: pathlib.Path, video: Video, *, url: str) -> None:
    folder.mkdir()
    for t, frame in enumerate(video.frames):
        bgr = np.ascontiguousarray(frame[..., ::-1])
        _, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY])
        # OpenCV would die of a folder whose name is no UTF-8.
        (folder / f"{t + 1:08d}.jpg").write_bytes(data.tobytes())
    xywh = np.asarray(cxcywh_to_xywh(video.boxes))
    rows = np.where(video.visible[:, None], xywh, 0.0)
    lines = [",".join(f"{value:.4f}" for value in row) for row in rows]
    (folder / "groundtruth.txt").write_text("\n".join(lines) + "\n")
    labels = ["0" if seen else "1" for seen in video.visible]
    (folder / "absence.label").write_text("\n".join(labels) + "\n")
    height, width = video.frames.shape[1:3]
    meta = f"[METAINFO]\nurl: {url}\nresolution: ({width}, {height})\n"
    (folder / "meta_info.ini").write_text(meta)
