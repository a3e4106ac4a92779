"""The card of a pack, `pack.json`: what it serves, and what its files must hold."""

import dataclasses
import pathlib
from collections.abc import Mapping
from typing import Any

from dst_jax.data.packs.codec import PatchEncoding
from dst_jax.data.packs.records import Shard, shard_name
from dst_jax.data.patches import PatchSpec, patches_from_json
from dst_jax.decode import from_json, to_json
from dst_jax.digests import file_sha256, json_sha256
from dst_jax.errors import InputError
from dst_jax.files import read_json, write_json

CARD, INDEX = "pack.json", "index.npz"
# Format 3 had neither checksums nor digests; its shards are those of format 4.
FORMAT, FORMAT_WITHOUT_CHECKSUMS = 4, 3


@dataclasses.dataclass(frozen=True)
class IndexFile:
    """The index as the card lists it.

    Attributes:
      size: Size of the file, bytes.
      sha256: SHA-256 of the file.
    """

    size: int
    sha256: str


@dataclasses.dataclass(frozen=True)
class Card:
    """What is read of a finished pack's card.

    Attributes:
      serves: Sizes of the patches, the widest that training can ask for.
      augment: The augmentation for which the pack was made, for messages.
      encoding: Encoding of the patches.
      shards: All shards, in order.
      index: The index.
    """

    serves: PatchSpec
    augment: Mapping[str, Any]
    encoding: PatchEncoding
    shards: tuple[Shard, ...]
    index: IndexFile


def read_card(folder: pathlib.Path) -> Card:
    """Reads the card of a finished pack.

    Raises:
      InputError: If there is none, or it is damaged or of another format.
    """
    path = folder / CARD
    if not path.is_file():
        raise InputError(
            f"packed:{folder}: there is no pack ({CARD}); name the folder that "
            "dst-jax data pack has written."
        )
    values = read_json(path)
    found = values.get("format")
    if found == FORMAT_WITHOUT_CHECKSUMS:
        raise InputError(
            f"{path}: format {found} has no checksums, this version reads {FORMAT}; "
            "run the same dst-jax data pack again, which adds them and keeps the "
            "patches."
        )
    if found != FORMAT:
        raise InputError(
            f"{path}: format {found!r}, this version reads {FORMAT}; pack the data "
            "again."
        )
    if values.pop("digest", None) != json_sha256(values):
        raise InputError(
            f"{path}: was changed after it was written; restore the file, or pack the "
            "data again."
        )
    try:
        return _card(values)
    except (InputError, KeyError, OverflowError) as error:
        raise InputError(f"{path}: {error}; pack the data again.") from None


def _card(values: Mapping[str, Any]) -> Card:
    shards = from_json(tuple[Shard, ...], values["shards"], "shards", complete=True)
    for number, shard in enumerate(shards):
        expected = shard_name(number, len(shards))
        if shard.name != expected:
            raise InputError(f"shards[{number}].name={shard.name!r}: is {expected}")
    augment = values["augment"]
    if not isinstance(augment, dict):
        raise InputError(f"augment={augment!r}: expected settings")
    return Card(
        serves=patches_from_json(values["serves"]),
        augment=augment,
        encoding=from_json(PatchEncoding, values["encoding"], "encoding"),
        shards=shards,
        index=from_json(IndexFile, values["index"], "index", complete=True),
    )


def write_card(
    folder: pathlib.Path, plan: Mapping[str, Any], shards: tuple[Shard, ...]
) -> None:
    """Writes the card that makes a pack whole, after its other files.

    Args:
      folder: Folder of the pack, with its index.
      plan: JSON values that decide the records, `serves`, `augment` and `encoding`
        among them.
      shards: All shards, in order.
    """
    path = folder / INDEX
    index = IndexFile(path.stat().st_size, file_sha256(path))
    values = {**plan, "shards": to_json(shards), "index": to_json(index)}
    write_json(folder / CARD, {**values, "digest": json_sha256(values)})
