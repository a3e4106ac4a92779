"""Examples of a batch: each side of a pair comes from an image file or from a pack."""

import collections.abc
from typing import TypeAlias

import numpy as np

from dst_jax.data.frames import FrameCache
from dst_jax.data.packs.packed import Pack, is_packed, open_pack
from dst_jax.data.pairs import Pair
from dst_jax.data.patches import ROLES, PatchSpec, Role, box_in_patch, cut_patch
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError

HostBatch: TypeAlias = dict[str, np.ndarray]


def empty_patches(
    spec: PatchSpec, count: int, *, roles: tuple[Role, ...] = ROLES
) -> HostBatch:
    """Returns the arrays of `PatchReader.empty`.

    Args:
      spec: Sizes of the patches.
      count: Number of examples.
      roles: Sides of the pair that get arrays.
    """
    batch: HostBatch = {}
    for role in roles:
        side = spec.of(role).patch_px
        batch[f"{role}_patch"] = np.empty((count, side, side, 3), np.uint8)
        batch[f"{role}_box"] = np.empty((count, 4), np.float32)
        batch[f"{role}_fill_rgb"] = np.empty((count, 3), np.float32)
    return batch


class PatchReader:
    """Reads patches of targets; several threads may share a reader.

    Args:
      sequences: Sequences to which the indices of pairs refer, each with a visible
        frame on disk or in a pack.
      spec: Sizes of the patches.
      cache_mb: Megabytes (2^20 bytes) of decoded image files that are kept at most.

    Raises:
      InputError: If a sequence has no frame, or a pack does not serve `spec`.
    """

    def __init__(
        self,
        sequences: collections.abc.Sequence[Sequence],
        spec: PatchSpec,
        *,
        cache_mb: int,
    ):
        require_frames(sequences)
        self.sequences, self.spec = tuple(sequences), spec
        self._frames = FrameCache(limit_bytes=cache_mb * 2**20)
        self._packs = open_packs(sequences, spec)

    def empty(self, count: int, *, roles: tuple[Role, ...] = ROLES) -> HostBatch:
        """Returns uninitialised arrays for `count` examples.

        Args:
          count: Number of examples.
          roles: Sides of the pair that get arrays.

        Returns:
          For each role `{role}_patch` uint8 [count, p, p, 3], `{role}_box` float32
          [count, 4] and `{role}_fill_rgb` float32 [count, 3].
        """
        return empty_patches(self.spec, count, roles=roles)

    def read_pair(self, batch: HostBatch, row: int, pair: Pair, number: int) -> None:
        """Writes both sides of a pair into row `row` of a batch.

        Args:
          batch: Arrays from `empty`.
          row: Row that is written.
          pair: The pair.
          number: Ignored, because patches do not depend on it.

        Raises:
          InputError: If a frame or record cannot be read.
        """
        del number
        self.read(batch, row, pair.template_sequence, pair.template_frame, "template")
        self.read(batch, row, pair.search_sequence, pair.search_frame, "search")

    def read(
        self, batch: HostBatch, row: int, sequence: int, frame: int, role: Role
    ) -> None:
        """Writes patch, box and fill colour of one target into row `row` of a batch.

        Raises:
          InputError: If the frame or record cannot be read.
        """
        target, patch = self.sequences[sequence], self.spec.of(role)
        pixels = batch[f"{role}_patch"][row]
        name, box = target.frames[frame], target.boxes[frame]
        pack = self._packs.get(target.source)
        if pack is not None:
            fill = pack.read(int(name), role, out=pixels)
            scale = patch.scale(box)
            in_patch = box_in_patch(box, patch_px=patch.patch_px, scale=scale)
        else:
            image = self._frames.read(name)
            pixels[:], in_patch, fill = cut_patch(image, box, patch)
        batch[f"{role}_box"][row] = in_patch
        batch[f"{role}_fill_rgb"][row] = fill


def require_frames(sequences: collections.abc.Sequence[Sequence]) -> None:
    """Checks that each sequence has a visible frame on disk or in a pack.

    Raises:
      InputError: If one has none.
    """
    for sequence in sequences:
        if not (sequence.frames and sequence.visible.any()):
            raise InputError(
                f"sequence {sequence.name!r} has no visible frame on disk; "
                "leave it out."
            )


def open_packs(
    sequences: collections.abc.Sequence[Sequence], spec: PatchSpec
) -> dict[str, Pack]:
    """Opens the packs that sequences lie in, by source.

    Raises:
      InputError: If one cannot be read or does not serve `spec`.
    """
    packed = {s.source for s in sequences if is_packed(s.source)}
    packs = {source: open_pack(source) for source in sorted(packed)}
    for pack in packs.values():
        pack.check_serves(spec)
    return packs
