"""A sequence is one annotated target in one video; many are split by video."""

import collections.abc
import dataclasses

import numpy as np

from dst_jax.errors import InputError
from dst_jax.typing import Bool, Float, Mark, Region


@dataclasses.dataclass(frozen=True, slots=True, eq=False)
class Sequence:
    """One target followed through one video; frames stay on disk until needed.

    Attributes:
      name: Name that is unique within the data set, and names the result file.
      video: Key of the underlying video, which all targets of the video share.
      frames: Paths of the images, in order; empty where only boxes were asked for.
      boxes: (cx, cy, w, h) in continuous frame pixels, NaN where the target is absent;
        without area, or outside of the frame, where the annotation says so.
      visible: Whether the target can be seen, so that training may use the frame.
      category: Kind of object, or "".
      source: The data set as the user named it, such as "got10k:DIR".
      size: (height, width) of the frames in pixels, or None if unknown.
      origin: Coordinate of the first pixel in the files of the data set, 0 or 1, and so
        in its result files. `boxes` count from 0 in any case.
      stated: Boxes as the files state them, as some evaluation kits read them, also
        where the target is marked absent; None if that is `boxes`.
      covered: Frames in which the target is marked as wholly covered; None for none.
      marks: What the files mark, of "absent" and "covered", whether or not a frame has
        the mark.
      regions: Rectangle or polygon of each frame as the files state it, (0,) where they
        state none; None if the layout has boxes alone, or a frame has a mask.
    """

    name: str
    video: str
    frames: tuple[str, ...]
    boxes: Float[np.ndarray, "t 4"]
    visible: Bool[np.ndarray, " t"]
    category: str = ""
    source: str = ""
    size: tuple[int, int] | None = None
    origin: int = 0
    stated: Float[np.ndarray, "t 4"] | None = None
    covered: Bool[np.ndarray, " t"] | None = None
    marks: tuple[Mark, ...] = ()
    regions: tuple[Region, ...] | None = None

    def __post_init__(self):
        count = len(self.boxes)
        if count == 0:
            raise InputError(f"Sequence {self.name!r} has no boxes; annotate a frame.")
        if len(self.frames) not in (0, count):
            raise InputError(
                f"Sequence {self.name!r} has {len(self.frames)} frames and {count} "
                "boxes; give one box per frame."
            )
        if np.isnan(self.boxes[self.visible]).any():
            raise InputError(
                f"Sequence {self.name!r} is marked visible where its box is NaN; "
                "mark those frames absent."
            )
        # Arrays are shared between threads and between filtered copies.
        for array in (self.boxes, self.visible, self.stated, self.covered):
            if array is not None:
                array.setflags(write=False)

    def __len__(self) -> int:
        return len(self.boxes)


def split_by_video(
    sequences: collections.abc.Sequence[Sequence], *, share: float, seed: int
) -> tuple[tuple[Sequence, ...], tuple[Sequence, ...]]:
    """Splits into (training, validation); whole videos stay on one side.

    Every source gives about `share` of its videos to validation, so that a set of many
    single images does not crowd the videos out. The result depends on the video keys
    and the seed, not on the order of the list, which each side keeps.

    Args:
      sequences: Sequences of at least two different videos.
      share: Share of the videos that goes to validation, above 0 and below 1.
      seed: Seed of the split; another seed draws another split.

    Returns:
      Training and validation sequences, at least one video on each side.

    Raises:
      InputError: If the share is not within (0, 1) or there are fewer than two videos.
    """
    if not 0.0 < share < 1.0:
        raise InputError(f"validation share {share} must be above 0 and below 1.")
    source_of: dict[str, str] = {}
    for sequence in sequences:
        known = source_of.get(sequence.video, sequence.source)
        source_of[sequence.video] = min(known, sequence.source)
    if len(source_of) < 2:
        raise InputError(
            f"{len(source_of)} video(s) cannot be split into training and validation; "
            "give at least two videos."
        )
    held_out = _held_out_videos(source_of, share, seed)
    train = tuple(s for s in sequences if s.video not in held_out)
    return train, tuple(s for s in sequences if s.video in held_out)


def _held_out_videos(source_of: dict[str, str], share: float, seed: int) -> set[str]:
    by_source: dict[str, list[str]] = {}
    for video in sorted(source_of):
        by_source.setdefault(source_of[video], []).append(video)
    held_out: set[str] = set()
    # A source is shuffled by itself, so that adding another leaves its split as it is.
    for videos in by_source.values():
        order = np.random.default_rng((seed, len(videos))).permutation(len(videos))
        count = min(round(share * len(videos)), len(videos) - 1)
        held_out.update(videos[i] for i in order[:count])
    if not held_out:
        largest = max(by_source.values(), key=len)
        pool = largest if len(largest) > 1 else sorted(source_of)
        held_out.add(pool[np.random.default_rng(seed).integers(len(pool))])
    return held_out
