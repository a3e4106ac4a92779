"""A finished tracker on disk: a folder that appears whole or not at all.

`spec.json` holds the architecture, `weights.safetensors` the variables as float32,
`tracking.json` the online hyper-parameters and `card.json` an account of how the
tracker was made. The card also holds the digests of all four, its own without the
digests; format 1 had one of the weights alone. Loading executes nothing that the folder
holds.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

from dst_jax import files
from dst_jax.arch import TrackerSpec, spec_from_json, spec_to_json, tracker_cost
from dst_jax.digests import bytes_sha256, file_sha256, json_sha256
from dst_jax.errors import InputError, shortened
from dst_jax.json_text import parse_json
from dst_jax.models import Variables
from dst_jax.track.config import Tracking, tracking_from_json, tracking_to_json
from dst_jax.track.session import Session
from dst_jax.weights import (
    check_weights,
    most_bytes,
    weights_from_bytes,
    weights_to_bytes,
)

FORMAT_VERSION = 2
_READ_VERSIONS = (1, 2)
_CARD, _SPEC, _TRACKING = "card.json", "spec.json", "tracking.json"
_WEIGHTS = "weights.safetensors"
_FILES = (_SPEC, _WEIGHTS, _TRACKING, _CARD)
# The card's key for the digests of all files, since format 2.
_DIGESTS = "files_sha256"


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A tracker: architecture, weights, online settings, and its origin.

    Attributes:
      spec: The architecture.
      variables: {"params": ..., "batch_stats": ...}, float32 NumPy arrays.
      tracking: Every online hyper-parameter; each family of heads has its own class.
      card: JSON values that say how the tracker was made.
    """

    spec: TrackerSpec
    variables: Variables
    tracking: Tracking
    card: Mapping[str, Any]

    @property
    def weights_sha256(self) -> str:
        """Returns the SHA-256 of the file that holds the weights, their identity."""
        return bytes_sha256(weights_to_bytes(self.variables))

    @property
    def unprotected(self) -> tuple[str, ...]:
        """Returns the files of a loaded bundle whose damage would go unnoticed."""
        return () if _DIGESTS in self.card else (_SPEC, _TRACKING, _CARD)


def save_bundle(bundle: Bundle, path: str | os.PathLike[str]) -> pathlib.Path:
    """Writes `bundle` to the folder `path`, whole or not at all.

    A folder that holds the same already is left as it is.

    Raises:
      InputError: If `path` exists and is not a bundle, or the variables are not those
        of the architecture or no numbers to compute with; an older bundle is replaced.
    """
    path = files.user_path(path)
    check_place(path)
    try:
        check_weights(bundle.variables, bundle.spec)
        contents = _contents(bundle)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if _holds(path, contents):
        files.sweep_beside(path)
        return path
    with files.whole_folder(path, replace=True) as folder:
        for name, content in contents.items():
            files.write_bytes(folder / name, content)
    return path


def check_place(path: pathlib.Path, *, replace: bool = True) -> None:
    """Checks that a bundle may be written to the folder `path`.

    Args:
      path: Of the folder.
      replace: Whether a bundle that is there may be replaced.

    Raises:
      InputError: If something else is there, or a bundle that is to stay.
    """
    found = files.found_folder(path)
    if not os.path.lexists(found):
        return
    if not (found / _SPEC).is_file():
        raise InputError(f"{path}: exists and is no bundle; choose another folder.")
    if not replace:
        raise InputError(
            f"{path}: a bundle is there; choose another folder, or give --force to "
            "replace it."
        )


def is_bundle(path: pathlib.Path) -> bool:
    """Returns whether a bundle lies in the folder `path`, sound or not."""
    return (files.found_folder(path) / _SPEC).is_file()


def load_bundle(path: str | os.PathLike[str], *, partial: bool = False) -> Bundle:
    """Reads a bundle and checks it: format, digests, architecture, names, shapes.

    Args:
      path: Folder of the bundle.
      partial: Whether it may hold a backbone alone, under a head that never learnt.

    Raises:
      InputError: If anything is missing, damaged or of another format version.
    """
    path = files.found_folder(files.user_path(path))
    if not path.is_dir():
        raise InputError(f"{path}: no such bundle; give the folder of a saved tracker.")
    for name in _FILES:
        if not (path / name).is_file():
            raise InputError(f"{path / name}: missing, so the bundle is incomplete.")
    header = files.read_json(path / _SPEC)
    version = header.get("format_version")
    if type(version) is not int or version not in _READ_VERSIONS:
        raise InputError(
            f"{path / _SPEC}: format_version {shortened(version)}, this release reads "
            f"{' and '.join(map(str, _READ_VERSIONS))}; use a matching release of "
            "dst_jax."
        )
    card = files.read_json(path / _CARD)
    if card.get("backbone_alone") and not partial:
        raise InputError(
            f"{path}: holds a backbone alone, its head has never learnt; train with "
            "--backbone NAME=BUNDLE."
        )
    digests = _digests(path / _CARD, card, version)
    for name in (_SPEC, _TRACKING):
        if name in digests:
            _check_digest(path / name, file_sha256(path / name), digests[name])
    settings = files.read_json(path / _TRACKING)
    try:
        spec = spec_from_json(header.get("tracker", {}))
        tracking = tracking_from_json(settings)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    variables = _read_weights(path / _WEIGHTS, spec, digests[_WEIGHTS])
    return Bundle(spec=spec, variables=variables, tracking=tracking, card=card)


