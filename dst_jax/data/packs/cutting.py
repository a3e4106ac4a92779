"""Cuts the patches of one frame as a pack stores them."""

from collections.abc import Callable
from typing import Any

import numpy as np

from dst_jax.data.frames import read_frame
from dst_jax.data.packs.records import Record
from dst_jax.data.patches import PatchSpec, cut_patch
from dst_jax.data.sequence import Sequence
from dst_jax.errors import printable


def cut_record(
    sequence: Sequence,
    time: int,
    spec: PatchSpec,
    encode: Callable[[np.ndarray], Any],
) -> Record:
    """Returns the record of one frame: both patches, and all that is known of it.

    Args:
      sequence: The track.
      time: Number of the frame in the track, from 0.
      spec: Side and scale of each patch.
      encode: Function that encodes a patch, see `codec.encode_patch`.

    Raises:
      InputError: If the frame cannot be read or its box is no target to crop.
    """
    frame, box = read_frame(sequence.frames[time]), sequence.boxes[time]
    search, in_patch, fill = cut_patch(frame, box, spec.search)
    template, _, _ = cut_patch(frame, box, spec.template, fill=fill)
    return {
        "search_patch": encode(search),
        "template_patch": encode(template),
        "box": in_patch,
        "frame_box": np.asarray(box, np.float32),
        "visible": bool(sequence.visible[time]),
        "fill_rgb": fill,
        "px_scale": np.float32(spec.search.scale(box)),
        "template_px_scale": np.float32(spec.template.scale(box)),
        "frame_size": np.array(frame.shape[:2], np.int32),
        "frame_number": np.int32(time),
        # A record holds UTF-8, and a name may be other bytes.
        "video": printable(sequence.video),
        "track": printable(sequence.name),
        "category": sequence.category,
        "source": printable(sequence.source),
    }
