"""A pack holds patches that were cut once, and is read as the source `packed:DIR`.

DIR/pack.json             which patches it serves, the shards, where they came from
DIR/index.npz             tracks: names, lengths, boxes, which frames have a record, and
                          a checksum of each record
DIR/*.array_record-*      the records, of visible frames in the order of the index
DIR/dataset_info.json, features.json    for `tfds.builder_from_directory`

The card has a digest of itself and one of the index, whose checksums are compared as
records are read: what was damaged is refused, when it is read.
"""

import concurrent.futures
import dataclasses
import math
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from dst_jax.data.checks.lint import LintReport
from dst_jax.data.packs.card import CARD, INDEX, Card, read_card
from dst_jax.data.packs.codec import PatchEncoding, decode_patch
from dst_jax.data.packs.index import damaged, read_index
from dst_jax.data.packs.records import Records
from dst_jax.data.patches import ROLES, PatchSpec, Role
from dst_jax.data.sequence import Sequence
from dst_jax.errors import InputError
from dst_jax.files import user_path
from dst_jax.typing import Float, UInt8

_PREFIX = "packed:"
# The threads of a verification get this many records at a time.
_CHUNK = 512


def is_packed(source: str) -> bool:
    """Returns whether a source is a pack.

    Example:
      >>> is_packed("packed:data/vid"), is_packed("got10k:data/train")
      (True, False)
    """
    return source.startswith(_PREFIX)


