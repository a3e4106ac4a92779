"""Knows videos by their truth: none that settings were chosen on is to be reported."""

import collections.abc
from collections.abc import Mapping
from typing import Any

import numpy as np

from dst_jax.bundle import Bundle
from dst_jax.data.sequence import Sequence
from dst_jax.digests import bytes_sha256
from dst_jax.errors import InputError, shortened
from dst_jax.workflows.protocol_choice import truth_is_hidden


def require_apart(
    validation: str,
    videos: collections.abc.Iterable[Sequence],
    reported: str,
    evaluated: collections.abc.Iterable[Sequence],
    *,
    option: str = "--tune",
    doing: str = "tune",
) -> None:
    """Checks that no video to choose settings on is one of those that are evaluated.

    Args:
      validation: Name of the first data set.
      videos: Its videos.
      reported: Name of the data set that is evaluated.
      evaluated: Its videos.
      option: How the command line names the first data set, for messages.
      doing: What is done with it.

    Raises:
      InputError: If two videos have the same truth, or the truth is not published.
    """
    videos = tuple(videos)
    if truth_is_hidden(videos):
        raise InputError(
            f"{option} {validation}: only first frames have a true box; {doing} on "
            "videos whose truth is published."
        )
    theirs = {truth_sha256(video): video.name for video in evaluated}
    for video in videos:
        if (same := theirs.get(truth_sha256(video))) is not None:
            raise InputError(
                f"{option} {validation}: its video {shortened(video.name)} is also "
                f"evaluated, as {shortened(same)} of {reported}; {doing} on other "
                "videos, such as a validation set."
            )


def shared_videos(
    bundle: Bundle, entry: str, sequences: collections.abc.Iterable[Sequence]
) -> list[tuple[str, str]]:
    """Returns names of those of some videos that an entry of a card lists.

    Args:
      bundle: The bundle whose card has the entry, or not.
      entry: Its name; it has digests by name in "videos".
      sequences: The videos.

    Returns:
      Name among `sequences` and name in the card of each video that is in both.
    """
    card: Any = bundle.card.get(entry)
    videos = card.get("videos") if isinstance(card, Mapping) else None
    known = videos if isinstance(videos, Mapping) else {}
    names = {str(digest): str(name) for name, digest in known.items()}
    ours = {truth_sha256(one): one.name for one in sequences}
    return [(ours[digest], names[digest]) for digest in ours if digest in names]


def truth_sha256(sequence: Sequence) -> str:
    """Returns the SHA-256 of a video's boxes, by which its copies are recognised."""
    boxes = np.nan_to_num(np.asarray(sequence.boxes, np.float64), nan=-1.0)
    return bytes_sha256(np.ascontiguousarray(boxes).tobytes())
