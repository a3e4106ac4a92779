"""The DTB70 layout, which is OTB's: `NAME/img/00001.jpg`, `NAME/groundtruth_rect.txt`.

Boxes are 1-based x,y,w,h, made with OTB's MATLAB kit (flyers/drone-tracking).
"""

import os

from dst_jax.data.checks.lint import Problems
from dst_jax.data.readers.otb import read_rect_folders
from dst_jax.data.sequence import Sequence


def read_dtb70(
    root: str | os.PathLike[str],
    *,
    frames_required: bool = True,
    problems: Problems | None = None,
) -> tuple[Sequence, ...]:
    """Reads every sequence of DTB70.

    Arguments, result and errors are those of `read_otb`.
    """
    return read_rect_folders(
        root,
        layout="dtb70",
        frames_required=frames_required,
        problems=problems or Problems(),
    )