@dataclasses.dataclass(frozen=True)
class Pack:
    """An opened pack.

    Attributes:
      source: The pack as the user named it, `packed:DIR`.
      serves: Sizes of its patches, the widest that training can ask for.
      augment: The augmentation for which it was made, for messages.
      encoding: Encoding of the patches.
      records: The records of all shards.
    """

    source: str
    serves: PatchSpec
    augment: Mapping[str, Any]
    encoding: PatchEncoding
    records: Records

    def check_serves(self, spec: PatchSpec) -> None:
        """Checks that the pack has the patches that a training needs.

        Raises:
          InputError: If the patches of a role have another scale, are wider than the
            pack's, or lie between the pack's pixels.
        """
        for role in ROLES:
            zoom, needed = self.serves.of(role).zoom, spec.of(role).zoom
            same = math.isclose(zoom.px_per_side, needed.px_per_side, rel_tol=1e-9)
            if zoom.context != needed.context or not same:
                raise self._refusal(f"{role} patches of {zoom}", needed)
        for role in ROLES:
            ours, asked = self.serves.of(role).patch_px, spec.of(role).patch_px
            if asked > ours:
                raise self._refusal(f"{role} patches up to {ours} px", f"{asked} px")
            # A patch half a pixel off the middle would have to be interpolated.
            if (ours - asked) % 2:
                kind = "odd" if ours % 2 else "even"
                has = f"{role} patches of {ours} px and smaller {kind} sides"
                raise self._refusal(has, f"{asked} px")

    def _refusal(self, has: str, needs: Any) -> InputError:
        return InputError(
            f"{self.source} serves {has}; this training needs {needs}: lessen the "
            "augmentation, or pack again with its configuration (dst-jax data pack)."
        )

    def read(
        self, record: int, role: Role, *, out: UInt8[np.ndarray, "p p 3"]
    ) -> Float[np.ndarray, " 3"]:
        """Decodes the middle of a record's patch for `role` into `out`, as RGB.

        Args:
          record: Number of the record.
          role: Role of the patch to decode.
          out: Array that receives the pixels; its side must pass `check_serves`.

        Returns:
          The mean colour of the frame.

        Raises:
          InputError: If the record is damaged.
        """
        fields, whole = self._decoded(record, role)
        full, side = len(whole), len(out)
        cut = slice((full - side) // 2, (full + side) // 2)
        out[:] = whole[cut, cut]
        # This takes half of np.array's time, which looks at each item's kind.
        return np.fromiter(fields["fill_rgb"].float_list.value, np.float32)

    def read_whole(
        self, record: int, role: Role
    ) -> tuple[UInt8[np.ndarray, "p p 3"], tuple[int, int]]:
        """Decodes a record's whole patch for `role`, as RGB.

        Args:
          record: Number of the record.
          role: Role of the patch to decode.

        Returns:
          The patch, which the caller may change, and height and width of the frame.

        Raises:
          InputError: If the record is damaged.
        """
        fields, whole = self._decoded(record, role)
        height, width = fields["frame_size"].int64_list.value
        return np.array(whole), (height, width)

    def _decoded(
        self, record: int, role: Role
    ) -> tuple[Mapping[str, Any], UInt8[np.ndarray, "p p 3"]]:
        """Returns the fields of a record and its patch for `role`."""
        fields = self.records[record]
        # A record without the field has an empty list here.
        stored = fields[f"{role}_patch"].bytes_list.value or (b"",)
        full = self.serves.of(role).patch_px
        whole = decode_patch(stored[0], self.encoding, side=full)
        if whole is None:
            raise InputError(
                f"{self.source}: the {role} patch of record {record} is no image of "
                f"{full} px; pack the data again."
            )
        return fields, whole

    def damaged(
        self, *, threads: int = 2, tick: Callable[[int, int], None] = lambda *_: None
    ) -> list[str]:
        """Returns a message for each record that cannot be read; decodes them all.

        Args:
          threads: Number of threads that decode.
          tick: Function that is told the number of records done, and of all.
        """

        def problem(record: int) -> str | None:
            try:
                for role in ROLES:
                    side = self.serves.of(role).patch_px
                    self.read(record, role, out=np.empty((side, side, 3), np.uint8))
            except InputError as error:
                return str(error)
            return None

        found: list[str] = []
        with concurrent.futures.ThreadPoolExecutor(max(threads, 1)) as pool:
            for first in range(0, len(self.records), _CHUNK):
                part = range(first, min(first + _CHUNK, len(self.records)))
                for record, text in zip(part, pool.map(problem, part), strict=True):
                    found.extend([text] if text else [])
                    tick(record + 1, len(self.records))
        return found


def open_pack(source: str) -> Pack:
    """Opens `packed:DIR`.

    Raises:
      InputError: If there is no whole pack of this format in the folder.
    """
    folder = user_path(source.removeprefix(_PREFIX))
    card = read_card(folder)
    checksums = _read_index(folder, card)["crc32"]
    records = Records(folder, card.shards, checksums)
    return Pack(source, card.serves, card.augment, card.encoding, records)


def _read_index(folder: pathlib.Path, card: Card) -> dict[str, np.ndarray]:
    index = read_index(folder / INDEX, card.index)
    if len(index["crc32"]) != sum(shard.records for shard in card.shards):
        raise InputError(
            f"{folder / INDEX} and {CARD} do not belong together; remove {INDEX} and "
            "pack again as before."
        )
    return index


def read_pack(source: str) -> tuple[tuple[Sequence, ...], LintReport]:
    """Reads the tracks of `packed:DIR`.

    The `frames` of a sequence are numbers of records, or "" for frames without one.

    Raises:
      InputError: If the pack is not whole.
    """
    folder = user_path(source.removeprefix(_PREFIX))
    index = _read_index(folder, read_card(folder))
    try:
        sequences = _sequences(source, index)
    except ValueError as error:
        raise damaged(folder / INDEX, error) from None
    frames = sum(len(sequence) for sequence in sequences)
    return sequences, LintReport((), len(sequences), frames)


def _sequences(source: str, index: Mapping[str, np.ndarray]) -> tuple[Sequence, ...]:
    ends = np.cumsum(index["length"])
    records = np.cumsum(index["visible"]) - 1
    sequences = []
    for number, end in enumerate(ends):
        part = slice(int(end - index["length"][number]), int(end))
        visible = index["visible"][part].copy()
        height, width = (int(side) for side in index["size"][number])
        sequences.append(
            Sequence(
                name=str(index["track"][number]),
                video=str(index["video"][number]),
                frames=tuple(
                    str(record) if seen else ""
                    for record, seen in zip(records[part], visible, strict=True)
                ),
                boxes=index["box"][part].copy(),
                visible=visible,
                category=str(index["category"][number]),
                source=source,
                size=(height, width) if height > 0 else None,
            )
        )
    return tuple(sequences)
