"""A finished tracker on disk: a folder that appears whole or not at all.

`spec.json` holds the architecture, `weights.safetensors` the variables as float32,
`tracking.json` the online hyper-parameters and `card.json` an account of how the
tracker was made. Loading executes nothing that the folder holds.
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors
import safetensors.numpy

from dst_jax import files
from dst_jax.arch import TrackerSpec, spec_from_json, spec_to_json, tracker_cost
from dst_jax.errors import InputError
from dst_jax.models import Variables, variable_shapes
from dst_jax.track.config import Tracking, tracking_from_json, tracking_to_json
from dst_jax.track.session import Session

FORMAT_VERSION = 1
_FILES = ("spec.json", "weights.safetensors", "tracking.json", "card.json")


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
        return files.bytes_sha256(_weights_bytes(self.variables))


def save_bundle(bundle: Bundle, path: str | os.PathLike[str]) -> pathlib.Path:
    """Writes `bundle` to the folder `path`, whole or not at all.

    Raises:
      InputError: If `path` exists and is not a bundle; an older bundle is replaced.
    """
    path = files.user_path(path)
    if path.exists() and not (path / "spec.json").is_file():
        raise InputError(f"{path}: exists and is no bundle; choose another folder.")
    weights = _weights_bytes(bundle.variables)
    spec = {"format_version": FORMAT_VERSION, "tracker": spec_to_json(bundle.spec)}
    card = {**bundle.card, "weights_sha256": files.bytes_sha256(weights)}
    with files.whole_folder(path, replace=True) as folder:
        files.write_bytes(folder / "weights.safetensors", weights)
        files.write_json(folder / "spec.json", spec)
        files.write_json(folder / "tracking.json", tracking_to_json(bundle.tracking))
        files.write_json(folder / "card.json", card)
    return path


def load_bundle(path: str | os.PathLike[str]) -> Bundle:
    """Reads a bundle and checks it: format, architecture, names, shapes, hash.

    Raises:
      InputError: If anything is missing, damaged or of another format version.
    """
    path = files.found_folder(files.user_path(path))
    if not path.is_dir():
        raise InputError(f"{path}: no such bundle; give the folder of a saved tracker.")
    for name in _FILES:
        if not (path / name).is_file():
            raise InputError(f"{path / name}: missing, so the bundle is incomplete.")
    header = files.read_json(path / "spec.json")
    if header.get("format_version") != FORMAT_VERSION:
        raise InputError(
            f"{path / 'spec.json'}: format_version {header.get('format_version')!r}, "
            f"this release reads {FORMAT_VERSION}; use a matching release of dst_jax."
        )
    card = files.read_json(path / "card.json")
    try:
        spec = spec_from_json(header.get("tracker", {}))
        tracking = tracking_from_json(files.read_json(path / "tracking.json"))
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    variables = _read_weights(path / "weights.safetensors", spec, card)
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


def _weights_bytes(variables: Variables) -> bytes:
    flat = {
        name: np.ascontiguousarray(np.asarray(value, np.float32))
        for name, value in _flatten(variables).items()
    }
    return safetensors.numpy.save(dict(sorted(flat.items())))


def _flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flatten(value, f"{prefix}{name}/")
        else:
            flat[prefix + name] = value
    return flat


def _unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {"params": {}, "batch_stats": {}}
    for name, value in flat.items():
        *parents, leaf = name.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
        node[leaf] = value
    return tree


def _read_weights(
    path: pathlib.Path, spec: TrackerSpec, card: Mapping[str, Any]
) -> dict[str, Any]:
    content = path.read_bytes()
    recorded = card.get("weights_sha256")
    if recorded and recorded != files.bytes_sha256(content):
        raise InputError(f"{path}: damaged, its hash is not the one in card.json.")
    try:
        flat = safetensors.numpy.load(content)
    except safetensors.SafetensorError as error:
        raise InputError(f"{path}: not a safetensors file ({error}).") from None
    expected = _flatten(variable_shapes(spec))
    shapes = {name: leaf.shape for name, leaf in expected.items()}
    for name in sorted(set(shapes) | set(flat)):
        if name not in flat:
            raise InputError(f"{path}: {name} is missing for the architecture.")
        if name not in shapes:
            raise InputError(f"{path}: {name} has no place in the architecture.")
        if flat[name].shape != shapes[name]:
            raise InputError(
                f"{path}: {name} has shape {flat[name].shape}, "
                f"the architecture wants {shapes[name]}."
            )
    return _unflatten(flat)