def load(path: str | os.PathLike[str]) -> Session:
    """Returns a session of the tracker in the folder `path`, ready for `init`.

    It is `dst_jax.load`. Boxes go in and come out as x, y, w, h, pixels from 0, as on
    the command line: `session.init(image, box)`, then `session.update(image).box`.

    Args:
      path: Folder of a bundle, as training and conversion write it.

    Raises:
      InputError: If it is no bundle of this release, or damaged.
    """
    return Session(load_bundle(path))


def card_sizes(spec: TrackerSpec) -> dict[str, Any]:
    """Returns the sizes of a tracker that cards and tables quote."""
    cost = tracker_cost(spec)
    return {
        "parameters": cost.parameters,
        "megabytes": cost.megabytes,
        "search_macs": cost.search_macs,
    }


def _contents(bundle: Bundle) -> dict[str, bytes]:
    """Returns what each file of the bundle holds."""
    spec = {"format_version": FORMAT_VERSION, "tracker": spec_to_json(bundle.spec)}
    contents = {
        _SPEC: files.json_bytes(spec),
        _WEIGHTS: weights_to_bytes(bundle.variables),
        _TRACKING: files.json_bytes(tracking_to_json(bundle.tracking)),
    }
    digests = {name: bytes_sha256(content) for name, content in contents.items()}
    # As it will be read: with keys that are strings, and lists in place of tuples.
    card = parse_json(files.json_bytes(dict(bundle.card)))
    card |= {"weights_sha256": digests[_WEIGHTS]}
    digests[_CARD] = _card_digest(card)
    contents[_CARD] = files.json_bytes({**card, _DIGESTS: digests})
    return contents


def _holds(path: pathlib.Path, contents: Mapping[str, bytes]) -> bool:
    """Returns whether the folder holds these files and no others."""
    if not path.is_dir() or {one.name for one in path.iterdir()} != set(contents):
        return False
    return all(
        (path / name).is_file()
        and (path / name).stat().st_size == len(content)
        and (path / name).read_bytes() == content
        for name, content in contents.items()
    )


def _card_digest(card: Mapping[str, Any]) -> str:
    return json_sha256({n: one for n, one in card.items() if n != _DIGESTS})


def _digests(
    path: pathlib.Path, card: Mapping[str, Any], version: int
) -> dict[str, Any]:
    """Returns the digests that a card holds, by file, after checking the card's own."""
    digests = card.get(_DIGESTS)
    if version == 1 and _DIGESTS in card:
        raise InputError(
            f"{path}: holds digests of format_version 2, and spec.json says 1; one of "
            "them is damaged or from another bundle."
        )
    if version == 1:
        digests = {_WEIGHTS: card.get("weights_sha256")}
    known: dict[str, Any] = digests if isinstance(digests, dict) else {}
    named = (_WEIGHTS,) if version == 1 else _FILES
    if more := set(known) - set(named):
        raise InputError(
            f"{path}: holds a digest of {shortened(min(more))}, which is no file of a "
            "bundle; restore the bundle or make it again."
        )
    for name in named:
        if not isinstance(known.get(name), str):
            raise InputError(
                f"{path}: holds no digest of {name}, so that nothing shows whether it "
                "is whole; restore the bundle or make it again."
            )
    if version > 1:
        _check_digest(path, _card_digest(card), known[_CARD])
    return known


def _check_digest(path: pathlib.Path, found: str, recorded: str) -> None:
    if found != recorded:
        raise InputError(
            f"{path}: damaged, its hash is not the one in card.json; restore the "
            "bundle or make it again."
        )


def _read_weights(path: pathlib.Path, spec: TrackerSpec, digest: str) -> dict[str, Any]:
    most, size = most_bytes(spec), path.stat().st_size
    if size > most:
        raise InputError(
            f"{path}: {size / 1e6:,.1f} MB; the weights of the architecture have at "
            f"most {most / 1e6:,.1f} MB."
        )
    content = path.read_bytes()
    _check_digest(path, bytes_sha256(content), digest)
    try:
        return weights_from_bytes(content, spec)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
