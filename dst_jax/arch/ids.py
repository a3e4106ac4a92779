"""Specs on disk: they are plain JSON and have a stable identity."""

from typing import Any

from dst_jax.arch.spec import TrackerSpec
from dst_jax.decode import from_json, to_json
from dst_jax.digests import json_sha256


def spec_to_json(spec: TrackerSpec) -> dict[str, Any]:
    """Returns `spec` as JSON values: dicts, lists, numbers, strings, None."""
    return to_json(spec)


def spec_from_json(values: Any) -> TrackerSpec:
    """Returns the spec that `spec_to_json` turned into `values`.

    Args:
      values: JSON values, which may come from a damaged file.

    Raises:
      InputError: If they hold no spec, or a field is unknown, missing or out of
        range; it names the field.
    """
    return from_json(TrackerSpec, values, "spec")


def spec_id(spec: TrackerSpec) -> str:
    """Returns the SHA-256 of the spec's sorted JSON, equal on every host."""
    return json_sha256(spec_to_json(spec))
