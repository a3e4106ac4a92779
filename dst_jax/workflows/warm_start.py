"""What students begin with in place of random weights: whole bundles, or backbones."""

import dataclasses
import math
import pathlib
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from flax.traverse_util import flatten_dict, unflatten_dict

from dst_jax.arch import InputSpec, TrackerSpec, spec_id
from dst_jax.bundle import Bundle, load_bundle
from dst_jax.convert import resized_positions
from dst_jax.errors import InputError
from dst_jax.models import Variables, variable_shapes
from dst_jax.models.parts import BACKBONE

# What of an input decides which values a backbone sees; crops may differ in size.
_VALUES = ("scale", "mean", "std")


class Start(NamedTuple):
    """Bundles that students begin with.

    Attributes:
      whole: Those of which all weights are taken, by student.
      backbones: Those of which the backbone's are, by student.
    """

    whole: Mapping[str, Bundle]
    backbones: Mapping[str, Bundle]

    @property
    def identity(self) -> dict[str, dict[str, str]]:
        """Returns the digests of the weights, by option and student."""
        digests = {
            kind: {name: bundle.weights_sha256 for name, bundle in bundles.items()}
            for kind, bundles in (("init", self.whole), ("backbone", self.backbones))
        }
        # A run without backbones is the one that it was before there were any.
        return {k: v for k, v in digests.items() if v or k == "init"}


def load_start(
    students: Mapping[str, TrackerSpec],
    init: Mapping[str, pathlib.Path],
    backbones: Mapping[str, pathlib.Path],
) -> Start:
    """Reads the bundles that students begin with, and checks that they fit.

    Args:
      students: The networks that learn, by name.
      init: Bundles whose weights are taken, by student. A transformer's positions are
        resized where its crops have another size.
      backbones: Bundles whose backbones are taken, by student.

    Raises:
      InputError: If there is no such student or bundle, or it does not fit.
    """
    for option, given in (("--init", init), ("--backbone", backbones)):
        for name in given:
            if name not in students:
                raise InputError(
                    f"{option} {name}=...: there is no such student; "
                    f"there are {', '.join(students)}."
                )
    if both := [name for name in backbones if name in init]:
        raise InputError(
            f"--backbone {both[0]}=...: --init gives all weights of {both[0]}; give "
            "one of the two."
        )
    start = Start(
        {n: _sized_for(students[n], load_bundle(path)) for n, path in init.items()},
        {n: load_bundle(path, partial=True) for n, path in backbones.items()},
    )
    for name, bundle in start.whole.items():
        if spec_id(bundle.spec) != spec_id(students[name]):
            raise InputError(
                f"--init {name}=...: the bundle's architecture is not the student's; "
                "give one of the same architecture, or leave it to begin anew (also "
                "without --init-from-teacher)."
            )
    for name, bundle in start.backbones.items():
        _require_backbone(name, bundle, students[name])
    return start


def _sized_for(student: TrackerSpec, bundle: Bundle) -> Bundle:
    """Returns the bundle with positions for the student's crops, if only these differ.

    Bundles of another architecture are returned as they are.
    """
    resized = dataclasses.replace(bundle.spec, input=student.input)
    alike = _values(bundle.spec.input) == _values(student.input)
    if not student.head.one_stream or resized != student or not alike:
        return bundle
    flat: Any = flatten_dict(dict(bundle.variables))
    wanted: Any = flatten_dict(dict(variable_shapes(student)))
    for path, leaf in flat.items():
        if path[2:3] == ("positions",):
            side = math.isqrt(wanted[path].shape[0])
            flat[path] = resized_positions(np.asarray(leaf), side)
    variables: Any = unflatten_dict(flat)
    return dataclasses.replace(bundle, spec=student, variables=variables)


def _require_backbone(name: str, bundle: Bundle, student: TrackerSpec) -> None:
    """Raises InputError if a bundle's backbone is not one for the student."""
    theirs, ours = _values(bundle.spec.input), _values(student.input)
    for field in _VALUES:
        if theirs[field] != ours[field]:
            raise InputError(
                f"--backbone {name}=...: its InputSpec.{field} is {theirs[field]}, the "
                f"student's {ours[field]}; give a backbone that sees the same values, "
                f"or the student by --student {name}=BUNDLE/spec.json."
            )
    found, wanted = _shapes(bundle.variables), _shapes(variable_shapes(student))
    for path in sorted(found | wanted):
        if found.get(path) != wanted.get(path):
            raise InputError(
                f"--backbone {name}=...: its {path} has shape "
                f"{found.get(path, 'none')}, the student's {wanted.get(path, 'none')}; "
                "give a backbone of the same stages and widths."
            )


def _values(input: InputSpec) -> dict[str, Any]:
    return {field: getattr(input, field) for field in _VALUES}


def _shapes(variables: Variables) -> dict[str, tuple[int, ...]]:
    """Returns the shapes of a backbone's variables by their paths."""
    parts: Any = [
        flatten_dict(values.get(BACKBONE, {}), sep="/") for values in variables.values()
    ]
    return {path: np.shape(leaf) for part in parts for path, leaf in part.items()}
