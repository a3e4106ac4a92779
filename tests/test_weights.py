"""Weights of a bundle: float32, finite, whole, those of the architecture."""

import dataclasses
import hashlib
import os

import ml_dtypes
import numpy as np
import pytest
import safetensors.numpy

from dst_jax.bundle import load_bundle, save_bundle
from dst_jax.errors import InputError
from tests import bundles
from tests.bundles import as_format_1, edit_json


@pytest.fixture(scope="module")
def bundle():
    return bundles.small()


@pytest.fixture
def folder(bundle, tmp_path):
    return save_bundle(bundle, tmp_path / "tracker")


def with_leaf(variables, change, *, path):
    """Variables of which one leaf is changed."""
    name, *rest = path.split("/")
    inner = variables[name]
    changed = with_leaf(inner, change, path="/".join(rest)) if rest else change(inner)
    return {**variables, name: changed}


def first_is(value):
    def change(leaf):
        leaf = np.array(leaf, np.float64)
        leaf.flat[0] = value
        return leaf

    return change


KERNEL = "params/backbone/conv2/conv/kernel"
VARIANCE = "batch_stats/backbone/conv1/norm/var"
UNSOUND = [
    (KERNEL, first_is(np.nan), "not finite"),
    (KERNEL, first_is(np.inf), "not finite"),
    (KERNEL, first_is(-np.inf), "not finite"),
    (KERNEL, first_is(1e39), "not finite in float32"),
    (VARIANCE, first_is(np.nan), "not finite"),
    (VARIANCE, first_is(-1e-6), "negative variance"),
    (KERNEL, lambda leaf: leaf[..., :-1], r"has shape \(3, 3, 2, 5\)"),
]


@pytest.mark.parametrize(("path", "change", "message"), UNSOUND)
def test_weights_that_cannot_work_are_not_saved(
    bundle, tmp_path, path, change, message
):
    variables = with_leaf(bundle.variables, change, path=path)
    bad = dataclasses.replace(bundle, variables=variables)
    with (
        np.errstate(over="ignore"),
        pytest.raises(InputError, match=f"tracker: {path} .*{message}"),
    ):
        save_bundle(bad, tmp_path / "tracker")
    assert os.listdir(tmp_path) == []


def with_weights(folder, flat):
    """Writes other weights into a bundle, with the digest that belongs to them."""
    content = safetensors.numpy.save(flat)
    (folder / "weights.safetensors").write_bytes(content)
    as_format_1(folder)
    digest = hashlib.sha256(content).hexdigest()
    edit_json(folder / "card.json", lambda v: v.update(weights_sha256=digest))


@pytest.mark.parametrize(("path", "change", "message"), UNSOUND)
def test_unsound_weights_are_not_loaded(folder, path, change, message):
    flat = safetensors.numpy.load((folder / "weights.safetensors").read_bytes())
    with np.errstate(over="ignore"):
        flat[path] = np.ascontiguousarray(change(flat[path]), np.float32)
    with_weights(folder, flat)
    with pytest.raises(InputError, match=f"weights.safetensors: {path} .*{message}"):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (np.float64, "F64"),
        (np.float16, "F16"),
        (np.int32, "I32"),
        (np.bool_, "BOOL"),
        (np.complex64, "C64"),
        (ml_dtypes.bfloat16, "BF16"),
        (ml_dtypes.float8_e4m3fn, "F8_E4M3"),
        (ml_dtypes.float8_e5m2, "F8_E5M2"),
    ],
)
def test_weights_of_another_type_are_refused(folder, kind, name):
    flat = safetensors.numpy.load((folder / "weights.safetensors").read_bytes())
    flat[KERNEL] = flat[KERNEL].astype(kind)
    with_weights(folder, flat)
    with pytest.raises(InputError, match=f"{KERNEL}' has the type {name}; "):
        load_bundle(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda flat: flat.pop(KERNEL), f"{KERNEL} is missing"),
        (lambda flat: flat.update({"a/b": flat[KERNEL]}), "'a/b' has no place"),
        (lambda flat: flat.update({f"{KERNEL}/b": flat[KERNEL]}), "has no place"),
    ],
)
def test_tensors_without_a_place_are_named(folder, change, message):
    flat = safetensors.numpy.load((folder / "weights.safetensors").read_bytes())
    change(flat)
    with_weights(folder, flat)
    with pytest.raises(InputError, match=message):
        load_bundle(folder)


def test_weights_far_larger_than_the_architectures_are_not_read(folder):
    with (folder / "weights.safetensors").open("ab") as file:
        file.truncate(10**12)  # takes no space on the disk
    with pytest.raises(InputError, match=r"1,000,000\.0 MB; the weights of the arch"):
        load_bundle(folder)


def test_damaged_weights_are_noticed(folder):
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="hash is not the one"):
        load_bundle(folder)


def test_weights_of_another_architecture_are_named(folder):
    as_format_1(folder)
    edit_json(
        folder / "spec.json",
        lambda v: v["tracker"]["backbone"]["layers"][4].update(features=8),
    )
    with pytest.raises(InputError, match=r"conv5/conv/(bias|kernel) has shape"):
        load_bundle(folder)
