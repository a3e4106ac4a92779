"""Bundles: whole or absent, checked on loading, nothing executed."""

import json
import os

import jax
import numpy as np
import pytest

from dst_jax import arch
from dst_jax.bundle import Bundle, load_bundle, save_bundle
from dst_jax.errors import InputError
from dst_jax.models import init_variables
from dst_jax.track.config import SiamFCTracking, SiamRPNTracking

SPEC = arch.named("tiny")


@pytest.fixture(scope="module")
def bundle():
    variables = init_variables(jax.random.key(0), SPEC)
    return Bundle(SPEC, variables, SiamFCTracking(scale_step=1.05), {"seed": 3})


@pytest.fixture
def folder(bundle, tmp_path):
    return save_bundle(bundle, tmp_path / "tracker")


def test_a_bundle_comes_back_as_it_was(bundle, folder):
    again = load_bundle(folder)
    assert again.spec == bundle.spec
    assert again.tracking == bundle.tracking
    assert again.card["seed"] == 3
    assert again.card["weights_sha256"] == bundle.weights_sha256
    jax.tree.map(np.testing.assert_array_equal, again.variables, bundle.variables)


def test_a_bundle_holds_four_files_and_nothing_is_left_beside_it(folder):
    assert sorted(os.listdir(folder)) == [
        "card.json",
        "spec.json",
        "tracking.json",
        "weights.safetensors",
    ]
    assert os.listdir(folder.parent) == ["tracker"]


def test_saving_again_replaces_the_bundle(bundle, folder):
    save_bundle(Bundle(SPEC, bundle.variables, bundle.tracking, {"seed": 4}), folder)
    assert load_bundle(folder).card["seed"] == 4
    assert os.listdir(folder.parent) == ["tracker"]


def test_a_bundle_in_the_home_folder_is_written_and_found(
    bundle, tmp_path, monkeypatch
):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert save_bundle(bundle, "~/tracker") == tmp_path / "tracker"
    assert load_bundle("~/tracker").card["seed"] == 3


def test_a_bundle_is_found_after_a_kill_between_the_renames_that_replace_it(
    bundle, folder
):
    folder.rename(folder.with_name(".tracker.replaced"))
    assert load_bundle(folder).card["seed"] == 3
    save_bundle(Bundle(SPEC, bundle.variables, bundle.tracking, {"seed": 4}), folder)
    assert load_bundle(folder).card["seed"] == 4
    assert os.listdir(folder.parent) == ["tracker"]


def test_a_folder_that_is_no_bundle_is_not_overwritten(bundle, tmp_path):
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match="exists and is no bundle"):
        save_bundle(bundle, tmp_path / "precious")
    assert (tmp_path / "precious" / "thesis.txt").exists()


def test_a_card_that_cannot_be_written_leaves_nothing(bundle, tmp_path):
    bad = Bundle(SPEC, bundle.variables, bundle.tracking, {"loss": float("nan")})
    with pytest.raises(ValueError, match="JSON"):
        save_bundle(bad, tmp_path / "tracker")
    assert os.listdir(tmp_path) == []


def edit_json(path, change):
    values = json.loads(path.read_text())
    change(values)
    path.write_text(json.dumps(values))


@pytest.mark.parametrize("name", ["spec.json", "weights.safetensors", "card.json"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name}: missing"):
        load_bundle(folder)


def test_an_unknown_format_version_is_refused(folder):
    edit_json(folder / "spec.json", lambda v: v.update(format_version=99))
    with pytest.raises(InputError, match="format_version 99"):
        load_bundle(folder)


def test_damaged_weights_are_noticed(folder):
    path = folder / "weights.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(bytes(content))
    with pytest.raises(InputError, match="hash is not the one"):
        load_bundle(folder)


def test_weights_of_another_architecture_are_named(folder):
    edit_json(
        folder / "spec.json",
        lambda v: v["tracker"]["backbone"]["layers"][4].update(features=8),
    )
    with pytest.raises(InputError, match=r"conv5/conv/(bias|kernel) has shape"):
        load_bundle(folder)


def test_unknown_settings_are_named(folder):
    edit_json(folder / "tracking.json", lambda v: v.update(window=1))
    with pytest.raises(InputError, match="window"):
        load_bundle(folder)
    with pytest.raises(InputError, match="no such bundle"):
        load_bundle(folder / "elsewhere")


def test_settings_of_both_families_come_back(folder):
    spec = arch.named("tiny-siamrpn")
    variables = init_variables(jax.random.key(1), spec)
    tracking = SiamRPNTracking(penalty_k=0.1, lost_below=0.2)
    path = save_bundle(Bundle(spec, variables, tracking, {}), folder.parent / "region")
    assert load_bundle(path).tracking == tracking
    # Bundles of SiamFC were once written without a kind.
    edit_json(folder / "tracking.json", lambda v: v.pop("kind"))
    assert load_bundle(folder).tracking == SiamFCTracking(scale_step=1.05)
    edit_json(path / "tracking.json", lambda v: v.update(scale_step=1.05))
    with pytest.raises(InputError, match="unknown field 'scale_step'"):
        load_bundle(path)
